"""Low-rank updates (LoRA) in PEFT's file format: `adapter_config.json` and `adapter_model.safetensors`.

For a linear map that transformers calls NAME, the file contains `base_model.model.NAME.lora_A.weight` (rank, in) and
`base_model.model.NAME.lora_B.weight` (out, rank). Modules that were fully trained have keys of their own.

The WavLM of transformers reads its attention weights without calling the maps, so PEFT's additions to them only count
there after `merge_and_unload`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from speechcli.checkpoints import folder as files
from speechcli.checkpoints.convert import to_theirs
from speechcli.checkpoints.hub import resolve_model
from speechcli.checkpoints.tensors import read_tensors
from speechcli.errors import ModelError
from speechcli.families.composite import SpeechEncoderDecoderConfig
from speechcli.families.rules import Fused, Rule, Same
from speechcli.models.speech_encoder_decoder import SpeechEncoderDecoder
from speechcli.nn.lora import lora_maps

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
WHOLE = {"projection": "enc_to_dec_proj", "encoder.adapter": "encoder.adapter"}
"""Our names of modules that are fully trained beside low-rank updates, and their names in transformers."""
# Options that change the sum W + scale * B A in unsupported ways.
_REFUSED = (
    "use_dora",
    "alpha_pattern",
    "layer_replication",
    "trainable_token_indices",
    "lora_bias",
    "alora_invocation_tokens",
)
# Initializations that take the first update out of the base weights, which the file does not contain.
_CHANGE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


def their_map(config: SpeechEncoderDecoderConfig, name: str) -> str | None:
    """Return the name of one of our linear maps in transformers; None if it has another shape there (GPT-2)."""
    for rule in config.keys:
        key = rule.their_name(f"{name}.weight")
        if key is not None:
            plain = type(rule) is Same and not rule.transpose
            return key.removesuffix(".weight") if plain else None
    return None


def save_lora(model: SpeechEncoderDecoder, config: SpeechEncoderDecoderConfig, folder: Path, *, base: str) -> None:
    """Write the low-rank updates and fully trained modules of a model, except a CTC head, which PEFT does not support.

    Args:
        model: the model, with linear maps of `speechcli.nn.lora`.
        config: its configuration.
        folder: the folder to write.
        base: folder or Hub id of the base model.

    Raises:
        OutputError: the folder cannot be written.
    """
    maps = {their_map(config, name): module for name, module in lora_maps(model).items()}
    whole = [part for part in WHOLE if any(name.startswith(f"{part}.") for name, _ in model.named_parameters())]
    learned = {key: t for key, t in model.state_dict().items() if key.startswith(tuple(f"{part}." for part in whole))}
    tensors = {PREFIX + key: tensor for key, tensor in to_theirs(config.keys, learned).items()}
    for name, module in maps.items():
        tensors[f"{PREFIX}{name}.lora_A.weight"] = module.lora_A.weight
        tensors[f"{PREFIX}{name}.lora_B.weight"] = module.lora_B.weight
    first = next(iter(maps.values()))
    values = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base,
        "r": first.lora_A.out_features,
        "lora_alpha": first.scale * first.lora_A.out_features,
        "lora_dropout": first.dropout.p,
        "target_modules": sorted(str(name) for name in maps),
        "modules_to_save": [WHOLE[part] for part in whole] or None,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    with files.writing(folder) as stage:
        files.write_json(stage / CONFIG, values)
        files.write_tensors(stage / WEIGHTS, tensors)


def lora_base(folder: Path) -> Path | None:
    """Return the folder of the base model of low-rank updates; None if a folder is a model itself.

    Raises:
        ModelError: the base model is not available locally, or not named.
    """
    if (folder / files.CONFIG).exists() or not (folder / CONFIG).exists():
        return None
    base = files.read_json(folder / CONFIG).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ModelError(f"{folder / CONFIG} must name a `base_model_name_or_path`, but does not.")
    try:
        return resolve_model(base, offline=True)
    except ModelError as error:
        hint = f"download {base} first, for example with: speechcli info {base}"
        message = f"The base model {base} of {folder} is not available. {error.message}"
        raise ModelError(message, hint=hint) from error


def with_lora(theirs: Mapping[str, Tensor], folder: Path, rules: Sequence[Rule]) -> dict[str, Tensor]:
    """Return the weights of the base model with the low-rank updates of a folder merged, by their names.

    Args:
        theirs: the weights of the base model.
        folder: the folder with the updates.
        rules: those of the base model, which know the maps that are stored transposed. (PEFT's `fan_in_fan_out` does
            not: it may be false for GPT-2.)

    Raises:
        ModelError: the updates are of an unsupported kind, or do not fit.
    """
    config = files.read_json(folder / CONFIG)
    odd = [key for key in _REFUSED if config.get(key)]
    if str(config.get("init_lora_weights")).lower().startswith(_CHANGE_BASE):
        odd.append(f"init_lora_weights {config['init_lora_weights']}")
    if config.get("peft_type") != "LORA" or odd or config.get("bias", "none") != "none":
        what = ", ".join(odd) or f"{config.get('peft_type')}, bias {config.get('bias', 'none')}"
        raise ModelError(f"The weights of {folder} must be plain LoRA, but are not: {what}.")
    merged = dict(theirs)
    tensors = read_tensors(folder / WEIGHTS)
    for key, tensor in tensors.items():
        name = key.removeprefix(PREFIX)
        if name.endswith(".lora_B.weight"):
            continue
        target = name.replace(".lora_A.weight", ".weight")
        if target not in theirs:
            raise ModelError(f"The LoRA weights of {folder} do not fit the base model, which has no {target}.")
        merged[target] = tensor
        if target != name:
            down, up = tensor, tensors.get(key.replace(".lora_A.", ".lora_B."))
            transposed = _is_transposed(rules, target, theirs[target])
            merged[target] = _sum(theirs[target], down, up, config, f"{folder}: {name}", transposed=transposed)
    return merged


def _is_transposed(rules: Sequence[Rule], key: str, tensor: Tensor) -> bool:
    rule = next((rule for rule in rules if rule.load(key, tensor) is not None), None)
    return isinstance(rule, Same | Fused) and rule.transpose


def _sum(
    weight: Tensor, down: Tensor, up: Tensor | None, config: Mapping[str, object], place: str, *, transposed: bool
) -> Tensor:
    """Return W + scale * B A, transposed if the linear map is stored transposed."""
    wanted = tuple(reversed(weight.shape)) if transposed else tuple(weight.shape)
    alpha = config.get("lora_alpha")
    fits = up is not None and up.ndim == down.ndim == 2 and (up.size(0), down.size(1)) == wanted
    if not fits or up is None or up.size(1) != down.size(0) or not isinstance(alpha, int | float):
        raise ModelError(f"LoRA weights must be (out, rank) and (rank, in) for a map {wanted}, but are not in {place}.")
    rank = down.size(0)
    added = (up.double() @ down.double()) * (alpha / (rank**0.5 if config.get("use_rslora") else rank))
    return (weight.double() + (added.T if transposed else added)).to(weight.dtype)
