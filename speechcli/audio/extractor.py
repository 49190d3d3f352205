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
    """(batch,) int64: numbers of samples or frames without padding. None: the model was trained without a mask."""


@dataclass(frozen=True, kw_only=True)
class Extractor(ABC):
    """Base class of extractors; fields have their names in ``preprocessor_config.json``."""

    sampling_rate: int = 16_000
    """Sample rate of the waveforms in Hz."""
    padding_value: float = 0.0
    """Padding value for shorter utterances of a batch."""
    other: Mapping[str, Any] = field(default_factory=dict)
    """Other keys of the file, which are saved again."""

    kind: ClassVar[str]
    """Name of the extractor in Hugging Face."""
    processor: ClassVar[str]
    """Name of the processor with this extractor and a tokenizer in Hugging Face."""
    normalizes: ClassVar[str]
    """Name of the field that enables normalization of each utterance."""
    mels_first: ClassVar[bool] = False
    """Whether Hugging Face's extractor returns (batch, mels, frames); this one returns (batch, frames, mels)."""

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
        """Read the content of ``preprocessor_config.json``; missing keys have Hugging Face's defaults.

        Raises:
            ModelError: a value has the wrong type, or padding is on the left.
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
        """Return a copy that normalizes each ``utterance``, or does not (``none``); ``auto`` keeps the setting.

        Raises:
            UsageError: the mode is another.
        """
        if mode not in NORMALIZATIONS:
            raise UsageError(f"The normalization must be one of {', '.join(NORMALIZATIONS)}, but is `{mode}`.")
        changes: dict[str, Any] = {self.normalizes: mode == "utterance"}
        return self if mode == "auto" else replace(self, **changes)

    @property
    def pads(self) -> bool:
        """Whether padding in a batch does not change the results of shorter utterances."""
        return True

    @property
    def longest(self) -> int | None:
        """Maximum number of samples of an utterance; None: there is no limit."""
        return None


def standardized(values: Tensor, *, correction: int) -> Tensor:
    """Return values (samples or frames, …) with mean 0 and variance 1 over the first dimension.

    Args:
        values: one utterance.
        correction: difference between the number of values and the divisor of the variance.
    """
    # The sample variance of one frame is undefined (0 / 0): it is set to 0.
    correction = min(correction, len(values) - 1)
    variance, mean = torch.var_mean(values, dim=0, correction=correction)
    return (values - mean) / torch.sqrt(variance + VARIANCE_FLOOR)
