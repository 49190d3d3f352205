"""Whisper's rules for timestamps in a text."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TimestampRules:
    """A text starts with a timestamp; others are in pairs (end, next start) or before the end, and never decrease.

    If all timestamps together are more likely than any other token, only they are allowed (Radford et al. 2022).
    """

    begin: int
    """Number of tokens in the prompt."""
    first: int
    """Id of the first timestamp, 0 seconds; all ids from here on are timestamps."""
    end: int
    """Id that ends a text; smaller ids are text."""
    max_initial: int | None
    """Index of the largest timestamp that may be first; None: no limit."""

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Ban tokens that are not allowed next."""
        text = ids[:, self.begin :]
        token = torch.arange(scores.size(1), device=scores.device)
        time = token >= self.first
        banned = token == self.first - 1  # the token for texts without timestamps
        if text.size(1) == 0:
            banned = banned | ~time
            if self.max_initial is not None:
                banned = banned | (token > self.first + self.max_initial)
            banned = banned.expand_as(scores)
        else:
            banned = banned | self._out_of_order(text, token, time)
        scores = scores.masked_fill(banned, -math.inf)
        # (rows, vocabulary) -> (rows, 1): a softmax would divide both by the same number
        times = scores.masked_fill(~time, -math.inf).logsumexp(dim=-1, keepdim=True)
        other = scores.masked_fill(time, -math.inf).amax(dim=-1, keepdim=True)
        return scores.masked_fill((times > other) & ~time, -math.inf)

    def _out_of_order(self, text: Tensor, token: Tensor, time: Tensor) -> Tensor:
        was_time = text >= self.first
        last = was_time[:, -1:]
        before = was_time[:, -2:-1] if text.size(1) > 1 else torch.ones_like(last)
        # The end of a phrase may be repeated as the start of the next one; the end must be later than the start.
        latest = text.masked_fill(~was_time, self.first - 1).amax(dim=-1, keepdim=True)
        lowest = torch.where(last & ~before, latest, latest + 1)
        return (last & before & time) | (last & ~before & (token < self.end)) | (time & (token < lowest))
