"""Whisper's timestamps: split a text at its timestamp tokens into phrases."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from speechcli.transcript import Word

TIME_STEP = 0.02
"""Seconds between two successive timestamps of the vocabulary."""


class Phrase(NamedTuple):
    """A part of a text with its start and end, in seconds from the start of the clip."""

    start: float
    end: float
    tokens: tuple[int, ...]
    text: str
    words: tuple[Word, ...] | None = None
    """With times in seconds from the start of the clip; None: not requested, or not available."""


def cut_at_times(
    tokens: Sequence[int], first_time: int, seconds: float
) -> Iterator[tuple[float, float, tuple[int, ...]]]:
    """Split a text at its timestamps.

    Args:
        tokens: the text, with a start timestamp before each phrase and an end after it; either may be missing.
        first_time: the timestamp token of 0 seconds; larger tokens are later times.
        seconds: length of the clip, at which the last phrase ends at the latest.

    Yields:
        start, end and tokens of each phrase, in order
    """
    start, ids = 0.0, list[int]()
    for token in tokens:
        if token < first_time:
            ids.append(token)
            continue
        time = min((token - first_time) * TIME_STEP, seconds)
        if ids:
            yield start, max(start, time), tuple(ids)
            ids = []
        start = time
    if ids:
        yield start, seconds, tuple(ids)
