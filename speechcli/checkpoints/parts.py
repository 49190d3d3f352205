"""The parts of a model in its files, for reading them without building the model."""

from collections.abc import Mapping
from typing import Any

from speechcli.families import SPEECH_ENCODERS, WHOLE_MODELS

_PARTS = {"ctc_head": "ctc_head.", "encoder": "encoder.", "decoder": "decoder.", "projection": "enc_to_dec_proj."}


def section(config: Mapping[str, Any], part: str) -> Mapping[str, Any] | None:
    """Return the configuration of the `encoder` or `decoder` in a config.json; None if there is none.

    Whole models such as Whisper have one configuration for both.
    """
    found = config if config.get("model_type") in WHOLE_MODELS else config.get(part)
    return found if isinstance(found, Mapping) else None


def part_of(config: Mapping[str, Any], key: str) -> str | None:
    """Return the part of a model that a tensor belongs to: `encoder`, `decoder`, `projection`, `ctc_head`, or None."""
    kind = config.get("model_type")
    parts = _PARTS
    if kind in WHOLE_MODELS:
        parts = {"ctc_head": _PARTS["ctc_head"], "encoder": SPEECH_ENCODERS[kind].base, "decoder": ""}
    return next((part for part, prefix in parts.items() if key.startswith(prefix)), None)
