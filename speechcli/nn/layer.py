"""The one transformer layer, of encoders and decoders, with the norm first or last."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from speechcli.nn.attention import CrossAttention, MultiHeadAttention
from speechcli.nn.cache import KeyValues, LayerCache
from speechcli.nn.feedforward import FeedForward


class TransformerLayer(nn.Module):
    """Self-attention, cross-attention if given, feed-forward; each with a residual and a norm.

    Norm first:  x + f(norm(x)).        Norm last:  norm(x + f(x)).

    Args:
        self_attn: a built self-attention.
        ffn: a built feed-forward network.
        norm: makes a norm; called once a sub-layer.
        norm_first: whether the norm comes before each sub-layer.
        cross_attn: a built attention to the memory, for decoders.
        bottleneck: a built adapter with its own residual, after everything else, for encoders.
        dropout: after each sub-layer, in training.
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
            mask: bool, true where a frame is real, (batch, frames).
            positions: for the attention, in the form that it reads.

        Returns:
            (batch, frames, width)
        """
        seen = None if mask is None else mask[:, None, None]
        x = self._residual(x, self.self_attn_norm, partial(self.self_attn, mask=seen, positions=positions))
        x = self._feed_forward(x)
        return x if self.bottleneck is None else self.bottleneck(x)

    def project(self, memory: Tensor) -> LayerCache:
        """Begin a cache with the memory (batch, frames, width) in this layer's projection."""
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
        """Run as a decoder layer: causal, and reading the projected memory in the cache.

        Args:
            x: (rows, tokens, width), the newest tokens.
            cache: of this layer; receives the keys and values of `x`.
            mask: bool, true where a token may be seen, (rows, all tokens).
            memory_mask: bool, true where the memory is real, (batch, frames).
            positions: for the self-attention, in the form that it reads.

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
