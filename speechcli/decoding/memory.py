"""A translation memory in the search: texts that probably resemble the wanted one make their tokens more likely."""

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

SHARPNESS = 6.0
"""Each token that an example has in common with the end of the text makes its next token this many times as likely."""


class Example(NamedTuple):
    """A text of the memory."""

    tokens: Sequence[int]
    """Its tokens, the end token included."""
    weight: float
    """How much it counts beside the other examples, above 0."""


class MemoryScorer:
    """A `Scorer` that mixes the probabilities of the next token with those in examples (Khandelwal et al. 2021).

    Unlike there, a place in an example is found by the tokens before it, not by states of the decoder.

    Args:
        examples: texts that are probably similar.
        share: share of the examples in the probability of a token, at least 0 and below 1.
        start: number of tokens of the prompt.
        passed: ids of special tokens, which no example contains: they do not interrupt what a text has in common with
            an example.
        device: that of the scores.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        share: float,
        start: int,
        passed: Collection[int] = (),
        device: torch.device | str = "cpu",
    ) -> None:
        longest = max((len(example.tokens) for example in examples), default=0)
        padded = [[*example.tokens, *[-1] * (longest - len(example.tokens))] for example in examples]
        self._tokens = torch.tensor(padded, dtype=torch.long, device=device).view(len(examples), longest)
        self._weights = torch.tensor([example.weight for example in examples], device=device).view(-1, 1)
        self._share, self._start, self._passed = share, start, frozenset(passed)
        # (rows, examples, longest): number of tokens before each place that are also the last ones of the text; the
        # beginning counts as one
        self._common = torch.zeros(1, len(examples), longest, device=device)
        self._common[:, :, :1] = 1.0

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Return the logarithms of the mixed probabilities; impossible tokens remain impossible."""
        if self._tokens.numel() == 0:
            return scores
        if ids.size(1) > self._start:
            self._follow(ids[:, -1])
        found = torch.zeros_like(scores)
        found.scatter_add_(1, self._tokens.clamp(min=0).flatten().expand(len(scores), -1), self._masses().flatten(1))
        found = found / found.sum(dim=1, keepdim=True)
        mixed = torch.logaddexp(scores.log_softmax(dim=-1) + math.log1p(-self._share), (self._share * found).log())
        return mixed.masked_fill(scores == -torch.inf, -torch.inf)

    def reorder(self, rows: Tensor) -> None:
        """Reorder the rows."""
        self._common = self._common[rows]

    def _follow(self, newest: Tensor) -> None:
        """Read the newest token of each row."""
        grown = torch.where(self._tokens == newest[:, None, None], self._common + 1.0, 0.0).roll(1, dims=-1)
        grown[:, :, 0] = 0.0
        passed = torch.tensor([token in self._passed for token in newest.tolist()], device=newest.device)
        self._common = torch.where(passed[:, None, None], self._common, grown)

    def _masses(self) -> Tensor:
        """(rows, examples, longest): how likely each place continues the text, not normalized."""
        longest = self._common.amax(dim=(1, 2), keepdim=True)  # relative to it, no number becomes too large
        return self._weights * SHARPNESS ** (self._common - longest) * (self._tokens >= 0)
