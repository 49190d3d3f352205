"""Limits of numeric training options."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from speechcli.errors import UsageError


class Limit(NamedTuple):
    """A rule for a number, in words and as a function."""

    rule: str
    holds: Callable[[float], bool]


FROM_0 = Limit("at least 0", lambda value: 0 <= value < math.inf)
"""The default for all options that are not listed below."""
FROM_1 = Limit("at least 1", lambda value: value >= 1)
FINITE_FROM_1 = Limit("a finite number of at least 1", lambda value: 1 <= value < math.inf)
ABOVE_0 = Limit("above 0", lambda value: 0 < value < math.inf)
SHARE = Limit("in [0, 1]", lambda value: 0 <= value <= 1)
PART = Limit("in [0, 1)", lambda value: 0 <= value < 1)
FINITE = Limit("a finite number", math.isfinite)
MAX_THREADS = 1024
"""Limit for CPU threads; with many more, torch aborts the process."""
MAX_SEED = 2**32 - 1
THREADS = Limit(f"from 0 to {MAX_THREADS}", lambda value: 0 <= value <= MAX_THREADS)
SEED = Limit(f"from 0 to {MAX_SEED}", lambda value: 0 <= value <= MAX_SEED)

LIMITS = {
    FROM_1: (
        "model.lora_rank", "batch.max_items", "batch.buckets", "batch.accumulation",
        "augment.mask_time_frames", "augment.mask_channel_width", "run.eval_every", "run.save_every", "run.log_every",
        "run.keep_last", "run.beam_size",
    ),
    FINITE_FROM_1: ("data.temperature",),
    ABOVE_0: (
        "model.lora_alpha", "data.pseudo_weight", "data.max_seconds", "batch.max_seconds", "augment.speed",
        "optimizer.learning_rate",
    ),
    SHARE: (
        "data.min_confidence", "data.max_bad", "augment.noise_probability", "augment.band_probability",
        "augment.concatenate_probability", "objective.ctc_weight",
    ),
    PART: (
        "model.lora_dropout", "augment.mask_time_probability", "augment.mask_channel_probability",
        "objective.label_smoothing", "optimizer.betas", "run.ema_decay",
    ),
    FINITE: ("augment.gain_db", "augment.noise_snr"),
    THREADS: ("run.threads",),
    SEED: ("run.seed",),
}  # fmt: skip

RANGES = ("augment.speed", "augment.gain_db", "augment.noise_snr")
"""Options that are ranges from low to high."""


def check_numbers(values: Mapping[str, Any]) -> None:
    """Check the numbers among the options.

    Args:
        values: `section.key` -> value; values that are not numbers or tuples of numbers are ignored.

    Raises:
        UsageError: a number breaks its rule.
    """
    limits = {key: limit for limit, keys in LIMITS.items() for key in keys}
    for key, value in values.items():
        limit = limits.get(key, FROM_0)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not isinstance(number, bool) and not limit.holds(number):
                raise UsageError(f"`{key}` must be {limit.rule}, but is {number}.")
    for key in RANGES:
        low, high = values[key]
        if low > high:
            raise UsageError(f"`{key}` must go from low to high, but is {low} to {high}.")
