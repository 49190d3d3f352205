"""data2vec for audio: wav2vec 2.0's encoder with norms over channels and a stack of positional convolutions."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from speechcli.families.family import Family
from speechcli.families.rules import Same
from speechcli.families.speech_encoder import AdapterConfig, initialize
from speechcli.families.waveform import (
    KEYS,
    WaveformEncoderConfig,
    build_waveform_encoder,
    length_adapter,
    transformer_layer,
)
from speechcli.models.encoder import SpeechEncoder
from speechcli.nn.feedforward import activation
from speechcli.nn.positions import StackedConvPositions


@dataclass(frozen=True, kw_only=True)
class Data2VecAudioConfig(WaveformEncoderConfig, AdapterConfig):
    """data2vec (Baevski et al. 2022)."""

    model_type: ClassVar[str] = "data2vec-audio"
    num_conv_pos_embeddings: int = 5
    """Number of positional convolutions in the stack."""
    conv_pos_kernel_size: int = 19
    """Kernel size of each of them in frames."""


DATA2VEC_KEYS = (
    *KEYS,
    Same("encoder.pos_conv_embed.layers.{}.conv",                  "positions.layers.{}"),
)  # fmt: skip


def build(config: Data2VecAudioConfig) -> SpeechEncoder:
    """Build a data2vec encoder."""
    positions = StackedConvPositions(
        config.hidden_size,
        config.num_conv_pos_embeddings,
        config.conv_pos_kernel_size,
        config.num_conv_pos_embedding_groups,
        activation(config.feat_extract_activation),
    )
    return build_waveform_encoder(
        config,
        partial(transformer_layer, config, norm_first=False),
        positions=positions,
        frontend_norm="layer",
        norm_first=False,
        adapter=length_adapter(config, config),
    )


DATA2VEC_AUDIO = Family(Data2VecAudioConfig, DATA2VEC_KEYS, build, initialize, base="data2vec_audio.")
