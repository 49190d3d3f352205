"""Position embeddings of tokens and frames. Nearly all of them are added to the input of the layers."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LearnedPositions(nn.Embedding):
    """Learned position embeddings.

    Args:
        count: number of positions, without the offset.
        width: width of an embedding.
        offset: number of unused leading rows, as in BART checkpoints.
    """

    def __init__(self, count: int, width: int, *, offset: int = 0) -> None:
        super().__init__(count + offset, width)
        self.offset = offset
        self.max_tokens = count

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        """Ids (rows, tokens), the first at position `start` -> (tokens, width)."""
        at = self.offset + start
        return self.weight[at : at + ids.size(1)]


class SinusoidalPositions(LearnedPositions):
    """Fixed positions: sines in the first half of a vector, cosines in the second (Vaswani et al. 2017).

    Checkpoints contain the table.
    """

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width)
        self.weight.requires_grad_(False)
        if not self.weight.is_meta:
            self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Compute the table."""
        rows, width = self.weight.shape
        angle = torch.arange(rows)[:, None] * self._rates(width)
        self.weight.copy_(torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width])

    def _rates(self, width: int) -> Tensor:
        # The reference computes this table in double precision, but Whisper's in single precision.
        return torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10000.0) / width))


class FramePositions(SinusoidalPositions):
    """Sinusoidal positions of Whisper's encoder, where the last sine is exactly 10,000 times slower than the first."""

    def _rates(self, width: int) -> Tensor:
        return torch.exp(torch.arange(width // 2) * (-math.log(10000.0) / (width // 2 - 1)))


class InterleavedRotaryPositions(SinusoidalPositions):
    """Rotary positions (Su et al. 2021) from the same table, which rotate pairs of adjacent dimensions of a head.

    `speechcli.nn.relative.RotaryPositions` pairs the dimensions of the first and second half of a head instead.

    Args:
        count: number of positions.
        width: width of a head.
    """

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        """Ids (rows, tokens), the first at position `start` -> cosines and sines (2, tokens, head width)."""
        sines, cosines = super().forward(ids, start).chunk(2, dim=1)
        return torch.stack([cosines, sines]).repeat_interleave(2, dim=2)


def counted(ids: Tensor, start: int, padding_id: int) -> Tensor:
    """Number the tokens from `padding_id + 1`, as fairseq does; padding is not counted and has position `padding_id`.

    A decoding step with a cache numbers its own tokens and adds the number of tokens before them; for prompts with
    padding, this differs from a full pass. Hugging Face generates with a cache, so this is also the reference.

    Args:
        ids: (rows, tokens).
        start: number of tokens before them.
        padding_id: id of padding.

    Returns:
        (rows, tokens)
    """
    real = ids.ne(padding_id)
    return (real.cumsum(1) + start) * real + padding_id


def sinusoids(position: Tensor, width: int, padding_id: int | None) -> Tensor:
    """Compute sines in the first half of a vector and cosines in the second, with fairseq's rates; zeros for padding.

    Args:
        position: (…), integers.
        width: width of a vector.
        padding_id: position of padding; None: there is none.

    Returns:
        (…, width)
    """
    half = width // 2
    rate = torch.exp(torch.arange(half, device=position.device) * -(math.log(10000.0) / (half - 1)))
    angle = position[..., None] * rate
    table = F.pad(torch.cat([angle.sin(), angle.cos()], dim=-1), (0, width - 2 * half))
    return table if padding_id is None else table.masked_fill(position[..., None] == padding_id, 0.0)


class CountedPositions(nn.Embedding):
    """Learned position embeddings of tokens counted from `padding_id + 1`, as in RoBERTa.

    Args:
        count: number of rows of the table.
        width: width of an embedding.
        padding_id: id of padding; its row gets no gradients.
    """

    def __init__(self, count: int, width: int, *, padding_id: int) -> None:
        super().__init__(count, width, padding_idx=padding_id)
        self.padding_id = padding_id
        self.max_tokens = count - padding_id - 1

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        """Ids (rows, tokens), the first at position `start` -> (rows, tokens, width)."""
        return super().forward(counted(ids, start, self.padding_id))


class CountedSinusoidTable(CountedPositions):
    """The same with fixed sinusoids, in a table that checkpoints contain."""

    def __init__(self, count: int, width: int, *, padding_id: int) -> None:
        super().__init__(count, width, padding_id=padding_id)
        self.weight.requires_grad_(False)
        if not self.weight.is_meta:
            self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Compute the table."""
        rows, width = self.weight.shape
        self.weight.copy_(sinusoids(torch.arange(rows), width, self.padding_id))


class CountedSinusoids(nn.Module):
    """The same without a table.

    Args:
        count: maximum number of tokens.
        width: width of a vector.
        padding_id: id of padding.
    """

    def __init__(self, count: int, width: int, *, padding_id: int) -> None:
        super().__init__()
        self.width, self.padding_id = width, padding_id
        self.max_tokens = count

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        """Ids (rows, tokens), the first at position `start` -> (rows, tokens, width)."""
        return sinusoids(counted(ids, start, self.padding_id), self.width, self.padding_id)


class OffsetSinusoids(nn.Module):
    """Sinusoids without a table for tokens numbered from 2, including padding, as in XGLM.

    Args:
        count: maximum number of tokens.
        width: width of a vector.
        padding_id: position whose vector is zero.
    """

    def __init__(self, count: int, width: int, *, padding_id: int | None) -> None:
        super().__init__()
        self.width, self.padding_id = width, padding_id
        self.max_tokens = count

    def forward(self, ids: Tensor, start: int = 0) -> Tensor:
        """Ids (rows, tokens), the first at position `start` -> (tokens, width)."""
        position = torch.arange(2 + start, 2 + start + ids.size(1), device=ids.device)
        return sinusoids(position, self.width, self.padding_id)


Tables = SinusoidalPositions | CountedSinusoidTable
"""Tables that checkpoints contain although they can be computed."""

Positions = LearnedPositions | CountedPositions | CountedSinusoids | OffsetSinusoids
"""Added position embeddings of decoders."""


class NormedConv(nn.Module):
    """A grouped convolution over time with weight normalization per kernel position (Salimans and Kingma 2016).

    Args:
        width: width of the input and the output.
        kernel: kernel size.
        groups: number of groups.
        stride: stride.
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
        """(batch, width, frames) -> (batch, width, frames / stride), plus one frame if the kernel size is even."""
        weight = torch._weight_norm(self.direction, self.scale, 2)
        # Kernel positions before channels in memory: transposing takes oneDNN as long as the convolution itself.
        weight = weight.transpose(1, 2).contiguous().transpose(1, 2)
        return F.conv1d(x, weight, self.bias, self.stride, padding=weight.size(2) // 2, groups=self.groups)


class ConvPositions(nn.Module):
    """A grouped convolution over the frames with a large kernel, as in wav2vec 2.0 (Baevski et al. 2020).

    Args:
        width: width of the frames.
        kernel: kernel size in frames.
        groups: number of groups.
        activation: activation after the convolution.
    """

    def __init__(self, width: int, kernel: int, groups: int, activation: nn.Module) -> None:
        super().__init__()
        self.conv = NormedConv(width, kernel, groups)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, width) -> (batch, frames, width)."""
        # With an even kernel there is one frame too many.
        y = self.conv(x.transpose(1, 2))[..., : x.size(1)]
        return self.activation(y).transpose(1, 2)  # type: ignore[no-any-return]


class UnreadConvPositions(nn.Module):
    """The unused weights of such a convolution in some checkpoints, kept for saving them again."""

    def __init__(self, width: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.register_buffer("direction", nn.init.normal_(torch.empty(width, width // groups, kernel)))
        self.register_buffer("scale", torch.ones(1, 1, kernel))
        self.register_buffer("bias", torch.zeros(width))


class BatchNormConvPositions(nn.Module):
    """A batch norm and a convolution without weight normalization, as in some HuBERT checkpoints."""

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
    """A stack of convolutions with small kernels, each with a norm without weights (data2vec, Baevski et al. 2022).

    Args:
        width: width of the frames.
        layers: number of convolutions.
        kernel: kernel size in frames.
        groups: number of groups.
        activation: activation after each convolution.
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
