"""The base class of feature extractors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from speechcli.errors import ModelError, UsageError

NORMALIZATIONS = ("auto", "utterance", "none")

VARIANCE_FLOOR = 1e-7


class FeatureBatch(NamedTuple):
    """Features of several utterances, padded on the right."""

    values: Tensor
    """(batch, samples) or (batch, frames, mels), float32."""
    lengths: Tensor | None
    """(batch,) int64: how many samples or frames are real. None: the model was trained without a mask."""


@dataclass(frozen=True, kw_only=True)
class Extractor(ABC):
    """What all extractors share: fields named as in ``preprocessor_config.json``, and that file's other keys."""

    sampling_rate: int = 16_000
    """Of the waveforms, in Hz."""
    padding_value: float = 0.0
    """Padding value for shorter utterances of a batch."""
    other: Mapping[str, Any] = field(default_factory=dict)
    """Other keys of the file, which are kept and written back."""

    kind: ClassVar[str]
    """Hugging Face's name of the extractor."""
    processor: ClassVar[str]
    """Hugging Face's name of the extractor with a tokenizer."""
    normalizes: ClassVar[str]
    """The field that says whether each utterance is normalised."""
    mels_first: ClassVar[bool] = False
    """Whether Hugging Face's extractor gives (batch, mels, frames) where this one gives (batch, frames, mels)."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value, default = getattr(self, item.name), item.default
            if isinstance(default, bool):
                valid = isinstance(value, bool)
            elif isinstance(default, int):
                valid = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            else:
                valid = item.name == "other" or (isinstance(value, int | float) and not isinstance(value, bool))
            if not valid:
                wanted = {bool: "true or false", int: "a whole number from 1"}.get(type(default), "a number")
                raise ModelError(f"`{item.name}` in preprocessor_config.json must be {wanted}, but is {value!r}.")
        side = self.other.get("padding_side", "right")
        if side != "right":
            raise ModelError(f"`padding_side` in preprocessor_config.json must be right, but is {side!r}.")

    @abstractmethod
    def __call__(self, waveforms: Sequence[np.ndarray]) -> FeatureBatch:
        """Return the features of waveforms, each (samples,) float32."""

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """Read the content of ``preprocessor_config.json``; absent keys have Hugging Face's defaults.

        Raises:
            ModelError: for a value of the wrong type, or padding on the left.
        """
        ours = {item.name for item in fields(cls)} - {"other"}
        return cls(
            **{key: value for key, value in config.items() if key in ours},
            other={key: value for key, value in config.items() if key not in ours},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``preprocessor_config.json``."""
        ours = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "other"}
        return {"feature_extractor_type": self.kind, "padding_side": "right", **self.other, **ours}

    def with_normalization(self, mode: str) -> Self:
        """Return a copy that normalises each ``utterance``, does not (``none``), or does as it did (``auto``).

        Raises:
            UsageError: for another mode.
        """
        if mode not in NORMALIZATIONS:
            raise UsageError(f"The normalisation must be one of {', '.join(NORMALIZATIONS)}, but is `{mode}`.")
        changes: dict[str, Any] = {self.normalizes: mode == "utterance"}
        return self if mode == "auto" else replace(self, **changes)

    @property
    def pads(self) -> bool:
        """Whether the padding of a batch leaves the shorter utterances as they are."""
        return True

    @property
    def longest(self) -> int | None:
        """Samples of the longest utterance that is taken whole; None: there is no limit."""
        return None


def standardised(values: Tensor, *, correction: int) -> Tensor:
    """Return values (samples or frames, …) with mean 0 and variance 1 over the first dimension.

    Args:
        values: one utterance.
        correction: what the variance's divisor is smaller by than the count.
    """
    # One frame has no sample variance (0 / 0): it counts as constant.
    correction = min(correction, len(values) - 1)
    variance, mean = torch.var_mean(values, dim=0, correction=correction)
    return (values - mean) / torch.sqrt(variance + VARIANCE_FLOOR)
