"""What encoders over the waveform share: configurations, key rules and builders of wav2vec 2.0's modules."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from speechcli.families.rules import Same, normed_conv
from speechcli.families.spec_augment import spec_augment
from speechcli.families.speech_encoder import AdapterConfig, EncoderConfig
from speechcli.models.encoder import SpeechEncoder
from speechcli.nn.adapter import GatedConv, LengthAdapter
from speechcli.nn.attention import MultiHeadAttention
from speechcli.nn.conformer import ConformerLayer
from speechcli.nn.feedforward import FeedForward, activation
from speechcli.nn.frontend import ConvFrontend, ConvSize, FrameProjection
from speechcli.nn.layer import TransformerLayer
from speechcli.nn.masks import SpecAugment
from speechcli.nn.positions import BatchNormConvPositions, ConvPositions, StackedConvPositions
from speechcli.nn.relative import RelativePositionBias, RotaryPositions, SinusoidalDistances


@dataclass(frozen=True, kw_only=True)
class WaveformEncoderConfig(EncoderConfig):
    """Configuration of all encoders with the frontend of wav2vec 2.0."""

    feat_extract_activation: str = "gelu"
    conv_dim: tuple[int, ...] = (512,) * 7
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embeddings: int = 128
    """Kernel size of the positional convolution in frames."""
    num_conv_pos_embedding_groups: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = {len(self.conv_dim), len(self.conv_stride), len(self.conv_kernel)}
        self.require(len(sizes) == 1, "`conv_dim`, `conv_stride` and `conv_kernel` must have the same length.")


@dataclass(frozen=True, kw_only=True)
class FrontendNormConfig(WaveformEncoderConfig):
    """Configuration of encoders with norms over time or over channels in the frontend."""

    feat_extract_norm: str = "group"
    """"group": over time, after the first convolution; "layer": over channels, after each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.feat_extract_norm in ("group", "layer"), "`feat_extract_norm` must be 'group' or 'layer'.")


@dataclass(frozen=True, kw_only=True)
class NormedEncoderConfig(FrontendNormConfig):
    """Configuration of encoders with norms after (base) or before the sub-layers (large)."""

    do_stable_layer_norm: bool = False
    """Norms before the sub-layers and after the stack, instead of after the sub-layers and before the stack."""


FRONTEND_KEYS = (
    Same("masked_spec_embed",                                      "spec_augment.embedding", optional=True),
    Same("feature_extractor.conv_layers.{}.conv",                  "frontend.layers.{}.conv"),
    Same("feature_extractor.conv_layers.{}.layer_norm",            "frontend.layers.{}.norm"),
)  # fmt: skip
PROJECTION_KEYS = (
    Same("feature_projection.layer_norm",                          "projection.norm"),
    Same("feature_projection.projection",                          "projection.linear"),
)  # fmt: skip
LAYER_KEYS = (
    Same("encoder.layer_norm",                                     "norm"),
    Same("encoder.layers.{}.attention.q_proj",                     "layers.{}.self_attn.query"),
    Same("encoder.layers.{}.attention.k_proj",                     "layers.{}.self_attn.key"),
    Same("encoder.layers.{}.attention.v_proj",                     "layers.{}.self_attn.value"),
    Same("encoder.layers.{}.attention.out_proj",                   "layers.{}.self_attn.output"),
    Same("encoder.layers.{}.layer_norm",                           "layers.{}.self_attn_norm"),
    Same("encoder.layers.{}.feed_forward.intermediate_dense",      "layers.{}.ffn.up"),
    Same("encoder.layers.{}.feed_forward.output_dense",            "layers.{}.ffn.down"),
    Same("encoder.layers.{}.final_layer_norm",                     "layers.{}.ffn_norm"),
)  # fmt: skip
ADAPTER_KEYS = (
    Same("adapter.proj",                                           "adapter.projection.0"),
    Same("adapter.proj_layer_norm",                                "adapter.projection.1"),
    Same("adapter.layers.{}.conv",                                 "adapter.layers.{}.conv"),
)  # fmt: skip
KEYS = (
    *FRONTEND_KEYS,
    *PROJECTION_KEYS,
    *normed_conv("encoder.pos_conv_embed.conv",                    "positions.conv"),
    Same("encoder.pos_conv_embed.conv",                            "positions.conv"),
    *LAYER_KEYS,
    *ADAPTER_KEYS,
)  # fmt: skip


