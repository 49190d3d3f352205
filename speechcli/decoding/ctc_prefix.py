"""Joint CTC/attention decoding: a CTC head scores the decoder's hypotheses."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

NEVER = -1e5
"""Log-probability of impossible events; finite, so that the difference of two is a number."""


class CtcPrefixScorer:
    """A `Scorer` that adds CTC prefix scores (Watanabe et al. 2017, algorithm 2).

    The CTC score of a token is the difference that it makes to the log-probability of the prefix, which is the
    probability of all texts that start with it. The new scores are `(1 - weight) * scores + weight * ctc`.

    Args:
        logprobs: (batch, frames, vocabulary) of the CTC head.
        lengths: (batch,) real frames.
        weight: weight of the CTC scores, from 0 to below 1.
        blank: the CTC blank.
        ends: tokens that end a text.
    """

    def __init__(self, logprobs: Tensor, lengths: Tensor, *, weight: float, blank: int, ends: Sequence[int]) -> None:
        self._weight, self._blank, self._ends = weight, blank, list(ends)
        # After the end of a recording, the blank is certain.
        over = torch.arange(logprobs.size(1), device=logprobs.device) >= lengths.to(logprobs.device)[:, None]
        self._table = logprobs.float().masked_fill(over[..., None], NEVER)
        self._table[..., blank] = self._table[..., blank].masked_fill(over, 0.0)
        self._probabilities = self._table.exp()
        self._utterances = torch.arange(logprobs.size(0), device=logprobs.device)
        # For each row, (rows, 1 + frames): log-probability of the text so far after so many frames, of the paths that
        # end in a blank and of those that end in its last token.
        self._at_blank = functional.pad(self._table[..., blank].double().cumsum(dim=1), (1, 0))
        self._at_token = torch.full_like(self._at_blank, -math.inf)
        self._prefix = torch.zeros_like(self._at_blank[:, 0])
        self._last: Tensor | None = None
        self._read = 0

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Combine the scores."""
        if 0 < self._read < ids.size(1):
            self._append(ids[:, -1])
        self._read = ids.size(1)
        ctc = self._next_prefixes() - self._prefix[:, None]
        return (1 - self._weight) * scores + self._weight * ctc.to(scores.dtype)

    def reorder(self, rows: Tensor) -> None:
        """Reorder the rows of the state."""
        self._utterances, self._prefix = self._utterances[rows], self._prefix[rows]
        self._at_blank, self._at_token = self._at_blank[rows], self._at_token[rows]
        self._last = None if self._last is None else self._last[rows]

    def _next_prefixes(self) -> Tensor:
        """Return log-probabilities (rows, vocabulary) of the prefix with one more token, or of the whole text."""
        before = self._before(None)
        most = before.amax(dim=1, keepdim=True).clamp(min=NEVER)
        # Rows of one utterance are adjacent: (utterances, beams, frames) @ (utterances, frames, vocabulary)
        paths = (before - most).exp().float().view(self._table.size(0), -1, before.size(1))
        longer = (paths @ self._probabilities).flatten(0, 1).log().double() + most
        if self._last is not None:
            again = (self._before(self._last) + self._column(self._last)).logsumexp(dim=1)
            longer = longer.scatter(1, self._last[:, None], again[:, None])
        longer[:, self._blank] = NEVER
        longer[:, self._ends] = torch.logaddexp(self._at_blank[:, -1], self._at_token[:, -1])[:, None]
        return longer.clamp(min=NEVER)

    def _append(self, tokens: Tensor) -> None:
        """Append one token to each row."""
        before, token, blank = self._before(tokens), self._column(tokens), self._table[self._utterances, :, self._blank]
        self._prefix = (before + token).logsumexp(dim=1).clamp(min=NEVER)
        self._at_token = _accumulated(before, token)
        self._at_blank = _accumulated(self._at_token[:, :-1], blank.double())
        self._last = tokens

    def _before(self, token: Tensor | None) -> Tensor:
        """Return log-probabilities (rows, frames) of the paths before each frame that the new token may continue."""
        paths = torch.logaddexp(self._at_blank, self._at_token)
        if token is not None and self._last is not None:
            # A repeated token needs a blank in between.
            paths = torch.where((token == self._last)[:, None], self._at_blank, paths)
        return paths[:, :-1]

    def _column(self, tokens: Tensor) -> Tensor:
        return self._table[self._utterances, :, tokens].double()


def _accumulated(before: Tensor, logprobs: Tensor) -> Tensor:
    """Solve `x[t] = logaddexp(x[t - 1], before[t - 1]) + logprobs[t]` with `x[0]` = -inf: (rows, 1 + frames)."""
    sums = logprobs.cumsum(dim=1)
    after = sums + (before - functional.pad(sums[:, :-1], (1, 0))).logcumsumexp(dim=1)
    return functional.pad(after, (1, 0), value=-math.inf)
