"""Detect texts that are probably hallucinated: repetitions, and text without speech."""

import zlib
from collections.abc import Sequence

MAX_COMPRESSION = 2.4
"""Whisper's threshold, above which a text counts as repetitive."""
LOOP_TURNS = 4
"""Repetitions in a row: people may repeat a phrase three times, but rarely more often."""
LOOP_TOKENS = 12
"""Minimum number of tokens in all repetitions together."""
SILENCE_PROBABILITY, UNSURE_LOGPROB = 0.6, -1.0
"""Whisper's thresholds: text counts as silence above the first and below the second."""


def compression_ratio(text: str) -> float:
    """Return the length of a text divided by its length after zlib compression."""
    data = text.encode("utf-8", "replace")
    return len(data) / len(zlib.compress(data))


def is_suspect(text: str, tokens: Sequence[int]) -> bool:
    """Whether a text repeats itself more than speech does."""
    return compression_ratio(text) > MAX_COMPRESSION or loops(tokens)


def is_silence(no_speech: float | None, avg_logprob: float) -> bool:
    """Whether a text was probably written for a recording without speech (Radford et al. 2022).

    Args:
        no_speech: probability that there is no speech; None: not predicted by this model.
        avg_logprob: mean log-probability of the tokens of the text.
    """
    return no_speech is not None and no_speech > SILENCE_PROBABILITY and avg_logprob < UNSURE_LOGPROB


def loops(tokens: Sequence[int]) -> bool:
    """Whether the same tokens occur at least four times in a row, at least twelve tokens in total."""
    for size in range(1, len(tokens) // LOOP_TURNS + 1):
        turns = max(LOOP_TURNS, -(-LOOP_TOKENS // size))
        same = 0
        for place in range(size, len(tokens)):
            same = same + 1 if tokens[place] == tokens[place - size] else 0
            if same >= size * (turns - 1):
                return True
    return False
