"""Freezing parts of a model."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal

from torch import nn

from speechcli.errors import UsageError
from speechcli.nn.positions import SinusoidalPositions

PARTS = {
    "feature_encoder": "encoder.frontend.",
    "encoder": "encoder.",
    "decoder": "decoder.",
    "embeddings": "decoder.tokens.",
    "adapter": "encoder.adapter.",
    "projection": "projection.",
    "ctc_head": "ctc_head.",
}
"""Name of a part -> prefix of its parameters."""

BRIDGE = ("encoder.adapter.*", "projection.*", "ctc_head.*", "teacher_head.*")
"""Parameters between encoder and decoder, which are not pretrained."""

LEARNERS = {
    "all": ("*",),
    "lna": ("encoder.layers.*attn*", "encoder*norm.*", "decoder*attn*", "decoder*norm.*", *BRIDGE),
    "lora": ("*.lora_A.*", "*.lora_B.*", *BRIDGE),
}
"""Trainable parameters by the value of `model.learn`: all; layer norms and attention (Li et al. 2021); LoRA."""


def freeze(
    model: nn.Module,
    parts: Sequence[str],
    *,
    learn: Literal["all", "lna", "lora"] = "all",
    encoder_frozen: bool = False,
) -> int:
    """Choose the trainable parameters, except those of frozen parts, and return their number.

    Args:
        model: the model; only this function sets `requires_grad` of its parameters.
        parts: names in `PARTS`, beginnings of parameter names, or patterns with `*`.
        learn: a key of `LEARNERS`; the convolutions over the waveform are trained with `all` only.
        encoder_frozen: whether to freeze the encoder too, as in the first steps of a run.

    Raises:
        UsageError: if a part is not in the model, or nothing is left to learn.
    """
    names = [name for name, _ in model.named_parameters()]
    patterns = {part: _pattern(part) for part in parts}
    for part, pattern in patterns.items():
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(
                f"`model.freeze` names parts of the model, but this one has no '{part}'.",
                hint=f"parts: {', '.join(PARTS)}, or parameters, such as '{names[0]}' or '*{names[-1][-10:]}'",
            )
    frozen = [*patterns.values(), *([_pattern("encoder")] if encoder_frozen else [])]
    if learn != "all":
        frozen.append(_pattern("feature_encoder"))
    learning = 0
    tables = {module.weight for module in model.modules() if isinstance(module, SinusoidalPositions)}
    for name, parameter in model.named_parameters():
        chosen = _matches(name, LEARNERS[learn]) and not _matches(name, frozen)
        parameter.requires_grad_(chosen and parameter not in tables)
        learning += parameter.numel() * parameter.requires_grad
    if learning == 0:
        names = [*parts, *(["encoder (at first: model.freeze_encoder_steps)"] if encoder_frozen else [])]
        raise UsageError(f"`model.freeze` must leave something to train, but names everything: {', '.join(names)}.")
    return learning


def train_mode(model: nn.Module, *, dropout: bool) -> None:
    """Set the mode of all modules for a training step.

    Frozen batch norms use their running means and variances, which would change in training mode, although they are not
    parameters.

    Args:
        model: the model, after `freeze`.
        dropout: whether to use dropout, masks and LayerDrop.
    """
    model.train(dropout)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d) and not module.weight.requires_grad and not module.bias.requires_grad:
            module.eval()


def region(name: str) -> Literal["encoder", "bridge", "decoder"]:
    """Return the region of a parameter, by its name."""
    if _matches(name, BRIDGE) or not name.startswith(("encoder.", "decoder.")):
        return "bridge"
    return "encoder" if name.startswith("encoder.") else "decoder"


def _pattern(part: str) -> str:
    return part if "*" in part else PARTS.get(part, part) + "*"


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
