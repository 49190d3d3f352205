"""CTC decoding: greedy and prefix beam search (Graves et al. 2006)."""

import math
from collections.abc import Callable, Sequence
from itertools import groupby

from torch import Tensor

Bonus = Callable[[Sequence[int]], tuple[float, dict[int, float]]]
"""A text -> its bonus if it ends or continues, and other bonuses for some next tokens."""

MARGIN = 12.0
"""Beam search ignores tokens whose log-probability in a frame is this much below the highest one."""


def collapse(path: Sequence[int], blank: int) -> tuple[int, ...]:
    """Collapse a path of one token per frame: merge repeated tokens, then drop blanks."""
    return tuple(token for token, _ in groupby(path) if token != blank)


def as_path(tokens: Sequence[int], blank: int) -> list[int]:
    """Return a path that collapses to a text."""
    return [each for token in tokens for each in (token, blank)]


class _Prefix:
    """A prefix as a node in the tree of all texts; equal prefixes are the same object."""

    __slots__ = ("_bonuses", "_gains", "children", "gain", "parent", "token")

    def __init__(
        self, bonuses: Sequence[Bonus], parent: "_Prefix | None" = None, token: int | None = None, gain: float = 0.0
    ) -> None:
        self.parent, self.token = parent, token
        self.children: dict[int, _Prefix] = {}
        self._bonuses = bonuses
        self._gains: tuple[float, dict[int, float]] | None = None
        self.gain = gain

    def child(self, token: int) -> "_Prefix":
        if token not in self.children:
            other, gains = self.gains()
            self.children[token] = _Prefix(self._bonuses, self, token, self.gain + gains.get(token, other))
        return self.children[token]

    def gains(self) -> tuple[float, dict[int, float]]:
        if self._gains is None:
            text = self.tokens()
            each = [bonus(text) for bonus in self._bonuses]
            named = {token for _, gains in each for token in gains}
            summed = {token: math.fsum(gains.get(token, other) for other, gains in each) for token in named}
            self._gains = math.fsum(other for other, _ in each), summed
        return self._gains

    def tokens(self) -> tuple[int, ...]:
        found: list[int] = []
        node: _Prefix | None = self
        while node is not None and node.token is not None:
            found.append(node.token)
            node = node.parent
        return tuple(reversed(found))


def prefix_beam_search(
    logprobs: Tensor, *, beams: int, blank: int, bonuses: Sequence[Bonus] = ()
) -> list[tuple[tuple[int, ...], float]]:
    """Prefix beam search: the probability of a text is the sum over its paths (Graves 2012, section 7.5.3).

    Args:
        logprobs: (frames, vocabulary) of one recording.
        beams: number of texts kept from frame to frame.
        blank: the CTC blank.
        bonuses: scores that are added to those of texts, such as a language model's.

    Returns:
        At most `beams` texts with log-probabilities, bonuses included, best first.
    """
    # prefix -> log-probability of its paths that end in a blank, and of those that end in its last token
    kept: dict[_Prefix, tuple[float, float]] = {_Prefix(bonuses): (0.0, -math.inf)}
    likely = logprobs >= logprobs.amax(dim=-1, keepdim=True) - MARGIN
    likely[:, blank] = True
    for frame, considered in zip(logprobs.float(), likely, strict=True):
        ids = considered.nonzero().squeeze(1)
        tokens = dict(zip(ids.tolist(), frame[ids].tolist(), strict=True))
        blank_logprob = tokens.pop(blank)
        grown: dict[_Prefix, tuple[float, float]] = {}
        for prefix, (at_blank, at_token) in kept.items():
            total = _logadd(at_blank, at_token)
            again = at_token + tokens.get(-1 if prefix.token is None else prefix.token, -math.inf)
            _put(grown, prefix, total + blank_logprob, again)
            for token, logprob in tokens.items():
                before = at_blank if token == prefix.token else total
                _put(grown, prefix.child(token), -math.inf, before + logprob)
        best = sorted(grown.items(), key=lambda item: _logadd(*item[1]) + item[0].gain, reverse=True)
        kept = dict(best[:beams])
    ended = [(prefix.tokens(), _logadd(*logs) + prefix.gain + prefix.gains()[0]) for prefix, logs in kept.items()]
    return sorted(ended, key=lambda item: item[1], reverse=True)


def _put(grown: dict[_Prefix, tuple[float, float]], prefix: _Prefix, at_blank: float, at_token: float) -> None:
    if at_blank == at_token == -math.inf:
        return
    blank, token = grown.get(prefix, (-math.inf, -math.inf))
    grown[prefix] = _logadd(blank, at_blank), _logadd(token, at_token)


def _logadd(a: float, b: float) -> float:
    if a == -math.inf or b == -math.inf:
        return max(a, b)
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))
