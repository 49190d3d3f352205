"""Padding masks, and the masks of SpecAugment."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


def padding_mask(lengths: Tensor, size: int) -> Tensor:
    """Lengths (batch,) -> (batch, size), false for padding."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


@dataclass(frozen=True)
class Spans:
    """How much of an axis SpecAugment masks."""

    probability: float
    """Approximate share of the axis that is masked (overlaps reduce it)."""
    length: int
    """Length of one span."""
    minimum: int
    """Minimum number of spans, if the probability is above zero."""

    def draw(self, lengths: Tensor, size: int) -> Tensor:
        """Draw spans for each row, as in Hugging Face.

        Rows shorter than one span are not masked, even if all are, where the reference raises an error.

        Args:
            lengths: (batch,) length of each row without padding.
            size: size of the padded axis.

        Returns:
            (batch, size), true where masked.
        """
        hidden = torch.zeros(len(lengths), size, dtype=torch.bool, device=lengths.device)
        rounding = torch.rand(()).item()  # for the whole batch: rounds the numbers of spans down or up at random
        for row, length in enumerate(lengths.tolist()):
            count = max(int(self.probability * length / self.length + rounding), self.minimum)
            count = min(count, size // self.length)
            for start in torch.randperm(max(length - self.length + 1, 0))[:count].tolist():
                hidden[row, start : start + self.length] = True
        return hidden


class SpecAugment(nn.Module):
    """In training, replace spans of frames by a learned vector and spans of channels by zeros (Park et al. 2019).

    Args:
        width: width of the frames; None: there is no learned vector, masked frames become zeros too.
        time: spans of frames.
        channels: spans of channels.
        apply: false: nothing is masked, but the vector is kept, since checkpoints contain it.
    """

    def __init__(self, width: int | None, *, time: Spans, channels: Spans, apply: bool) -> None:
        super().__init__()
        self.embedding = None if width is None else nn.Parameter(nn.init.uniform_(torch.empty(width)))
        self.time, self.channels, self.apply_masks = time, channels, apply

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(batch, frames, width), (batch,) -> (batch, frames, width)."""
        if not (self.training and self.apply_masks):
            return x
        batch, frames, width = x.shape
        if lengths is None:
            lengths = torch.full((batch,), frames, device=x.device)
        if self.time.probability > 0:
            hidden = self.time.draw(lengths, frames)[..., None]
            x = x.masked_fill(hidden, 0.0) if self.embedding is None else x.where(~hidden, self.embedding.to(x.dtype))
        if self.channels.probability > 0:
            every = torch.full((batch,), width, device=x.device)
            x = x.masked_fill(self.channels.draw(every, width)[:, None], 0.0)
        return x
