"""The transformer layer of encoders and decoders, with the norms before or after the sub-layers."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from speechcli.nn.attention import CrossAttention, MultiHeadAttention
from speechcli.nn.cache import KeyValues, LayerCache
from speechcli.nn.feedforward import FeedForward


class TransformerLayer(nn.Module):
    """Self-attention, optional cross-attention and feed-forward network, each with a residual connection and a norm.

    Norm first:  x + f(norm(x)).        Norm last:  norm(x + f(x)).

    Args:
        self_attn: the self-attention.
        ffn: the feed-forward network.
        norm: creates a norm; called once per sub-layer.
        norm_first: whether the norms come before the sub-layers.
        cross_attn: the cross-attention, for decoders.
        bottleneck: an adapter at the end of the layer, with its own residual connection, for encoders.
        dropout: dropout after each sub-layer.
    """

    ignores_padding = True

    def __init__(
        self,
        self_attn: MultiHeadAttention,
        ffn: FeedForward,
        *,
        norm: Callable[[], nn.Module],
        norm_first: bool,
        cross_attn: CrossAttention | None = None,
        bottleneck: nn.Module | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.self_attn, self.self_attn_norm = self_attn, norm()
        self.cross_attn, self.cross_attn_norm = cross_attn, norm() if cross_attn is not None else None
        self.ffn, self.ffn_norm = ffn, norm()
        self.bottleneck = bottleneck
        self.norm_first = norm_first
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """Run as an encoder layer.

        Args:
            x: (batch, frames, width).
            mask: bool, false for padding, (batch, frames).
            positions: position information in the form that the attention takes.

        Returns:
            (batch, frames, width)
        """
        seen = None if mask is None else mask[:, None, None]
        x = self._residual(x, self.self_attn_norm, partial(self.self_attn, mask=seen, positions=positions))
        x = self._feed_forward(x)
        return x if self.bottleneck is None else self.bottleneck(x)

    def project(self, memory: Tensor) -> LayerCache:
        """Return a new cache with the memory (batch, frames, width) projected by this layer's cross-attention."""
        return LayerCache(KeyValues() if self.cross_attn is None else self.cross_attn.project(memory))

    def decode(
        self,
        x: Tensor,
        cache: LayerCache,
        *,
        mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Run as a decoder layer: causal self-attention, and cross-attention to the projected memory in the cache.

        Args:
            x: (rows, tokens, width), the newest tokens.
            cache: the cache of this layer; keys and values of `x` are appended.
            mask: bool, true for tokens to attend to, (rows, all tokens).
            memory_mask: bool, false for padding, (batch, frames).
            positions: position information in the form that the self-attention takes.

        Returns:
            (rows, tokens, width)
        """
        seen = None if mask is None else mask[:, None, None]
        attend = partial(self.self_attn, mask=seen, positions=positions, causal=True, cache=cache.tokens)
        x = self._residual(x, self.self_attn_norm, attend)
        if self.cross_attn is not None and self.cross_attn_norm is not None:
            read = partial(self.cross_attn.attend, memory=cache.memory, mask=memory_mask)
            x = self._residual(x, self.cross_attn_norm, read)
        return self._feed_forward(x)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self._residual(x, self.ffn_norm, self.ffn)

    def _residual(self, x: Tensor, norm: nn.Module, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        if self.norm_first:
            return x + self.dropout(sublayer(norm(x)))  # type: ignore[no-any-return]
        return norm(x + self.dropout(sublayer(x)))  # type: ignore[no-any-return]
