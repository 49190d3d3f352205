"""Describe a model by its configurations, vocabulary and the headers of its weights."""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speechcli.checkpoints import folder as files
from speechcli.checkpoints.ctc import is_ctc
from speechcli.checkpoints.features import read_features
from speechcli.checkpoints.hub import read_headers
from speechcli.checkpoints.parts import part_of, section
from speechcli.checkpoints.tensors import read_header
from speechcli.decoding.generation_options import GenerationOptions
from speechcli.errors import ModelError
from speechcli.pipelines.load import find_model
from speechcli.pipelines.speech_options import ModelOptions
from speechcli.text.tokenizer import Tokenizer

# The families' words for the same thing.
_SIZES = {
    "width": ("hidden_size", "d_model", "n_embd"),
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "vocabulary": ("vocab_size",),
    "positions": ("max_position_embeddings", "n_positions", "max_target_positions"),
}
_ENCODER_SIZES = _SIZES | {
    "layers": ("num_hidden_layers", "encoder_layers"),
    "heads": ("num_attention_heads", "encoder_attention_heads"),
}
_DECODER_SIZES = _SIZES | {
    "layers": ("decoder_layers", "num_hidden_layers", "n_layer"),
    "heads": ("decoder_attention_heads", "num_attention_heads", "n_head"),
}
_SPECIAL_IDS = ("decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id", "forced_bos_token_id")


@dataclass(frozen=True)
class ModelInfo:
    """Description of a model that is not loaded."""

    name: str
    folder: str
    encoder: dict[str, Any]
    """Family and sizes."""
    decoder: dict[str, Any]
    """Family and sizes."""
    language_model: dict[str, Any] | None
    """Family and sizes of the language model that comes with a decoder, if there is one."""
    parameters: dict[str, int] | None
    """Number of parameters by part and in total; None: unknown without loading the weights."""
    dtypes: tuple[str, ...]
    """Types of the weights."""
    sample_rate: int | None
    """Sample rate of the model's input in Hz."""
    languages: tuple[str, ...]
    """The model's own language tags."""
    special_ids: dict[str, Any]
    generation: dict[str, Any]
    """Decoding options that are not at their defaults."""
    missing: tuple[str, ...]
    """What the folder lacks, one sentence each."""

    def to_dict(self) -> dict[str, Any]:
        """Return the description as a JSON object."""
        return {"schema": 1, **asdict(self)}


def info(options: ModelOptions) -> ModelInfo:
    """Describe a model without reading its tensors.

    Raises:
        ModelError: there is no such model, or a file is corrupt.
    """
    folder = find_model(options.model, options, revision=options.revision, weights=False)
    config = files.read_config(folder)
    headed = is_ctc(config)
    missing: list[str] = []
    generation = GenerationOptions.from_files(config, files.read_optional_json(folder / files.GENERATION)).to_dict()
    decoding_ids = {key: generation.pop(key, None) for key in _SPECIAL_IDS}
    special_ids = {key: config.get(key) if value is None else value for key, value in decoding_ids.items()}
    headers = _headers(folder, options, missing)
    return ModelInfo(
        name=options.shown,
        folder=str(folder),
        encoder=_half({"encoder": config} if headed else config, "encoder", _ENCODER_SIZES, missing),
        decoder=_ctc_head(config) if headed else _half(config, "decoder", _DECODER_SIZES, missing),
        language_model=None if headed else _language_model(folder),
        parameters=_count(config, headers),
        dtypes=tuple(sorted({str(entry["dtype"]) for entry in headers.values()})),
        sample_rate=_sample_rate(folder, missing),
        languages=_languages(folder, missing),
        special_ids={key: value for key, value in special_ids.items() if value is not None},
        generation={key: value for key, value in generation.items() if not isinstance(value, dict)},
        missing=tuple(missing if headed else missing + _missing_ids(decoding_ids, folder)),
    )


def _ctc_head(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"family": "none, a CTC head", "vocabulary": config.get("vocab_size")}


def _language_model(folder: Path) -> dict[str, Any] | None:
    config = files.read_optional_json(folder / files.LANGUAGE_MODEL / files.CONFIG)
    return None if config is None else _half({"decoder": config}, "decoder", _DECODER_SIZES, [])


def _half(
    config: Mapping[str, Any], part: str, sizes: Mapping[str, tuple[str, ...]], missing: list[str]
) -> dict[str, Any]:
    values = section(config, part)
    if values is None:
        missing.append(f"config.json has no section `{part}`: this is not a speech encoder-decoder model.")
        return {}
    found = {ours: next((values[key] for key in keys if key in values), None) for ours, keys in sizes.items()}
    if part == "encoder":
        del found["vocabulary"], found["positions"]
    return {"family": values.get("model_type"), **{key: value for key, value in found.items() if value is not None}}


def _headers(folder: Path, options: ModelOptions, missing: list[str]) -> dict[str, dict[str, Any]]:
    """Return the header entry of every tensor in safetensors files by name, for models on the Hub from there."""
    on_hub = options.model is not None and not Path(os.path.expanduser(options.model)).exists()
    if on_hub and not options.offline and not files.has_weights(folder):
        return read_headers(str(options.model), revision=options.revision, token=options.token) or {}
    name = next((name for name in files.WEIGHTS if (folder / name).exists()), None)
    if name is None:
        missing.append("There are no weights.")
        return {}
    if "safetensors" not in name.split("."):
        return {}
    if name.endswith(".index.json"):
        shards = sorted(set(files.read_json(folder / name).get("weight_map", {}).values()))
        absent = [shard for shard in shards if not (folder / Path(shard).name).is_file()]
        missing += [f"The weight file {shard} is not there." for shard in absent]
        paths = [folder / Path(shard).name for shard in shards if shard not in absent]
    else:
        paths = [folder / name]
    entries = {key: entry for path in paths for key, entry in read_header(path).items()}
    head = folder / files.CTC_HEAD
    if head.exists():
        entries |= {f"ctc_head.{key}": entry for key, entry in read_header(head).items()}
    return entries


def _count(config: Mapping[str, Any], headers: Mapping[str, Mapping[str, Any]]) -> dict[str, int] | None:
    if not headers:
        return None
    parts: dict[str, int] = {}
    for key, entry in headers.items():
        part = part_of(config, key)
        if part is not None:
            parts[part] = parts.get(part, 0) + math.prod(entry["shape"])
    return {**parts, "total": sum(math.prod(entry["shape"]) for entry in headers.values())}


def _sample_rate(folder: Path, missing: list[str]) -> int | None:
    try:
        features = read_features(folder)
    except ModelError as error:
        missing.append(f"There is no usable feature extractor, so the model cannot read audio: {error.message}")
        return None
    if features is None:
        missing.append("There is no preprocessor_config.json: features are computed as usual for such an encoder.")
        return None
    return features.sampling_rate


def _languages(folder: Path, missing: list[str]) -> tuple[str, ...]:
    try:
        return tuple(Tokenizer.load(folder).languages)
    except ModelError as error:
        missing.append(f"There is no usable tokenizer, so the model cannot write text: {error.message}")
        return ()


def _missing_ids(ids: Mapping[str, Any], folder: Path) -> list[str]:
    lacks = []
    if not (folder / files.GENERATION).exists():
        lacks.append("There is no generation_config.json: decoding options are read from config.json.")
    if ids["decoder_start_token_id"] is None and ids["bos_token_id"] is None:
        lacks.append("Neither decoder_start_token_id nor bos_token_id is set, so decoding has no first token.")
    if ids["eos_token_id"] is None:
        lacks.append("eos_token_id is not set, so texts end only at their maximum length.")
    return lacks
