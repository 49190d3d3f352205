"""wav2vec 2.0, HuBERT and UniSpeech: convolutions over the waveform, convolutional positions, transformer layers."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from speechcli.families.family import Family
from speechcli.families.rules import Same
from speechcli.families.spec_augment import always_spec_augment
from speechcli.families.speech_encoder import AdapterConfig, initialize
from speechcli.families.waveform import (
    KEYS,
    NormedEncoderConfig,
    build_normed_encoder,
    conv_positions,
    length_adapter,
)
from speechcli.models.encoder import SpeechEncoder
from speechcli.nn.adapter import BottleneckAdapter
from speechcli.nn.positions import BatchNormConvPositions, ConvPositions


@dataclass(frozen=True, kw_only=True)
class Wav2Vec2Config(NormedEncoderConfig, AdapterConfig):
    """wav2vec 2.0 (Baevski et al. 2020), XLSR, XLS-R."""

    model_type: ClassVar[str] = "wav2vec2"
    adapter_attn_dim: int | None = None
    """Width of the bottleneck adapters for one language (MMS); only with `do_stable_layer_norm`."""


@dataclass(frozen=True, kw_only=True)
class HubertConfig(NormedEncoderConfig):
    """HuBERT (Hsu et al. 2021)."""

    model_type: ClassVar[str] = "hubert"
    feat_proj_layer_norm: bool = True
    conv_pos_batch_norm: bool = False
    """Whether the positional convolution has a batch norm before it instead of weight normalization."""


@dataclass(frozen=True, kw_only=True)
class UniSpeechConfig(NormedEncoderConfig):
    """UniSpeech (Wang et al. 2021)."""

    model_type: ClassVar[str] = "unispeech"


@dataclass(frozen=True, kw_only=True)
class UniSpeechSatConfig(NormedEncoderConfig):
    """UniSpeech-SAT (Chen et al. 2022)."""

    model_type: ClassVar[str] = "unispeech-sat"


WAV2VEC2_KEYS = (
    *KEYS,
    Same("encoder.layers.{}.adapter_layer.norm",                   "layers.{}.bottleneck.norm"),
    Same("encoder.layers.{}.adapter_layer.linear_1",               "layers.{}.bottleneck.ffn.up"),
    Same("encoder.layers.{}.adapter_layer.linear_2",               "layers.{}.bottleneck.ffn.down"),
)  # fmt: skip
HUBERT_KEYS = (
    *KEYS,
    Same("encoder.pos_conv_embed.batch_norm",                      "positions.norm"),
)  # fmt: skip


def build_wav2vec2(config: Wav2Vec2Config) -> SpeechEncoder:
    """Build a wav2vec 2.0 encoder."""
    inner = config.adapter_attn_dim if config.do_stable_layer_norm else None
    return build_normed_encoder(
        config,
        bottleneck=None if inner is None else partial(BottleneckAdapter, config.hidden_size, inner),
        adapter=length_adapter(config, config),
    )


def build_hubert(config: HubertConfig) -> SpeechEncoder:
    """Build a HuBERT encoder."""
    kind = BatchNormConvPositions if config.conv_pos_batch_norm else ConvPositions
    return build_normed_encoder(
        config, positions=conv_positions(config, kind), projection_norm=config.feat_proj_layer_norm
    )


def build_unispeech_sat(config: UniSpeechSatConfig) -> SpeechEncoder:
    """Build a UniSpeech-SAT encoder."""
    return build_normed_encoder(config, masks=always_spec_augment(config, config.hidden_size))


WAV2VEC2 = Family(Wav2Vec2Config, WAV2VEC2_KEYS, build_wav2vec2, initialize, base="wav2vec2.")
HUBERT = Family(HubertConfig, HUBERT_KEYS, build_hubert, initialize, base="hubert.")
UNISPEECH = Family(UniSpeechConfig, KEYS, build_normed_encoder, initialize, base="unispeech.")
UNISPEECH_SAT = Family(UniSpeechSatConfig, KEYS, build_unispeech_sat, initialize, base="unispeech_sat.")
