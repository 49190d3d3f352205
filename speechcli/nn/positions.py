"""Positions: what tells a layer where a token or a frame stands. Nearly all return what is added to the input."""

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
        if not self.weight.is_meta:
            self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Fill the table."""
        rows, width = self.weight.shape
        angle = torch.arange(rows)[:, None] * self._rates(width)
        self.weight.copy_(torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width])

    def _rates(self, width: int) -> Tensor:
        # The reference computes this table in double precision, and Whisper's in single.
        return torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10000.0) / width))


class FramePositions(SinusoidalPositions):
    """The same for the frames of Whisper's encoder, where the slowest sine is exactly 10,000 times slower."""

    def _rates(self, width: int) -> Tensor:
        return torch.exp(torch.arange(width // 2) * (-math.log(10000.0) / (width // 2 - 1)))


class InterleavedRotaryPositions(SinusoidalPositions):
    """Rotary positions (Su et al. 2021) by the same table: each pair of neighbouring numbers of a head is rotated.

    `speechcli.nn.relative.RotaryPositions` pairs the first half of a head with the second instead.

    Args:
        count: positions.
        width: of a head.
    """

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        """Ids (rows, tokens) that begin at position `start` -> cosines and sines (2, tokens, head width)."""
        sines, cosines = super().forward(ids, start).chunk(2, dim=1)
        return torch.stack([cosines, sines]).repeat_interleave(2, dim=2)


def counted(ids: Tensor, start: int, padding_id: int) -> Tensor:
    """Number the tokens from `padding_id + 1`, as fairseq does: padding is not counted and stands at `padding_id`.

    A cached step counts anew from its first token and adds the tokens before it; where the prompt holds padding, that
    differs from one full pass. Hugging Face generates with the cached count, and so do we.

    Args:
        ids: (rows, tokens).
        start: tokens before them.
        padding_id: the id that is not counted.

    Returns:
        (rows, tokens)
    """
    real = ids.ne(padding_id)
    return (real.cumsum(1) + start) * real + padding_id


def sinusoids(position: Tensor, width: int, padding_id: int | None) -> Tensor:
    """Sines in the first half of a vector, cosines in the second, with fairseq's rates; zeros for padding.

    Args:
        position: (…) of whole numbers.
        width: of a vector.
        padding_id: the position of padding; None: there is none.

    Returns:
        (…, width)
    """
    half = width // 2
    rate = torch.exp(torch.arange(half, device=position.device) * -(math.log(10000.0) / (half - 1)))
    angle = position[..., None] * rate
    table = F.pad(torch.cat([angle.sin(), angle.cos()], dim=-1), (0, width - 2 * half))
    return table if padding_id is None else table.masked_fill(position[..., None] == padding_id, 0.0)


class CountedPositions(nn.Embedding):
    """Learned vectors for tokens counted from `padding_id + 1`, as RoBERTa does.

    Args:
        count: rows of the table.
        width: of a vector.
        padding_id: the id that is not counted; its own row serves it, and learns nothing.
    """

    def __init__(self, count: int, width: int, *, padding_id: int) -> None:
        super().__init__(count, width, padding_idx=padding_id)
        self.padding_id = padding_id
        self.max_tokens = count - padding_id - 1

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        """Ids (rows, tokens) that begin at position `start` -> (rows, tokens, width)."""
        return super().forward(counted(ids, start, self.padding_id))


class CountedSinusoidTable(CountedPositions):
    """The same with sinusoids that do not learn, in a table that checkpoints hold."""

    def __init__(self, count: int, width: int, *, padding_id: int) -> None:
        super().__init__(count, width, padding_id=padding_id)
        self.weight.requires_grad_(False)
        if not self.weight.is_meta:
            self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Fill the table."""
        rows, width = self.weight.shape
        self.weight.copy_(sinusoids(torch.arange(rows), width, self.padding_id))


class CountedSinusoids(nn.Module):
    """The same without a table.

    Args:
        count: of tokens that a text may have.
        width: of a vector.
        padding_id: the id that is not counted.
    """

    def __init__(self, count: int, width: int, *, padding_id: int) -> None:
        super().__init__()
        self.width, self.padding_id = width, padding_id
        self.max_tokens = count

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        """Ids (rows, tokens) that begin at position `start` -> (rows, tokens, width)."""
        return sinusoids(counted(ids, start, self.padding_id), self.width, self.padding_id)


class OffsetSinusoids(nn.Module):
    """Sinusoids for tokens numbered from 2 on, padding or not, as XGLM has them; no table.

    Args:
        count: of tokens that a text may have.
        width: of a vector.
        padding_id: the position whose vector is zero.
    """

    def __init__(self, count: int, width: int, *, padding_id: int | None) -> None:
        super().__init__()
        self.width, self.padding_id = width, padding_id
        self.max_tokens = count

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        """Ids (rows, tokens) that begin at position `start` -> (tokens, width)."""
        position = torch.arange(2 + start, 2 + start + ids.size(1), device=ids.device)
        return sinusoids(position, self.width, self.padding_id)


Tables = SinusoidalPositions | CountedSinusoidTable
"""What checkpoints hold although it can be computed."""

Positions = LearnedPositions | CountedPositions | CountedSinusoids | OffsetSinusoids
"""What a decoder may count its tokens with."""


class NormedConv(nn.Module):
    """A wide grouped convolution over time, whose weight is a direction and a length a tap (Salimans and Kingma 2016).

    Args:
        width: of what comes in and goes out.
        kernel: number of taps.
        groups: of the convolution.
        stride: of the convolution.
    """

    def __init__(self, width: int, kernel: int, groups: int, *, stride: int = 1) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(1, 1, kernel))
        self.direction = nn.Parameter(torch.empty(width, width // groups, kernel))
        self.bias = nn.Parameter(torch.empty(width))
        self.groups, self.stride = groups, stride
        nn.init.ones_(self.scale)
        nn.init.normal_(self.direction)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, frames) -> (batch, width, frames / stride), and one more where the kernel is even."""
        weight = torch._weight_norm(self.direction, self.scale, 2)
        # The taps before the channels in memory: turning them around takes oneDNN as long as the convolution itself.
        weight = weight.transpose(1, 2).contiguous().transpose(1, 2)
        return F.conv1d(x, weight, self.bias, self.stride, padding=weight.size(2) // 2, groups=self.groups)


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
        self.conv = NormedConv(width, kernel, groups)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, width) -> (batch, frames, width)."""
        # An even kernel makes one frame too many.
        y = self.conv(x.transpose(1, 2))[..., : x.size(1)]
        return self.activation(y).transpose(1, 2)  # type: ignore[no-any-return]


class UnreadConvPositions(nn.Module):
    """The weights of such a convolution, which some checkpoints have and nothing reads: kept to be written back."""

    def __init__(self, width: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.register_buffer("direction", nn.init.normal_(torch.empty(width, width // groups, kernel)))
        self.register_buffer("scale", torch.ones(1, 1, kernel))
        self.register_buffer("bias", torch.zeros(width))


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
