"""wav2vec2-bert: conformer layers over log-mel frames (w2v-BERT 2.0, Barrault et al. 2023)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from speechcli.families.conformer import (
    LAYER_KEYS,
    ConformerConfig,
    attention,
    attention_positions,
    conformer_layer,
    initialize,
)
from speechcli.families.family import Family
from speechcli.families.rules import Drop, Same
from speechcli.families.spec_augment import spec_augment
from speechcli.families.speech_encoder import AdapterConfig
from speechcli.models.encoder import SpeechEncoder
from speechcli.nn.adapter import LengthAdapter, PoolingLayer
from speechcli.nn.attention import MultiHeadAttention
from speechcli.nn.conformer import CausalConvModule
from speechcli.nn.feedforward import FeedForward, activation
from speechcli.nn.frontend import FilterbankFrontend, FrameProjection
from speechcli.nn.relative_attention import RelativeKeyAttention


@dataclass(frozen=True, kw_only=True)
class Wav2Vec2BertConfig(ConformerConfig, AdapterConfig):
    """wav2vec2-bert."""

    model_type: ClassVar[str] = "wav2vec2-bert"
    position_kinds: ClassVar[tuple[str | None, ...]] = ("relative_key", "relative", "rotary", None)

    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    feature_projection_input_dim: int = 160
    """Number of mel bins times the number of frames that the feature extractor stacks."""
    hidden_act: str = "swish"
    hidden_dropout: float = 0.0
    activation_dropout: float = 0.0
    attention_dropout: float = 0.0
    position_embeddings_type: str | None = "relative_key"
    """In addition to those of `ConformerConfig`, "relative_key": learned vectors of clipped distances."""
    left_max_position_embeddings: int = 64
    right_max_position_embeddings: int = 8
    num_adapter_layers: int = 1
    adapter_act: str = "relu"
    use_intermediate_ffn_before_adapter: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        width = self.output_hidden_size or self.hidden_size
        self.require(
            not (self.add_adapter and self.num_adapter_layers) or width % self.num_attention_heads == 0,
            f"`num_attention_heads` ({self.num_attention_heads}) must divide `output_hidden_size` ({width}).",
        )
        self.require(
            self.add_adapter or not self.use_intermediate_ffn_before_adapter,
            "`use_intermediate_ffn_before_adapter` needs `add_adapter`.",
        )


KEYS = (
    Same("masked_spec_embed",                                      "spec_augment.embedding", optional=True),
    Same("feature_projection.layer_norm",                          "projection.norm"),
    Same("feature_projection.projection",                          "projection.linear"),
    Drop("encoder.embed_positions.inv_freq",                       "computed; older versions saved it"),
    *LAYER_KEYS,
    Same("encoder.layers.{}.self_attn.distance_embedding",         "layers.{}.self_attn.distances"),
    Same("encoder.layers.{}.conv_module.depthwise_layer_norm",     "layers.{}.conv.depthwise_norm"),
    Same("intermediate_ffn.intermediate_dense",                    "adapter.ffn.up"),
    Same("intermediate_ffn.output_dense",                          "adapter.ffn.down"),
    Same("adapter.proj",                                           "adapter.projection.0"),
    Same("adapter.proj_layer_norm",                                "adapter.projection.1"),
    Same("adapter.layers.{}.residual_layer_norm",                  "adapter.layers.{}.residual_norm"),
    Same("adapter.layers.{}.residual_conv",                        "adapter.layers.{}.residual_pool"),
    Same("adapter.layers.{}.self_attn_layer_norm",                 "adapter.layers.{}.self_attn_norm"),
    Same("adapter.layers.{}.self_attn_conv",                       "adapter.layers.{}.self_attn_pool"),
    Same("adapter.layers.{}.self_attn.linear_q",                   "adapter.layers.{}.self_attn.query"),
    Same("adapter.layers.{}.self_attn.linear_k",                   "adapter.layers.{}.self_attn.key"),
    Same("adapter.layers.{}.self_attn.linear_v",                   "adapter.layers.{}.self_attn.value"),
    Same("adapter.layers.{}.self_attn.linear_out",                 "adapter.layers.{}.self_attn.output"),
    Same("adapter.layers.{}.ffn_layer_norm",                       "adapter.layers.{}.ffn_norm"),
    Same("adapter.layers.{}.ffn.intermediate_dense",               "adapter.layers.{}.ffn.up"),
    Same("adapter.layers.{}.ffn.output_dense",                     "adapter.layers.{}.ffn.down"),
)  # fmt: skip


def build(config: Wav2Vec2BertConfig) -> SpeechEncoder:
    """Build a wav2vec2-bert encoder."""
    width, inputs = config.hidden_size, config.feature_projection_input_dim
    norm = partial(nn.LayerNorm, width, eps=config.layer_norm_eps)
    make_attention: Callable[..., MultiHeadAttention] = attention(config)
    if config.position_embeddings_type == "relative_key":
        left, right = config.left_max_position_embeddings, config.right_max_position_embeddings
        make_attention = partial(RelativeKeyAttention, left=left, right=right)
    layer = partial(
        conformer_layer, config, attention=make_attention, conv=CausalConvModule, norm=norm, depthwise_norm=norm
    )
    return SpeechEncoder(
        FilterbankFrontend(inputs),
        FrameProjection(
            nn.LayerNorm(inputs, eps=config.layer_norm_eps), nn.Linear(inputs, width), dropout=config.feat_proj_dropout
        ),
        [layer() for _ in range(config.num_hidden_layers)],
        width=width,
        spec_augment=spec_augment(config, width),
        attention_positions=attention_positions(config),
        adapter=adapter(config) if config.add_adapter else None,
        dropout=config.hidden_dropout,
        layer_dropout=config.layerdrop,
    )


def adapter(config: Wav2Vec2BertConfig) -> LengthAdapter:
    """Build the layers that shorten the output of the encoder."""
    before, width = config.hidden_size, config.output_hidden_size or config.hidden_size
    norm = partial(nn.LayerNorm, width, eps=config.layer_norm_eps)

    def ffn(width: int, act: str) -> FeedForward:
        return FeedForward(width, config.intermediate_size, activation(act), dropout=config.activation_dropout)

    def layer() -> PoolingLayer:
        return PoolingLayer(
            MultiHeadAttention(width, config.num_attention_heads, dropout=config.attention_dropout),
            ffn(width, config.adapter_act),
            width=width,
            kernel=config.adapter_kernel_size,
            stride=config.adapter_stride,
            norm=norm,
            attn_dropout=config.conformer_conv_dropout,
            ffn_dropout=config.hidden_dropout,
        )

    return LengthAdapter(
        [layer() for _ in range(config.num_adapter_layers)],
        width=width,
        ffn=ffn(before, "relu") if config.use_intermediate_ffn_before_adapter else None,
        projection=nn.Sequential(nn.Linear(before, width), norm()) if before != width else None,
        ffn_dropout=config.hidden_dropout,
        layer_dropout=config.layerdrop,
    )


WAV2VEC2_BERT = Family(Wav2Vec2BertConfig, KEYS, build, initialize, base="wav2vec2_bert.")
