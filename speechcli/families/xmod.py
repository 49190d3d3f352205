"""X-MOD: RoBERTa with an adapter for each language in each layer."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from speechcli.families.bert import (
    ROBERTA_HEAD,
    RobertaConfig,
    build_text_decoder,
    counted_positions,
    family,
    norm_keys,
    transform_head,
    types,
)
from speechcli.families.rules import Same
from speechcli.models.decoder import TextDecoder
from speechcli.nn.attention import CrossAttention, MultiHeadAttention
from speechcli.nn.feedforward import FeedForward, activation
from speechcli.nn.language_adapter import LanguageAdapterLayer
from speechcli.nn.layer import TransformerLayer


@dataclass(frozen=True, kw_only=True)
class XmodConfig(RobertaConfig):
    """X-MOD (Pfeiffer et al. 2022)."""

    model_type: ClassVar[str] = "xmod"
    vocab_size: int = 30522
    pre_norm: bool = False
    adapter_reduction_factor: float = 2
    """Width of the layers divided by the width of the adapters."""
    adapter_layer_norm: bool = False
    """Whether the adapters have their own norm on the input."""
    adapter_reuse_layer_norm: bool = True
    """Whether adapters without their own norm use that of the feed-forward network."""
    ln_before_adapter: bool = True
    """Whether the adapter's residual connection starts after that norm."""
    languages: tuple[str, ...] = ("en_XX",)
    default_language: str | None = None
    """The language whose adapters are used."""


NORMS = (
    *norm_keys("roberta."),
    Same("roberta.encoder.LayerNorm",                                    "norm"),
    Same("roberta.encoder.layer.{}.output.adapter_layer_norm",           "layers.{}.adapter_norm"),
    Same("roberta.encoder.layer.{}.output.adapter_modules.{!s}.dense1",  "layers.{}.adapters.{!s}.up"),
    Same("roberta.encoder.layer.{}.output.adapter_modules.{!s}.dense2",  "layers.{}.adapters.{!s}.down"),
)  # fmt: skip


def build(config: XmodConfig) -> TextDecoder:
    """Build an X-MOD decoder."""
    config.require(
        config.default_language in config.languages,
        f"`default_language` must be one of {', '.join(config.languages)}, but is {config.default_language!r}.",
    )
    norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) if config.pre_norm else None
    layers = [_layer(config) for _ in range(config.num_hidden_layers)]
    head = transform_head(config, "gelu")
    return build_text_decoder(config, counted_positions(config), head, layers, types=[types(config)], norm=norm)


def _layer(config: XmodConfig) -> TransformerLayer:
    width, heads, dropout = config.hidden_size, config.num_attention_heads, config.attention_probs_dropout_prob
    act = activation(config.hidden_act)
    norm = partial(nn.LayerNorm, width, eps=config.layer_norm_eps)
    inner = int(width // config.adapter_reduction_factor)
    assert config.default_language is not None
    bare = not (config.adapter_layer_norm or config.adapter_reuse_layer_norm)
    return LanguageAdapterLayer(
        MultiHeadAttention(width, heads, dropout=dropout),
        FeedForward(width, config.intermediate_size, act),
        {language: FeedForward(width, inner, act) for language in config.languages},
        config.default_language,
        norm=norm,
        norm_first=config.pre_norm,
        adapter_norm=norm() if config.adapter_layer_norm else nn.Identity() if bare else None,
        normed_residual=config.ln_before_adapter,
        cross_attn=CrossAttention(width, heads, dropout=dropout),
        dropout=config.hidden_dropout_prob,
    )


XMOD = family(XmodConfig, "roberta.", ROBERTA_HEAD, build, others=NORMS)
