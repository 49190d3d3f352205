"""The conformer layer: the same call signature as `TransformerLayer` in an encoder."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from speechcli.nn.attention import MultiHeadAttention
from speechcli.nn.feedforward import FeedForward


class ConvModule(nn.Module):
    """Gated depthwise convolution over the frames around each (Gulati et al. 2020).

    Args:
        width: of the input and the output.
        kernel: frames seen, the present one included.
        activation: after the depthwise convolution.
        norm: over the input.
        depthwise_norm: after the depthwise convolution, over channels of (batch, width, frames).
        dropout: on the output, in training.
    """

    ignores_padding = False

    def __init__(
        self,
        width: int,
        kernel: int,
        activation: nn.Module,
        *,
        norm: nn.Module,
        depthwise_norm: nn.Module,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.gate = nn.Linear(width, 2 * width, bias=False)
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width, bias=False)
        self.depthwise_norm = depthwise_norm
        self.activation = activation
        self.output = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve.

        Args:
            x: (batch, frames, width).
            mask: bool, true where a frame is real, (batch, frames).

        Returns:
            (batch, frames, width)
        """
        x = F.glu(self.gate(self.norm(x)), dim=-1)
        x = self.output(self.activation(self._convolve(x, mask)))
        return self.dropout(x)  # type: ignore[no-any-return]

    def _convolve(self, x: Tensor, mask: Tensor | None) -> Tensor:
        # The reference convolves padding too: after a shorter recording its last frames see what follows.
        side = self.depthwise.kernel_size[0] // 2
        x = self.depthwise(F.pad(x.transpose(1, 2), (side, side)))
        return self.depthwise_norm(x).transpose(1, 2)  # type: ignore[no-any-return]


class CausalConvModule(ConvModule):
    """The same over earlier real frames, with a norm over the width (w2v-BERT 2.0, Barrault et al. 2023)."""

    ignores_padding = True

    def _convolve(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None:
            x = x.masked_fill(~mask[..., None], 0.0)
        x = self.depthwise(F.pad(x.transpose(1, 2), (self.depthwise.kernel_size[0] - 1, 0)))
        return self.depthwise_norm(x.transpose(1, 2))  # type: ignore[no-any-return]


class ConformerLayer(nn.Module):
    """Half a feed-forward, attention, convolution, half a feed-forward, norm (Gulati et al. 2020).

    Args:
        ffn1: a built feed-forward network.
        self_attn: a built self-attention.
        conv: a built convolution module, with its own norm.
        ffn2: a built feed-forward network.
        norm: makes a norm; called once a sub-layer and once for the output.
        ffn_dropout: after each feed-forward network, in training.
        attn_dropout: after the attention, in training.
    """

    def __init__(
        self,
        ffn1: FeedForward,
        self_attn: MultiHeadAttention,
        conv: ConvModule,
        ffn2: FeedForward,
        *,
        norm: Callable[[], nn.Module],
        ffn_dropout: float = 0.0,
        attn_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.ffn1, self.ffn1_norm = ffn1, norm()
        self.self_attn, self.self_attn_norm = self_attn, norm()
        self.conv = conv
        self.ffn2, self.ffn2_norm = ffn2, norm()
        self.norm = norm()
        self.ffn_dropout = nn.Dropout(ffn_dropout)
        self.attn_dropout = nn.Dropout(attn_dropout)

    @property
    def ignores_padding(self) -> bool:
        """Whether frames before the padding become the same as without it."""
        return self.conv.ignores_padding

    def forward(self, x: Tensor, *, mask: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """Run the layer.

        Args:
            x: (batch, frames, width).
            mask: bool, true where a frame is real, (batch, frames).
            positions: for the attention, in the form that it reads.

        Returns:
            (batch, frames, width)
        """
        seen = None if mask is None else mask[:, None, None]
        x = x + 0.5 * self.ffn_dropout(self.ffn1(self.ffn1_norm(x)))
        x = x + self.attn_dropout(self.self_attn(self.self_attn_norm(x), mask=seen, positions=positions))
        x = x + self.conv(x, mask)
        x = x + 0.5 * self.ffn_dropout(self.ffn2(self.ffn2_norm(x)))
        y: Tensor = self.norm(x)
        return y
