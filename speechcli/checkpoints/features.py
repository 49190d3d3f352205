"""The feature extractor of a model folder, or the usual one of its encoder."""

from pathlib import Path
from typing import Any

from speechcli.audio.extractor import Extractor
from speechcli.audio.features import FilterbankFeatures, WaveformFeatures, features_from_dict
from speechcli.audio.log_mel import LogMelFeatures
from speechcli.checkpoints import folder as files
from speechcli.errors import ModelError
from speechcli.families.config import FamilyConfig

FRAMES_PER_SECOND = 50
"""Output frames of Whisper's encoder."""


def feature_values(folder: Path) -> dict[str, Any] | None:
    """Return the configuration of a folder's feature extractor from either of two files; None if there is none.

    Raises:
        ModelError: a file is damaged.
    """
    values = files.read_optional_json(folder / files.PREPROCESSOR)
    if values is None:
        values = (files.read_optional_json(folder / files.PROCESSOR) or {}).get("feature_extractor")
    if not isinstance(values, dict | None):
        raise ModelError(f"`feature_extractor` in {folder / files.PROCESSOR} must be an object, but is {values!r:.80}.")
    return values


def read_features(folder: Path) -> Extractor | None:
    """Read the feature extractor of a folder; None if it has none.

    Raises:
        ModelError: it is damaged, or of an unsupported kind.
    """
    values = feature_values(folder)
    return None if values is None else features_from_dict(values)


def default_features(encoder: FamilyConfig) -> Extractor:
    """Return the usual feature extractor of published encoders with this configuration."""
    mels, frames = getattr(encoder, "num_mel_bins", None), getattr(encoder, "max_source_positions", None)
    if mels is not None and frames is not None:
        return LogMelFeatures(feature_size=mels, chunk_length=max(1, frames // FRAMES_PER_SECOND))
    inputs = getattr(encoder, "feature_projection_input_dim", None)
    if inputs is not None:
        return FilterbankFeatures(stride=max(1, inputs // FilterbankFeatures.num_mel_bins))
    return WaveformFeatures(return_attention_mask=getattr(encoder, "feat_extract_norm", None) == "layer")


def write_features(stage: Path, features: Extractor, *, with_processor: bool) -> None:
    """Write a feature extractor.

    Args:
        stage: the folder.
        features: the extractor.
        with_processor: whether the folder has a tokenizer too; transformers combines both to a processor.
    """
    # transformers 4 reads the first file, transformers 5 prefers the second.
    values = features.to_dict()
    files.write_json(stage / files.PREPROCESSOR, values)
    if with_processor:
        kind = features.processor
        files.write_json(stage / files.PROCESSOR, {"feature_extractor": values, "processor_class": kind})
