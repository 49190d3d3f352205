"""Positions: what tells a layer where a token or a frame stands. All return what is added to the input."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LearnedPositions(nn.Embedding):
    """One learned vector a position.

    Args:
        count: positions, without the offset.
        width: of a vector.
        offset: leading rows that are never used, as BART checkpoints have them.
    """

    def __init__(self, count: int, width: int, *, offset: int = 0) -> None:
        super().__init__(count + offset, width)
        self.offset = offset
        self.max_tokens = count

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        """Ids (rows, tokens) that begin at position `start` -> (tokens, width)."""
        at = self.offset + start
        return self.weight[at : at + ids.size(1)]


class SinusoidalPositions(LearnedPositions):
    """Positions that do not learn: sines in the first half of a vector, cosines in the second (Vaswani et al. 2017).

    Checkpoints hold the table.
    """

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width)
        self.weight.requires_grad_(False)
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Fill the table."""
        rows, width = self.weight.shape
        angle = torch.arange(rows)[:, None] * self._rates(width)
        self.weight.copy_(torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width])

    def _rates(self, width: int) -> Tensor:
        return torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))


class FramePositions(SinusoidalPositions):
    """The same for the frames of Whisper's encoder, where the slowest sine is exactly 10,000 times slower."""

    def _rates(self, width: int) -> Tensor:
        return torch.exp(torch.arange(width // 2) * (-math.log(10000.0) / (width // 2 - 1)))


class CountedPositions(nn.Embedding):
    """Learned vectors for tokens counted from `padding_id + 1`, as RoBERTa does: padding is not counted.

    A cached step counts anew from its first token and adds the tokens before it; where the prompt holds padding, that
    differs from one full pass. Hugging Face generates with the cached count, and so do we.

    Args:
        count: rows of the table.
        width: of a vector.
        padding_id: the id that is not counted; its own row serves it.
    """

    def __init__(self, count: int, width: int, *, padding_id: int) -> None:
        super().__init__(count, width)
        self.padding_id = padding_id
        self.max_tokens = count - padding_id - 1

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        """Ids (rows, tokens) that begin at position `start` -> (rows, tokens, width)."""
        real = ids.ne(self.padding_id)
        position = (real.cumsum(1) + start) * real + self.padding_id
        return F.embedding(position, self.weight)


class ConvPositions(nn.Module):
    """A wide grouped convolution over the frames, as in wav2vec 2.0 (Baevski et al. 2020).

    Args:
        width: of the frames.
        kernel: frames seen around each.
        groups: of the convolution.
        activation: after it.
    """

    def __init__(self, width: int, kernel: int, groups: int, activation: nn.Module) -> None:
        super().__init__()
        conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups)
        self.conv = nn.utils.parametrizations.weight_norm(conv, dim=2)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, width) -> (batch, frames, width)."""
        # An even kernel makes one frame too many.
        y = self.conv(x.transpose(1, 2))[..., : x.size(1)]
        return self.activation(y).transpose(1, 2)  # type: ignore[no-any-return]


class BatchNormConvPositions(nn.Module):
    """The same with a batch norm before a plain convolution, as some HuBERT checkpoints have it."""

    def __init__(self, width: int, kernel: int, groups: int, activation: nn.Module) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, width) -> (batch, frames, width)."""
        y = self.conv(self.norm(x.transpose(1, 2)))[..., : x.size(1)]
        return self.activation(y).transpose(1, 2)  # type: ignore[no-any-return]


class StackedConvPositions(nn.Module):
    """Narrow convolutions one after the other, each with a norm without weights (data2vec, Baevski et al. 2022).

    Args:
        width: of the frames.
        layers: of convolutions.
        kernel: frames that each sees around each.
        groups: of the convolutions.
        activation: after each.
    """

    def __init__(self, width: int, layers: int, kernel: int, groups: int, activation: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups) for _ in range(layers)
        )
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, width) -> (batch, frames, width)."""
        frames = x.size(1)
        for conv in self.layers:
            y = conv(x.transpose(1, 2))[..., :frames].transpose(1, 2)
            x = self.activation(F.layer_norm(y, y.shape[-1:]))
        return x
