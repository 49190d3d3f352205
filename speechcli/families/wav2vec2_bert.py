"""wav2vec2-bert: conformer layers over log-mel frames (w2v-BERT 2.0, Barrault et al. 2023)."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from speechcli.families.family import Family, Linear1x1, Same
from speechcli.families.spec_augment import SpecAugmentConfig, spec_augment
from speechcli.models.encoder import SpeechEncoder
from speechcli.nn.attention import RelativeKeyAttention
from speechcli.nn.conformer import CausalConvModule, ConformerLayer
from speechcli.nn.feedforward import FeedForward, activation
from speechcli.nn.frontend import FilterbankFrontend, FrameProjection
from speechcli.nn.initialize import initialize as initialize_module


@dataclass(frozen=True, kw_only=True)
class Wav2Vec2BertConfig(SpecAugmentConfig):
    """wav2vec2-bert."""

    model_type: ClassVar[str] = "wav2vec2-bert"
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    feature_projection_input_dim: int = 160
    """Mel bins times the frames that the feature extractor stacks."""
    hidden_act: str = "swish"
    hidden_dropout: float = 0.0
    activation_dropout: float = 0.0
    attention_dropout: float = 0.0
    feat_proj_dropout: float = 0.0
    layerdrop: float = 0.1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    add_adapter: bool = False
    output_hidden_size: int | None = None
    position_embeddings_type: str | None = "relative_key"
    left_max_position_embeddings: int = 64
    right_max_position_embeddings: int = 8
    conv_depthwise_kernel_size: int = 31
    conformer_conv_dropout: float = 0.1

    def __post_init__(self) -> None:
        self.require(
            self.position_embeddings_type == "relative_key",
            f"`position_embeddings_type` must be 'relative_key', but is {self.position_embeddings_type!r}.",
        )
        self.require(not self.add_adapter, "its adapter (`add_adapter`) is not supported yet.")
        self.require(
            self.hidden_size % self.num_attention_heads == 0,
            f"`num_attention_heads` ({self.num_attention_heads}) must divide `hidden_size` ({self.hidden_size}).",
        )


KEYS = (
    Same("masked_spec_embed",                                      "spec_augment.embedding", optional=True),
    Same("feature_projection.layer_norm",                          "projection.norm"),
    Same("feature_projection.projection",                          "projection.linear"),
    Same("encoder.layers.{}.ffn1_layer_norm",                      "layers.{}.ffn1_norm"),
    Same("encoder.layers.{}.ffn1.intermediate_dense",              "layers.{}.ffn1.up"),
    Same("encoder.layers.{}.ffn1.output_dense",                    "layers.{}.ffn1.down"),
    Same("encoder.layers.{}.self_attn_layer_norm",                 "layers.{}.self_attn_norm"),
    Same("encoder.layers.{}.self_attn.linear_q",                   "layers.{}.self_attn.query"),
    Same("encoder.layers.{}.self_attn.linear_k",                   "layers.{}.self_attn.key"),
    Same("encoder.layers.{}.self_attn.linear_v",                   "layers.{}.self_attn.value"),
    Same("encoder.layers.{}.self_attn.linear_out",                 "layers.{}.self_attn.output"),
    Same("encoder.layers.{}.self_attn.distance_embedding",         "layers.{}.self_attn.distances"),
    Same("encoder.layers.{}.conv_module.layer_norm",               "layers.{}.conv.norm"),
    Linear1x1("encoder.layers.{}.conv_module.pointwise_conv1",     "layers.{}.conv.gate"),
    Same("encoder.layers.{}.conv_module.depthwise_conv",           "layers.{}.conv.depthwise"),
    Same("encoder.layers.{}.conv_module.depthwise_layer_norm",     "layers.{}.conv.depthwise_norm"),
    Linear1x1("encoder.layers.{}.conv_module.pointwise_conv2",     "layers.{}.conv.output"),
    Same("encoder.layers.{}.ffn2_layer_norm",                      "layers.{}.ffn2_norm"),
    Same("encoder.layers.{}.ffn2.intermediate_dense",              "layers.{}.ffn2.up"),
    Same("encoder.layers.{}.ffn2.output_dense",                    "layers.{}.ffn2.down"),
    Same("encoder.layers.{}.final_layer_norm",                     "layers.{}.norm"),
)  # fmt: skip


def build(config: Wav2Vec2BertConfig) -> SpeechEncoder:
    """Build a wav2vec2-bert encoder."""
    width = config.hidden_size
    norm = partial(nn.LayerNorm, width, eps=config.layer_norm_eps)
    act = activation(config.hidden_act)

    def ffn() -> FeedForward:
        return FeedForward(width, config.intermediate_size, act, dropout=config.activation_dropout)

    def layer() -> ConformerLayer:
        return ConformerLayer(
            ffn(),
            RelativeKeyAttention(
                width,
                config.num_attention_heads,
                left=config.left_max_position_embeddings,
                right=config.right_max_position_embeddings,
                dropout=config.attention_dropout,
            ),
            CausalConvModule(
                width, config.conv_depthwise_kernel_size, act, norm=norm, dropout=config.conformer_conv_dropout
            ),
            ffn(),
            norm=norm,
            ffn_dropout=config.hidden_dropout,
            attn_dropout=config.attention_dropout,
        )

    inputs = config.feature_projection_input_dim
    return SpeechEncoder(
        FilterbankFrontend(inputs),
        FrameProjection(
            inputs, width, norm=nn.LayerNorm(inputs, eps=config.layer_norm_eps), dropout=config.feat_proj_dropout
        ),
        [layer() for _ in range(config.num_hidden_layers)],
        width=width,
        spec_augment=spec_augment(config, width),
        dropout=config.hidden_dropout,
        layer_dropout=config.layerdrop,
    )


def initialize(encoder: nn.Module, config: Wav2Vec2BertConfig) -> None:
    """Fill an encoder with random weights."""
    for module in encoder.modules():
        initialize_module(module, config.initializer_range)


WAV2VEC2_BERT = Family(Wav2Vec2BertConfig, KEYS, build, initialize, base="wav2vec2_bert.")
