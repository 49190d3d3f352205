"""Scores that are added during decoding: a language model (shallow fusion) and hotwords."""

from collections.abc import Callable, Sequence, Set
from copy import deepcopy
from typing import Generic, Protocol

import torch
from torch import Tensor

from speechcli.decoding.step import Cache, CacheT, Step

KEPT_TEXTS = 64
"""Number of texts whose language model caches are kept: a few times the usual number of beams."""


class Scorer(Cache, Protocol):
    """A processor with a state: it is called once per step, and reordered with the beams like the decoder's cache."""

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Return new scores.

        Args:
            ids: (rows, tokens) ids so far, prompt included.
            scores: (rows, vocabulary) float32.
        """


class LanguageModelScorer(Generic[CacheT]):
    """A `Scorer`: the log-probabilities of a causal language model (shallow fusion, Gülçehre et al. 2015).

    Args:
        step: the language model, over the same vocabulary.
        cache: its cache, with `batch` rows.
        weight: weight of its log-probabilities.
        begin: the tokens that it reads first, instead of the decoder's prompt.
        longest: maximum number of tokens that it can read; longer texts get no further scores.
    """

    def __init__(self, step: Step[CacheT], cache: CacheT, *, weight: float, begin: Sequence[int], longest: int) -> None:
        self._step, self._cache = step, cache
        self._weight, self._begin, self._longest = weight, tuple(begin), longest
        self._read = 0

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Add the weighted log-probabilities."""
        newest = ids[:, -1:] if self._read else ids.new_tensor([self._begin]).expand(ids.size(0), -1)
        self._read += newest.size(1)
        if self._read > self._longest:
            return scores
        logprobs = self._step(newest, self._cache).float().log_softmax(dim=-1)
        return scores + self._weight * logprobs

    def reorder(self, rows: Tensor) -> None:
        """Reorder the cache."""
        self._cache.reorder(rows)


class ScorerPerText:
    """A `Scorer` that is put together from one for each text of a batch; these cannot share a cache.

    Args:
        scorers: one for each text, at first for one row.
    """

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        self._scorers = scorers
        self._rows = 1

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores of each text's rows by its own scorer."""
        parts = zip(self._scorers, self._per_text(ids), self._per_text(scores), strict=True)
        return torch.cat([scorer(*rows) for scorer, *rows in parts])

    def reorder(self, rows: Tensor) -> None:
        """Reorder the rows of each text among themselves."""
        for place, (scorer, part) in enumerate(zip(self._scorers, self._per_text(rows), strict=True)):
            scorer.reorder(part - place * self._rows)
        self._rows = len(rows) // len(self._scorers)

    def _per_text(self, rows: Tensor) -> Tensor:
        return rows.reshape(len(self._scorers), -1, *rows.shape[1:])


class LanguageModelBonus(Generic[CacheT]):
    """A causal language model as a `Bonus` for CTC prefix beam search, which scores one text at a time, in any order.

    Args:
        step: the language model, over the same vocabulary.
        start: makes an empty cache of one row.
        weight: weight of its log-probabilities.
        begin: its first token.
        end: its end-of-text token; None: it has none.
        longest: maximum number of tokens that it can read; longer texts get no further bonus.
    """

    def __init__(
        self,
        step: Step[CacheT],
        start: Callable[[], CacheT],
        *,
        weight: float,
        begin: int,
        end: int | None,
        longest: int,
    ) -> None:
        self._step, self._start = step, start
        self._weight, self._begin, self._end, self._longest = weight, begin, end, longest
        self._caches: dict[tuple[int, ...], CacheT] = {}

    def __call__(self, text: Sequence[int]) -> tuple[float, dict[int, float]]:
        """Return the bonus if the text ends, and the bonus for every next token."""
        read = (self._begin, *text)
        if len(read) > self._longest:
            return 0.0, {}
        known = next((count for count in range(len(read) - 1, 0, -1) if read[:count] in self._caches), 0)
        cache = deepcopy(self._caches[read[:known]]) if known else self._start()
        logprobs = self._step(torch.tensor([read[known:]]), cache)[0].float().log_softmax(dim=-1)
        self._caches[read] = cache
        if len(self._caches) > KEPT_TEXTS:
            del self._caches[next(iter(self._caches))]
        gains = (self._weight * logprobs).tolist()
        return 0.0 if self._end is None else gains[self._end], dict(enumerate(gains))


class Hotwords:
    """Favors texts with certain words: each token gets a bonus, which is taken back if the word is not completed.

    A `Scorer` for the decoder's search; its method `bonus` is a `Bonus` for CTC prefix beam search.

    Args:
        words: the tokens of each spelling.
        boost: bonus per token of a word.
    """

    def __init__(self, words: Sequence[tuple[int, ...]], *, boost: float) -> None:
        self._boost = boost
        self._longest = max((len(word) for word in words), default=0)
        whole = frozenset(words)
        self._words = {word: _unsettled(word[:-1], whole) + 1 for word in words}
        # beginning of a word -> the tokens that continue it, and the number of its tokens that are not settled
        self._next: dict[tuple[int, ...], set[int]] = {}
        for word in words:
            for place, token in enumerate(word):
                self._next.setdefault(word[:place], set()).add(token)
        self._pending = {begin: _unsettled(begin, whole) for begin in self._next}

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Add the bonuses."""
        if not self._words:
            return scores
        added = torch.zeros_like(scores)
        for row, text in enumerate(ids[:, -self._longest :].tolist()):
            added[row], gains = self.bonus(text)
            for token, gain in gains.items():
                added[row, token] = gain
        return scores + added

    def bonus(self, text: Sequence[int]) -> tuple[float, dict[int, float]]:
        """Return the bonus if the text ends or continues, and other bonuses for tokens that continue a word."""
        text = text[-self._longest :]
        begun = [begin for start in range(len(text) + 1) if (begin := tuple(text[start:])) in self._next]
        unsettled = self._pending[begun[0]]
        found: dict[int, tuple[int, int]] = {}
        # from the shortest beginning to the longest, which takes precedence
        for before in reversed(begun):
            for token in self._next[before]:
                grown = (*before, token)
                finished, pending = found.get(token, (0, 0))
                found[token] = self._words.get(grown, finished), self._pending.get(grown, pending)
        gains = {token: self._boost * (finished + pending - unsettled) for token, (finished, pending) in found.items()}
        return -self._boost * unsettled, gains

    def reorder(self, rows: Tensor) -> None:
        """Do nothing: the scores depend only on the ids."""


def _unsettled(begin: tuple[int, ...], words: Set[tuple[int, ...]]) -> int:
    """Return the number of tokens of a prefix that do not belong to a complete word."""
    return next((count for count in range(len(begin)) if begin[: len(begin) - count] in words), len(begin))
