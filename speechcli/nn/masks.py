"""Padding masks from lengths, and the spans that SpecAugment hides."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


def padding_mask(lengths: Tensor, size: int) -> Tensor:
    """Lengths (batch,) -> (batch, size), true where an item is real."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


@dataclass(frozen=True)
class Spans:
    """How much of an axis SpecAugment hides."""

    probability: float
    """About this share of the axis is hidden (overlaps make it less)."""
    length: int
    """Of one span."""
    minimum: int
    """Spans at least, when the probability is above zero."""

    def draw(self, lengths: Tensor, size: int) -> Tensor:
        """Draw spans for each row, as Hugging Face's rule says but for clips shorter than one span.

        There the reference raises; here the span is cut to the clip.

        Args:
            lengths: (batch,) real length of each row.
            size: of the padded axis.

        Returns:
            (batch, size), true where hidden.
        """
        hidden = torch.zeros(len(lengths), size, dtype=torch.bool, device=lengths.device)
        luck = torch.rand(()).item()
        for row, length in enumerate(lengths.tolist()):
            span = min(self.length, length)
            count = max(int(self.probability * length / self.length + luck), self.minimum)
            count = min(count, size // self.length if size >= self.length else 1, length - span + 1)
            for start in torch.randperm(length - span + 1)[:count].tolist():
                hidden[row, start : start + span] = True
        return hidden


class SpecAugment(nn.Module):
    """Hide spans of frames behind a learned vector and spans of channels behind zeros (Park et al. 2019), in training.

    Args:
        width: of the frames; None: there is no learned vector, spans of frames become zeros too.
        time: spans of frames.
        channels: spans of channels.
        apply: false keeps the vector, which checkpoints carry, and hides nothing.
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
