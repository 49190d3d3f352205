"""The interface of a model for decoding: a function from ids and a cache to logits."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor


class Cache(Protocol):
    """The cache of a model for previous tokens."""

    def reorder(self, rows: Tensor) -> None:
        """Replace row `i` by the previous row `rows[i]`; the number of rows may change."""


CacheT = TypeVar("CacheT", bound=Cache)

Step = Callable[[Tensor, CacheT], Tensor]
"""(rows, new tokens) ids and the cache -> (rows, vocabulary) logits of the last position."""


def first_step(
    step: Step[CacheT], cache: CacheT, prompt: Tensor, copies: int, others: Sequence[Cache] = ()
) -> tuple[Tensor, Tensor]:
    """Read the prompt once per utterance, then repeat each utterance in `copies` rows.

    Args:
        step: the model.
        cache: the model's cache, with `batch` rows.
        prompt: (batch, tokens) ids.
        copies: rows per utterance: beams or samples.
        others: other states with one row per utterance.

    Returns:
        (batch * copies, tokens) ids and (batch * copies, vocabulary) float32 logits.
    """
    logits = step(prompt, cache).float()
    if copies == 1:
        return prompt, logits
    rows = torch.arange(prompt.shape[0], device=prompt.device).repeat_interleave(copies)
    cache.reorder(rows)
    for other in others:
        other.reorder(rows)
    return prompt[rows], logits[rows]
