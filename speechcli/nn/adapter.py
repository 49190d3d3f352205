"""Adapters of encoders: bottlenecks inside the layers, and layers that shorten the output for the decoder."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechcli.nn.attention import MultiHeadAttention
from speechcli.nn.feedforward import FeedForward
from speechcli.nn.masks import padding_mask


class BottleneckAdapter(nn.Module):
    """A narrow network with a residual connection at the end of a layer, for one language (MMS, Pratap et al. 2024).

    Args:
        width: width of the frames.
        inner: width of the bottleneck.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.ffn = FeedForward(width, inner, nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, width) -> (batch, frames, width)."""
        return x + self.ffn(self.norm(x))  # type: ignore[no-any-return]


class GatedConv(nn.Module):
    """A strided convolution with a gated linear unit (wav2vec 2.0's `add_adapter`).

    Args:
        width: width of the frames.
        kernel: kernel size in frames.
        stride: stride in frames.
    """

    def __init__(self, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, 2 * width, kernel, stride, padding=1)

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(batch, frames, width), (batch,) -> (batch, fewer frames, width), (batch,)."""
        # The reference computes the lengths for a kernel size of three, even if it is another.
        return _pool(x, self.conv), shortened(lengths, 3, self.conv.stride[0], padding=1)


class PoolingLayer(nn.Module):
    """A transformer layer over pooled frames (w2v-BERT 2.0, Barrault et al. 2023).

    Args:
        self_attn: the self-attention.
        ffn: the feed-forward network.
        width: width of the frames.
        kernel: kernel size of both pooling convolutions, in frames.
        stride: stride of both, in frames.
        norm: creates a norm; called three times.
        attn_dropout: dropout after the attention.
        ffn_dropout: dropout after the feed-forward network.
    """

    def __init__(
        self,
        self_attn: MultiHeadAttention,
        ffn: FeedForward,
        *,
        width: int,
        kernel: int,
        stride: int,
        norm: Callable[[], nn.Module],
        attn_dropout: float = 0.0,
        ffn_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.residual_norm = norm()
        self.residual_pool = nn.Conv1d(width, 2 * width, kernel, stride, padding=stride // 2)
        self.self_attn, self.self_attn_norm = self_attn, norm()
        self.self_attn_pool = nn.Conv1d(width, 2 * width, kernel, stride, padding=stride // 2)
        self.ffn, self.ffn_norm = ffn, norm()
        self.kernel, self.stride = kernel, stride
        self.attn_dropout, self.ffn_dropout = nn.Dropout(attn_dropout), nn.Dropout(ffn_dropout)

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(batch, frames, width), (batch,) -> (batch, fewer frames, width), (batch,)."""
        # The reference computes the lengths with a padding of half the kernel, although it pads by half the stride.
        lengths = shortened(lengths, self.kernel, self.stride, padding=self.kernel // 2)
        residual = _pool(self.residual_norm(x), self.residual_pool)
        x = _pool(self.self_attn_norm(x), self.self_attn_pool)
        mask = None if lengths is None else padding_mask(lengths, x.size(1))[:, None, None]
        x = residual + self.attn_dropout(self.self_attn(x, mask=mask))
        return x + self.ffn_dropout(self.ffn(self.ffn_norm(x))), lengths


class LengthAdapter(nn.Module):
    """Layers that shorten the encoder's output.

    Args:
        layers: each takes and returns frames and their lengths without padding.
        width: width of the output.
        ffn: feed-forward network; half of its output is added before the layers.
        projection: from the encoder's width to that of the layers, if they differ.
        ffn_dropout: dropout after the feed-forward network.
        layer_dropout: probability of skipping a layer in training.
    """

    def __init__(
        self,
        layers: Sequence[GatedConv] | Sequence[PoolingLayer],
        *,
        width: int,
        ffn: FeedForward | None = None,
        projection: nn.Module | None = None,
        ffn_dropout: float = 0.0,
        layer_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.ffn, self.ffn_dropout = ffn, nn.Dropout(ffn_dropout)
        self.projection = projection
        self.layers = nn.ModuleList(layers)
        self.layer_dropout = layer_dropout
        self.width = width

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(batch, frames, encoder width), (batch,) -> (batch, fewer frames, width), (batch,)."""
        if self.ffn is not None:
            x = x + 0.5 * self.ffn_dropout(self.ffn(x))
        if self.projection is not None:
            x = self.projection(x)
        for layer in self.layers:
            if self.training and torch.rand(()).item() < self.layer_dropout:
                continue
            x, lengths = layer(x, lengths)
        # Where the layers' lengths are larger than the number of frames, the reference crashes.
        return x, None if lengths is None else lengths.clamp(max=x.size(1))


def shortened(lengths: Tensor | None, kernel: int, stride: int, *, padding: int) -> Tensor | None:
    """Return the lengths (batch,) after a convolution over frames of these lengths (batch,), at least one frame."""
    if lengths is None:
        return None
    return ((lengths + 2 * padding - kernel).div(stride, rounding_mode="floor") + 1).clamp(min=1)


def _pool(x: Tensor, conv: nn.Conv1d) -> Tensor:
    # (batch, frames, width) -> (batch, fewer frames, width), at least one
    short = conv.kernel_size[0] - 2 * int(conv.padding[0]) - x.size(1)
    return F.glu(conv(F.pad(x.transpose(1, 2), (0, max(0, short)))), dim=1).transpose(1, 2)
