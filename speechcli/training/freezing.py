"""Which parts of a model learn, and from when."""

from collections.abc import Sequence

from torch import nn

from speechcli.errors import UsageError
from speechcli.nn.positions import SinusoidalPositions

PARTS = {
    "feature_encoder": "encoder.frontend.",
    "encoder": "encoder.",
    "decoder": "decoder.",
    "embeddings": "decoder.tokens.",
    "projection": "projection.",
    "ctc_head": "ctc_head.",
}


def freeze(model: nn.Module, parts: Sequence[str], *, encoder_frozen: bool = False) -> int:
    """Let everything learn but the named parts, and return how many numbers learn.

    Args:
        model: the model; parameters keep their `requires_grad` only by this function.
        parts: names in `PARTS`, or what a parameter's name starts with.
        encoder_frozen: whether the encoder is frozen besides, as in the first steps of a run.

    Raises:
        UsageError: if a part is not in the model, or nothing is left to learn.
    """
    prefixes = {part: PARTS.get(part, part) for part in parts}
    names = [name for name, _ in model.named_parameters()]
    for part, prefix in prefixes.items():
        if not any(name.startswith(prefix) for name in names):
            raise UsageError(
                f"`model.freeze` names parts of the model, but this one has no '{part}'.",
                hint=f"parts: {', '.join(PARTS)}, or the start of a parameter's name such as '{names[0]}'",
            )
    if encoder_frozen:
        prefixes["encoder"] = PARTS["encoder"]
    learning = 0
    tables = {module.weight for module in model.modules() if isinstance(module, SinusoidalPositions)}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(tuple(prefixes.values())) and parameter not in tables)
        learning += parameter.numel() * parameter.requires_grad
    if learning == 0:
        raise UsageError(f"Something must learn, but `model.freeze` names everything: {', '.join(prefixes)}.")
    return learning
