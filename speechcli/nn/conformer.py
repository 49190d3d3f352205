"""The conformer layer, with the same call signature as an encoder's `TransformerLayer`."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from speechcli.nn.attention import MultiHeadAttention
from speechcli.nn.feedforward import FeedForward


class ConvModule(nn.Module):
    """The convolution module: a gated depthwise convolution over the frames (Gulati et al. 2020).

    Args:
        width: width of the input and the output.
        kernel: kernel size in frames.
        activation: activation after the depthwise convolution.
        norm: norm of the input.
        depthwise_norm: norm after the depthwise convolution, over the channels of (batch, width, frames).
        dropout: dropout on the output.
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
        """Compute the convolution module.

        Args:
            x: (batch, frames, width).
            mask: bool, false for padding, (batch, frames).

        Returns:
            (batch, frames, width)
        """
        x = F.glu(self.gate(self.norm(x)), dim=-1)
        x = self.output(self.activation(self._convolve(x, mask)))
        return self.dropout(x)  # type: ignore[no-any-return]

    def _convolve(self, x: Tensor, mask: Tensor | None) -> Tensor:
        # Like the reference, this also convolves padding, which changes the last frames of shorter recordings.
        side = self.depthwise.kernel_size[0] // 2
        x = self.depthwise(F.pad(x.transpose(1, 2), (side, side)))
        return self.depthwise_norm(x).transpose(1, 2)  # type: ignore[no-any-return]


class CausalConvModule(ConvModule):
    """A causal variant that masks padding, with a norm over the width (w2v-BERT 2.0, Barrault et al. 2023)."""

    ignores_padding = True

    def _convolve(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None:
            x = x.masked_fill(~mask[..., None], 0.0)
        x = self.depthwise(F.pad(x.transpose(1, 2), (self.depthwise.kernel_size[0] - 1, 0)))
        return self.depthwise_norm(x.transpose(1, 2))  # type: ignore[no-any-return]


class ConformerLayer(nn.Module):
    """Half a feed-forward network, attention, convolution, half a feed-forward network, norm (Gulati et al. 2020).

    Args:
        ffn1: the first feed-forward network.
        self_attn: the self-attention.
        conv: the convolution module, with its own norm.
        ffn2: the second feed-forward network.
        norm: creates a norm; called for both feed-forward networks, the attention and the output.
        ffn_dropout: dropout after each feed-forward network.
        attn_dropout: dropout after the attention.
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
        """Whether padding does not change the other frames."""
        return self.conv.ignores_padding

    def forward(self, x: Tensor, *, mask: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """Run the layer.

        Args:
            x: (batch, frames, width).
            mask: bool, false for padding, (batch, frames).
            positions: position information in the form that the attention takes.

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
