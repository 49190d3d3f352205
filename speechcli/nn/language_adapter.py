"""X-MOD's transformer layer: it has an adapter for each language and uses one of them."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from speechcli.nn.attention import CrossAttention, MultiHeadAttention
from speechcli.nn.feedforward import FeedForward
from speechcli.nn.layer import TransformerLayer


class LanguageAdapterLayer(TransformerLayer):
    """A transformer layer with an adapter after the feed-forward network (Pfeiffer et al. 2022).

    Args:
        self_attn: the self-attention.
        ffn: the feed-forward network.
        adapters: the adapter of each language.
        language: the language whose adapter is used.
        norm: creates a norm; called once per sub-layer.
        norm_first: whether the norms come before the sub-layers.
        adapter_norm: norm of the adapter's input; None: the norm of the feed-forward network is used for both.
        normed_residual: whether the adapter's residual connection starts after that norm.
        cross_attn: the cross-attention.
        dropout: dropout after each sub-layer.
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