def build_normed_encoder(
    config: NormedEncoderConfig,
    *,
    positions: ConvPositions | BatchNormConvPositions | None = None,
    attention: Callable[..., MultiHeadAttention] = MultiHeadAttention,
    attention_positions: RelativePositionBias | None = None,
    bottleneck: Callable[[], nn.Module] | None = None,
    adapter: LengthAdapter | None = None,
    projection_norm: bool = True,
    masks: SpecAugment | None = None,
) -> SpeechEncoder:
    """Build the encoder of wav2vec 2.0, HuBERT, UniSpeech or WavLM from their different modules."""
    first = config.do_stable_layer_norm
    return build_waveform_encoder(
        config,
        partial(transformer_layer, config, norm_first=first, attention=attention, bottleneck=bottleneck),
        positions=positions or conv_positions(config),
        frontend_norm=config.feat_extract_norm,
        norm_first=first,
        attention_positions=attention_positions,
        adapter=adapter,
        projection_norm=projection_norm,
        masks=masks,
    )


def build_waveform_encoder(
    config: WaveformEncoderConfig,
    layer: Callable[[], TransformerLayer | ConformerLayer],
    *,
    frontend_norm: str,
    norm_first: bool,
    positions: ConvPositions | BatchNormConvPositions | StackedConvPositions | None = None,
    attention_positions: RelativePositionBias | SinusoidalDistances | RotaryPositions | None = None,
    adapter: LengthAdapter | None = None,
    projection_norm: bool = True,
    masks: SpecAugment | None = None,
) -> SpeechEncoder:
    """Build an encoder over the waveform from the layers and other modules that differ."""
    width = config.hidden_size
    frontend = conv_frontend(config, norm=frontend_norm)
    norm = nn.LayerNorm(frontend.width, eps=config.layer_norm_eps) if projection_norm else None
    return SpeechEncoder(
        frontend,
        FrameProjection(norm, nn.Linear(frontend.width, width), dropout=config.feat_proj_dropout),
        [layer() for _ in range(config.num_hidden_layers)],
        width=width,
        spec_augment=masks or spec_augment(config, width),
        positions=positions,
        norm=nn.LayerNorm(width, eps=config.layer_norm_eps),
        norm_first=norm_first,
        attention_positions=attention_positions,
        adapter=adapter,
        dropout=config.hidden_dropout,
        layer_dropout=config.layerdrop,
    )


def conv_frontend(config: WaveformEncoderConfig, *, norm: str) -> ConvFrontend:
    """Build the convolutions over the waveform."""
    return ConvFrontend(
        [ConvSize(*size) for size in zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True)],
        norm=norm,
        bias=config.conv_bias,
        activation=activation(config.feat_extract_activation),
    )


def transformer_layer(
    config: WaveformEncoderConfig,
    *,
    norm_first: bool,
    attention: Callable[..., MultiHeadAttention] = MultiHeadAttention,
    bottleneck: Callable[[], nn.Module] | None = None,
) -> TransformerLayer:
    """Build one layer."""
    width = config.hidden_size
    return TransformerLayer(
        attention(width, config.num_attention_heads, dropout=config.attention_dropout),
        FeedForward(width, config.intermediate_size, activation(config.hidden_act), dropout=config.activation_dropout),
        norm=partial(nn.LayerNorm, width, eps=config.layer_norm_eps),
        norm_first=norm_first,
        bottleneck=None if bottleneck is None else bottleneck(),
        dropout=config.hidden_dropout,
    )


def conv_positions(
    config: WaveformEncoderConfig, kind: type[ConvPositions] | type[BatchNormConvPositions] = ConvPositions
) -> ConvPositions | BatchNormConvPositions:
    """Build the positional convolution."""
    return kind(
        config.hidden_size,
        config.num_conv_pos_embeddings,
        config.num_conv_pos_embedding_groups,
        activation(config.feat_extract_activation),
    )


def length_adapter(config: AdapterConfig, sizes: WaveformEncoderConfig) -> LengthAdapter | None:
    """Build the convolutional adapter, if there is one."""
    if not config.add_adapter:
        return None
    before, width = sizes.hidden_size, config.output_hidden_size or sizes.hidden_size
    return LengthAdapter(
        [GatedConv(width, config.adapter_kernel_size, config.adapter_stride) for _ in range(config.num_adapter_layers)],
        width=width,
        projection=nn.Sequential(nn.Linear(before, width), nn.LayerNorm(width)) if before != width else None,
        layer_dropout=sizes.layerdrop,
    )
