"""When the tokens of a text were said, by what a CTC head says of every frame (Kürzinger et al. 2020)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchaudio.functional import forced_align, merge_tokens


class Span(NamedTuple):
    """The frames of one token."""

    start: int
    """First frame."""
    end: int
    """The frame after the last."""
    logprob: float
    """Mean log-probability of the token in its frames."""


def align(logprobs: Tensor, tokens: Sequence[int], *, blank: int) -> list[Span] | None:
    """Find the likeliest frames of each token of a text.

    Args:
        logprobs: (frames, vocabulary) of one recording.
        tokens: the text, without blanks.
        blank: the token that means "nothing new".

    Returns:
        a span for each token, in order; None when there are too few frames for the text
    """
    repeats = sum(first == second for first, second in zip(tokens, tokens[1:], strict=False))
    if logprobs.size(0) < len(tokens) + repeats:
        return None
    if not tokens:
        return []
    # On the CPU in float32: other devices and numbers are not built everywhere, and it takes no time.
    table = logprobs.detach().cpu().float()[None]
    path, scores = forced_align(table, torch.tensor([list(tokens)]), blank=blank)
    # `merge_tokens` takes the mean of what it is given as scores.
    return [Span(span.start, span.end, span.score) for span in merge_tokens(path[0], scores[0], blank=blank)]
