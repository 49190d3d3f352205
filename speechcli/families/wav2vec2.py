"""wav2vec 2.0, HuBERT and UniSpeech: convolutions over the waveform, convolutional positions, transformer layers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from speechcli.families.config import FamilyConfig
from speechcli.families.family import Family, Same
from speechcli.families.spec_augment import SpecAugmentConfig, always_spec_augment, spec_augment
from speechcli.models.encoder import SpeechEncoder
from speechcli.nn.adapter import LengthAdapter
from speechcli.nn.attention import MultiHeadAttention
from speechcli.nn.feedforward import FeedForward, activation
from speechcli.nn.frontend import ConvFrontend, ConvSize, FrameProjection
from speechcli.nn.initialize import initialize as initialize_module
from speechcli.nn.layer import TransformerLayer
from speechcli.nn.masks import SpecAugment
from speechcli.nn.positions import BatchNormConvPositions, ConvPositions, StackedConvPositions
from speechcli.nn.relative import RelativePositionBias


@dataclass(frozen=True, kw_only=True)
class WaveformEncoderConfig(SpecAugmentConfig):
    """What all encoders with the wav2vec 2.0 frontend share."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout: float = 0.1
    activation_dropout: float = 0.1
    attention_dropout: float = 0.1
    feat_proj_dropout: float = 0.0
    layerdrop: float = 0.1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    feat_extract_activation: str = "gelu"
    conv_dim: tuple[int, ...] = (512,) * 7
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embeddings: int = 128
    """Frames that the positional convolution sees."""
    num_conv_pos_embedding_groups: int = 16

    def __post_init__(self) -> None:
        sizes = {len(self.conv_dim), len(self.conv_stride), len(self.conv_kernel)}
        self.require(len(sizes) == 1, "`conv_dim`, `conv_stride` and `conv_kernel` must have the same length.")
        self.require(
            self.hidden_size % self.num_attention_heads == 0,
            f"`num_attention_heads` ({self.num_attention_heads}) must divide `hidden_size` ({self.hidden_size}).",
        )


@dataclass(frozen=True, kw_only=True)
class NormedEncoderConfig(WaveformEncoderConfig):
    """Encoders that came in two kinds: norms over time and last (base), or over channels and first (large)."""

    feat_extract_norm: str = "group"
    """"group": over time, after the first convolution; "layer": over channels, after each."""
    do_stable_layer_norm: bool = False
    """Norms before the sub-layers and after the stack, instead of after the sub-layers and before the stack."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.feat_extract_norm in ("group", "layer"), "`feat_extract_norm` must be 'group' or 'layer'.")


@dataclass(frozen=True, kw_only=True)
class AdapterConfig(FamilyConfig):
    """The convolutional adapter after some encoders."""

    add_adapter: bool = False
    adapter_kernel_size: int = 3
    adapter_stride: int = 2
    num_adapter_layers: int = 3
    output_hidden_size: int | None = None
    """Width after the adapter; none: the encoder's."""


