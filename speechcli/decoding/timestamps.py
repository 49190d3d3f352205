"""Whisper's rules for timestamps in a text."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TimestampRules:
    """A text starts with a timestamp; timestamps come in pairs (end, next start) or before the end, and never decrease.

    If all timestamps together are more likely than any other token, only they are allowed (Radford et al. 2022).
    """

    begin: int
    """Tokens in the prompt."""
    first: int
    """Id of time 0; all times are from here on, all that is no time is before."""
    end: int
    """The id that ends a text; text is before it."""
    max_initial: int | None
    """Largest first time, counted from `first`."""

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Ban what may not come next."""
        said = ids[:, self.begin :]
        token = torch.arange(scores.size(1), device=scores.device)
        time = token >= self.first
        banned = token == self.first - 1  # the token that asks for no times
        if said.size(1) == 0:
            banned = banned | ~time
            if self.max_initial is not None:
                banned = banned | (token > self.first + self.max_initial)
            banned = banned.expand_as(scores)
        else:
            banned = banned | self._out_of_order(said, token, time)
        scores = scores.masked_fill(banned, -math.inf)
        # (rows, vocabulary) -> (rows, 1): a softmax's divisor is the same on both sides
        times = scores.masked_fill(~time, -math.inf).logsumexp(dim=-1, keepdim=True)
        other = scores.masked_fill(time, -math.inf).amax(dim=-1, keepdim=True)
        return scores.masked_fill((times > other) & ~time, -math.inf)

    def _out_of_order(self, said: Tensor, token: Tensor, time: Tensor) -> Tensor:
        was_time = said >= self.first
        last = was_time[:, -1:]
        before = was_time[:, -2:-1] if said.size(1) > 1 else torch.ones_like(last)
        # The end of a phrase may be said again, as the start of the next; a start must be followed by a later time.
        latest = said.masked_fill(~was_time, self.first - 1).amax(dim=-1, keepdim=True)
        lowest = torch.where(last & ~before, latest, latest + 1)
        return (last & before & time) | (last & ~before & (token < self.end)) | (time & (token < lowest))
