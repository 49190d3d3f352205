"""X-MOD's transformer layer: it has an adapter for each language, of which one is in use."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from speechcli.nn.attention import CrossAttention, MultiHeadAttention
from speechcli.nn.feedforward import FeedForward
from speechcli.nn.layer import TransformerLayer


class LanguageAdapterLayer(TransformerLayer):
    """A transformer layer with an adapter after the feed-forward network (Pfeiffer et al. 2022).

    Args:
        self_attn: a built self-attention.
        ffn: a built feed-forward network.
        adapters: a built network for each language.
        language: whose adapter is used.
        norm: makes a norm; called once a sub-layer.
        norm_first: whether the norm comes before each sub-layer.
        adapter_norm: of what the adapter reads; None: the feed-forward network's norm serves both.
        normed_residual: whether the adapter's residual begins after that norm.
        cross_attn: a built attention to the memory.
        dropout: after each sub-layer, in training.
    """

    def __init__(
        self,
        self_attn: MultiHeadAttention,
        ffn: FeedForward,
        adapters: Mapping[str, FeedForward],
        language: str,
        *,
        norm: Callable[[], nn.Module],
        norm_first: bool,
        adapter_norm: nn.Module | None,
        normed_residual: bool,
        cross_attn: CrossAttention | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(self_attn, ffn, norm=norm, norm_first=norm_first, cross_attn=cross_attn, dropout=dropout)
        self.adapters, self.language = nn.ModuleDict(adapters), language
        self.adapter_norm = adapter_norm
        self.normed_residual = normed_residual

    def _feed_forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.ffn(self.ffn_norm(x) if self.norm_first else x))
        normed = (self.ffn_norm if self.adapter_norm is None else self.adapter_norm)(x)
        y = (normed if self.normed_residual else x) + self.dropout(self.adapters[self.language](normed))
        return y if self.norm_first else self.ffn_norm(y)  # type: ignore[no-any-return]
