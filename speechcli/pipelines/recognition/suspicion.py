"""Texts that a decoder has likely invented: it says the same again and again, or heard no speech."""

import zlib
from collections.abc import Sequence

MAX_COMPRESSION = 2.4
"""Above it, Whisper takes a text for a repetition."""
LOOP_TURNS = 4
"""People say a thing three times, but rarely more often."""
LOOP_TOKENS = 12
SILENCE_PROBABILITY, UNSURE_LOGPROB = 0.6, -1.0
"""Where nobody speaks, Whisper is surer of that than this, and less sure of each token of its text than this."""


def compression_ratio(text: str) -> float:
    """Return how much zlib shrinks a text."""
    data = text.encode("utf-8", "replace")
    return len(data) / len(zlib.compress(data))


def is_suspect(text: str, tokens: Sequence[int]) -> bool:
    """Say whether a text repeats itself more than speech does."""
    return compression_ratio(text) > MAX_COMPRESSION or loops(tokens)


def is_silence(no_speech: float | None, avg_logprob: float) -> bool:
    """Say whether a text was written of a recording in which nobody speaks (Radford et al. 2022).

    Args:
        no_speech: probability that nobody speaks; None: the model cannot tell.
        avg_logprob: mean log-probability of the tokens of the text.
    """
    return no_speech is not None and no_speech > SILENCE_PROBABILITY and avg_logprob < UNSURE_LOGPROB


def loops(tokens: Sequence[int]) -> bool:
    """Say whether the same tokens come at least four times in a row, and are at least twelve together."""
    for size in range(1, len(tokens) // LOOP_TURNS + 1):
        turns = max(LOOP_TURNS, -(-LOOP_TOKENS // size))
        same = 0
        for place in range(size, len(tokens)):
            same = same + 1 if tokens[place] == tokens[place - size] else 0
            if same >= size * (turns - 1):
                return True
    return False
