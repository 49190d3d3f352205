"""Alignment of tokens to frames, by a CTC head or by a decoder's attention."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torchaudio.functional import forced_align, merge_tokens

SMOOTHED_FRAMES = 7
"""Width of the median filter over attention weights, in frames."""


class Span(NamedTuple):
    """The frames of one token."""

    start: int
    """First frame."""
    end: int
    """The frame after the last."""
    logprob: float
    """Mean log-probability of the token in its frames."""


def align(logprobs: Tensor, tokens: Sequence[int], *, blank: int) -> list[Span] | None:
    """Find the most likely frames of each token of a text (Kürzinger et al. 2020).

    Args:
        logprobs: (frames, vocabulary) of one recording.
        tokens: the text, without blanks.
        blank: the CTC blank.

    Returns:
        A span for each token, in order; None if there are too few frames for the text.
    """
    repeats = sum(first == second for first, second in zip(tokens, tokens[1:], strict=False))
    if logprobs.size(0) < len(tokens) + repeats:
        return None
    if not tokens:
        return []
    # On the CPU in float32, because torchaudio does not support all devices and dtypes everywhere.
    table = logprobs.detach().cpu().float()[None]
    path, scores = forced_align(table, torch.tensor([list(tokens)]), blank=blank)
    # `merge_tokens` averages the scores of the frames of a token.
    return [Span(span.start, span.end, span.score) for span in merge_tokens(path[0], scores[0], blank=blank)]


def align_by_attention(weights: Tensor) -> list[int]:
    """Find the frame at which each token begins, by the attention of a decoder (as Whisper's word times do).

    The weights are normalized over tokens and averaged over heads.

    Args:
        weights: (heads, tokens, frames) of heads that follow the speech.

    Returns:
        A frame for each token, in ascending order; the first is 0.
    """
    spread, mean = torch.std_mean(weights, dim=-2, keepdim=True, correction=0)
    sharp = (weights - mean) / spread.clamp_min(torch.finfo(weights.dtype).tiny)
    beside = SMOOTHED_FRAMES // 2
    if sharp.size(-1) > beside:
        sharp = F.pad(sharp, (beside, beside), mode="reflect").unfold(-1, SMOOTHED_FRAMES, 1).median(dim=-1).values
    return dynamic_time_warping(-sharp.mean(dim=0).double().cpu().numpy())


def dynamic_time_warping(costs: NDArray[np.float64]) -> list[int]:
    """Find the cheapest path from the first corner of a table to the last; return the column where each row begins.

    Args:
        costs: (rows, columns); each step of the path moves by one row, one column, or both.
    """
    rows, columns = costs.shape
    # Indexed by row + column and by row, from 1: a diagonal depends only on the two before it, and is computed at once.
    totals = np.full((rows + columns + 1, rows + 1), np.inf, dtype=np.float32)
    steps = np.zeros(totals.shape, dtype=np.int8)
    totals[0, 0] = 0.0
    for place in range(2, rows + columns + 1):
        row = np.arange(max(1, place - columns), min(rows, place - 1) + 1)
        both, down, along = totals[place - 2, row - 1], totals[place - 1, row - 1], totals[place - 1, row]
        step = np.where((both < down) & (both < along), 0, np.where((down < both) & (down < along), 1, 2))
        totals[place, row] = costs[row - 1, place - row - 1] + np.choose(step, (both, down, along))
        steps[place, row] = step
    begins = [0] * rows
    row, column = rows, columns
    while row > 1:
        step = steps[row + column, row]
        if step != 2:
            begins[row - 1] = column - 1
            row -= 1
        column -= int(step != 1)
    return begins
