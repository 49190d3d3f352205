"""What encoders with conformer layers (Gulati et al. 2020) share: configuration, key rules and builders."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from speechcli.families.rules import Linear1x1, Same
from speechcli.families.speech_encoder import EncoderConfig
from speechcli.families.speech_encoder import initialize as initialize_encoder
from speechcli.nn.attention import MultiHeadAttention
from speechcli.nn.conformer import ConformerLayer, ConvModule
from speechcli.nn.feedforward import FeedForward, activation
from speechcli.nn.relative import RotaryPositions, SinusoidalDistances
from speechcli.nn.relative_attention import DistanceAttention, RotaryAttention


@dataclass(frozen=True, kw_only=True)
class ConformerConfig(EncoderConfig):
    """Configuration of encoders with conformer layers."""

    position_kinds: ClassVar[tuple[str | None, ...]] = ("relative", "rotary", None)

    position_embeddings_type: str | None = "relative"
    """"relative": sinusoids of distances; "rotary": rotated frames; None: only the convolutions encode positions."""
    rotary_embedding_base: int = 10000
    conv_depthwise_kernel_size: int = 31
    """Kernel size of the convolution in frames; odd."""
    conformer_conv_dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        kind, width = self.position_embeddings_type, self.hidden_size
        self.require(
            kind in self.position_kinds,
            f"`position_embeddings_type` must be one of {', '.join(map(repr, self.position_kinds))}, but is {kind!r}.",
        )
        self.require(kind != "relative" or width % 2 == 0, f"`hidden_size` must be even, but is {width}.")
        head = width // self.num_attention_heads
        self.require(kind != "rotary" or head % 2 == 0, f"the width of a head must be even, but is {head}.")
        kernel = self.conv_depthwise_kernel_size
        self.require(kernel % 2 == 1, f"`conv_depthwise_kernel_size` must be odd, but is {kernel}.")


LAYER_KEYS = (
    Same("encoder.layers.{}.ffn1_layer_norm",                      "layers.{}.ffn1_norm"),
    Same("encoder.layers.{}.ffn1.intermediate_dense",              "layers.{}.ffn1.up"),
    Same("encoder.layers.{}.ffn1.output_dense",                    "layers.{}.ffn1.down"),
    Same("encoder.layers.{}.self_attn_layer_norm",                 "layers.{}.self_attn_norm"),
    Same("encoder.layers.{}.self_attn.linear_q",                   "layers.{}.self_attn.query"),
    Same("encoder.layers.{}.self_attn.linear_k",                   "layers.{}.self_attn.key"),
    Same("encoder.layers.{}.self_attn.linear_v",                   "layers.{}.self_attn.value"),
    Same("encoder.layers.{}.self_attn.linear_out",                 "layers.{}.self_attn.output"),
    Same("encoder.layers.{}.self_attn.linear_pos",                 "layers.{}.self_attn.distance"),
    Same("encoder.layers.{}.self_attn.pos_bias_u",                 "layers.{}.self_attn.content_bias"),
    Same("encoder.layers.{}.self_attn.pos_bias_v",                 "layers.{}.self_attn.distance_bias"),
    Same("encoder.layers.{}.conv_module.layer_norm",               "layers.{}.conv.norm"),
    Linear1x1("encoder.layers.{}.conv_module.pointwise_conv1",     "layers.{}.conv.gate"),
    Same("encoder.layers.{}.conv_module.depthwise_conv",           "layers.{}.conv.depthwise"),
    Linear1x1("encoder.layers.{}.conv_module.pointwise_conv2",     "layers.{}.conv.output"),
    Same("encoder.layers.{}.ffn2_layer_norm",                      "layers.{}.ffn2_norm"),
    Same("encoder.layers.{}.ffn2.intermediate_dense",              "layers.{}.ffn2.up"),
    Same("encoder.layers.{}.ffn2.output_dense",                    "layers.{}.ffn2.down"),
    Same("encoder.layers.{}.final_layer_norm",                     "layers.{}.norm"),
)  # fmt: skip


def attention(config: ConformerConfig) -> Callable[..., MultiHeadAttention]:
    """Return the attention for the kind of positions."""
    kinds = {"relative": DistanceAttention, "rotary": RotaryAttention}
    return kinds.get(config.position_embeddings_type or "", MultiHeadAttention)


def attention_positions(
    config: ConformerConfig, rotary: type[RotaryPositions] = RotaryPositions
) -> SinusoidalDistances | RotaryPositions | None:
    """Build the positions that the attention of all layers takes, if any."""
    if config.position_embeddings_type == "relative":
        return SinusoidalDistances()
    if config.position_embeddings_type == "rotary":
        return rotary(config.hidden_size // config.num_attention_heads, config.rotary_embedding_base)
    return None


def conformer_layer(
    config: ConformerConfig,
    *,
    attention: Callable[..., MultiHeadAttention],
    conv: type[ConvModule],
    norm: Callable[[], nn.Module],
    depthwise_norm: Callable[[], nn.Module],
) -> ConformerLayer:
    """Build one layer with this kind of attention, convolution module and norms."""
    width, act = config.hidden_size, activation(config.hidden_act)

    def ffn() -> FeedForward:
        return FeedForward(width, config.intermediate_size, act, dropout=config.activation_dropout)

    return ConformerLayer(
        ffn(),
        attention(width, config.num_attention_heads, dropout=config.attention_dropout),
        conv(
            width,
            config.conv_depthwise_kernel_size,
            act,
            norm=norm(),
            depthwise_norm=depthwise_norm(),
            dropout=config.conformer_conv_dropout,
        ),
        ffn(),
        norm=norm,
        ffn_dropout=config.hidden_dropout,
        attn_dropout=config.attention_dropout,
    )


def initialize(encoder: nn.Module, config: ConformerConfig) -> None:
    """Initialize an encoder with random weights."""
    initialize_encoder(encoder, config)
    for module in encoder.modules():
        if isinstance(module, DistanceAttention):
            module.reset()