@dataclass(frozen=True, kw_only=True)
class Wav2Vec2Config(NormedEncoderConfig, AdapterConfig):
    """wav2vec 2.0 (Baevski et al. 2020), XLSR, XLS-R."""

    model_type: ClassVar[str] = "wav2vec2"
    adapter_attn_dim: int | None = None
    """Width of the attention adapters per language (MMS)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.adapter_attn_dim is None, "attention adapters (`adapter_attn_dim`) are not supported yet.")


@dataclass(frozen=True, kw_only=True)
class HubertConfig(NormedEncoderConfig):
    """HuBERT (Hsu et al. 2021)."""

    model_type: ClassVar[str] = "hubert"
    feat_proj_layer_norm: bool = True
    conv_pos_batch_norm: bool = False
    """A batch norm before a plain positional convolution, instead of a weight-normed one."""


@dataclass(frozen=True, kw_only=True)
class UniSpeechConfig(NormedEncoderConfig):
    """UniSpeech (Wang et al. 2021)."""

    model_type: ClassVar[str] = "unispeech"


@dataclass(frozen=True, kw_only=True)
class UniSpeechSatConfig(NormedEncoderConfig):
    """UniSpeech-SAT (Chen et al. 2022)."""

    model_type: ClassVar[str] = "unispeech-sat"


KEYS = (
    Same("masked_spec_embed",                                      "spec_augment.embedding", optional=True),
    Same("feature_extractor.conv_layers.{}.conv",                  "frontend.layers.{}.conv"),
    Same("feature_extractor.conv_layers.{}.layer_norm",            "frontend.layers.{}.norm"),
    Same("feature_projection.layer_norm",                          "projection.norm"),
    Same("feature_projection.projection",                          "projection.linear"),
    Same("encoder.pos_conv_embed.conv",                            "positions.conv"),
    Same("encoder.layer_norm",                                     "norm"),
    Same("encoder.layers.{}.attention.q_proj",                     "layers.{}.self_attn.query"),
    Same("encoder.layers.{}.attention.k_proj",                     "layers.{}.self_attn.key"),
    Same("encoder.layers.{}.attention.v_proj",                     "layers.{}.self_attn.value"),
    Same("encoder.layers.{}.attention.out_proj",                   "layers.{}.self_attn.output"),
    Same("encoder.layers.{}.layer_norm",                           "layers.{}.self_attn_norm"),
    Same("encoder.layers.{}.feed_forward.intermediate_dense",      "layers.{}.ffn.up"),
    Same("encoder.layers.{}.feed_forward.output_dense",            "layers.{}.ffn.down"),
    Same("encoder.layers.{}.final_layer_norm",                     "layers.{}.ffn_norm"),
    Same("adapter.proj",                                           "adapter.projection"),
    Same("adapter.proj_layer_norm",                                "adapter.norm"),
    Same("adapter.layers.{}.conv",                                 "adapter.layers.{}"),
)  # fmt: skip
HUBERT_KEYS = (
    *KEYS,
    Same("encoder.pos_conv_embed.batch_norm",                      "positions.norm"),
)  # fmt: skip


def build_wav2vec2(config: Wav2Vec2Config) -> SpeechEncoder:
    """Build a wav2vec 2.0 encoder."""
    return build_normed_encoder(config, adapter=length_adapter(config, config))


def build_hubert(config: HubertConfig) -> SpeechEncoder:
    """Build a HuBERT encoder."""
    kind = BatchNormConvPositions if config.conv_pos_batch_norm else ConvPositions
    return build_normed_encoder(
        config, positions=conv_positions(config, kind), projection_norm=config.feat_proj_layer_norm
    )


def build_unispeech_sat(config: UniSpeechSatConfig) -> SpeechEncoder:
    """Build a UniSpeech-SAT encoder."""
    return build_normed_encoder(config, masks=always_spec_augment(config, config.hidden_size))


def build_normed_encoder(
    config: NormedEncoderConfig,
    *,
    positions: ConvPositions | BatchNormConvPositions | None = None,
    attention: Callable[..., MultiHeadAttention] = MultiHeadAttention,
    position_bias: RelativePositionBias | None = None,
    adapter: LengthAdapter | None = None,
    projection_norm: bool = True,
    masks: SpecAugment | None = None,
) -> SpeechEncoder:
    """Build what wav2vec 2.0, HuBERT, UniSpeech and WavLM share; what differs comes in built."""
    return build_waveform_encoder(
        config,
        positions=positions or conv_positions(config),
        frontend_norm=config.feat_extract_norm,
        norm_first=config.do_stable_layer_norm,
        attention=attention,
        position_bias=position_bias,
        adapter=adapter,
        projection_norm=projection_norm,
        masks=masks,
    )


def build_waveform_encoder(
    config: WaveformEncoderConfig,
    *,
    positions: ConvPositions | BatchNormConvPositions | StackedConvPositions,
    frontend_norm: str,
    norm_first: bool,
    attention: Callable[..., MultiHeadAttention] = MultiHeadAttention,
    position_bias: RelativePositionBias | None = None,
    adapter: LengthAdapter | None = None,
    projection_norm: bool = True,
    masks: SpecAugment | None = None,
) -> SpeechEncoder:
    """Build what all of them share, from convolutions over the waveform to the norm of the stack."""
    width = config.hidden_size
    norm = partial(nn.LayerNorm, eps=config.layer_norm_eps)
    frontend = ConvFrontend(
        [ConvSize(*size) for size in zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True)],
        norm=frontend_norm,
        bias=config.conv_bias,
        activation=activation(config.feat_extract_activation),
    )

    def layer() -> TransformerLayer:
        return TransformerLayer(
            attention(width, config.num_attention_heads, dropout=config.attention_dropout),
            FeedForward(
                width,
                config.intermediate_size,
                activation(config.hidden_act),
                dropout=config.activation_dropout,
            ),
            norm=partial(norm, width),
            norm_first=norm_first,
            dropout=config.hidden_dropout,
        )

    return SpeechEncoder(
        frontend,
        FrameProjection(
            frontend.width,
            width,
            norm=norm(frontend.width) if projection_norm else None,
            dropout=config.feat_proj_dropout,
        ),
        [layer() for _ in range(config.num_hidden_layers)],
        width=width,
        spec_augment=masks or spec_augment(config, width),
        positions=positions,
        norm=norm(width),
        norm_first=norm_first,
        position_bias=position_bias,
        adapter=adapter,
        dropout=config.hidden_dropout,
        layer_dropout=config.layerdrop,
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
    """Build the convolutional adapter, where there is one."""
    if not config.add_adapter:
        return None
    return LengthAdapter(
        sizes.hidden_size,
        config.output_hidden_size or sizes.hidden_size,
        layers=config.num_adapter_layers,
        kernel=config.adapter_kernel_size,
        stride=config.adapter_stride,
        layer_dropout=sizes.layerdrop,
    )


def initialize(encoder: nn.Module, config: WaveformEncoderConfig) -> None:
    """Fill an encoder with random weights."""
    for module in encoder.modules():
        initialize_module(module, config.initializer_range)


WAV2VEC2 = Family(Wav2Vec2Config, KEYS, build_wav2vec2, initialize, base="wav2vec2.")
HUBERT = Family(HubertConfig, HUBERT_KEYS, build_hubert, initialize, base="hubert.")
UNISPEECH = Family(UniSpeechConfig, KEYS, build_normed_encoder, initialize, base="unispeech.")
UNISPEECH_SAT = Family(UniSpeechSatConfig, KEYS, build_unispeech_sat, initialize, base="unispeech_sat.")
