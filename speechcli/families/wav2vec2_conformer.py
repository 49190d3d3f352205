"""wav2vec 2.0 with conformer layers and relative, rotary or no positions."""

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
from speechcli.families.rules import Same, normed_conv
from speechcli.families.speech_encoder import AdapterConfig
from speechcli.families.waveform import (
    ADAPTER_KEYS,
    FRONTEND_KEYS,
    PROJECTION_KEYS,
    FrontendNormConfig,
    build_waveform_encoder,
    length_adapter,
)
from speechcli.models.encoder import SpeechEncoder
from speechcli.nn.conformer import ConvModule
from speechcli.nn.positions import UnreadConvPositions
from speechcli.nn.relative import StoredRotaryPositions


@dataclass(frozen=True, kw_only=True)
class Wav2Vec2ConformerConfig(FrontendNormConfig, ConformerConfig, AdapterConfig):
    """wav2vec 2.0 with conformer layers (of fairseq S2T, Wang et al. 2020)."""

    model_type: ClassVar[str] = "wav2vec2-conformer"


KEYS = (
    *FRONTEND_KEYS,
    *PROJECTION_KEYS,
    *normed_conv("encoder.pos_conv_embed.conv",                    "unread"),
    Same("encoder.embed_positions.inv_freq",                       "attention_positions.rates"),
    *LAYER_KEYS,
    Same("encoder.layers.{}.conv_module.batch_norm",               "layers.{}.conv.depthwise_norm"),
    Same("encoder.layer_norm",                                     "norm"),
    *ADAPTER_KEYS,
)  # fmt: skip


def build(config: Wav2Vec2ConformerConfig) -> SpeechEncoder:
    """Build a conformer encoder."""
    width = config.hidden_size
    layer = partial(
        conformer_layer,
        config,
        attention=attention(config),
        conv=ConvModule,
        # The norms in the layers have torch's default epsilon, not that of the configuration.
        norm=partial(nn.LayerNorm, width),
        depthwise_norm=partial(nn.BatchNorm1d, width),
    )
    encoder = build_waveform_encoder(
        config,
        layer,
        frontend_norm=config.feat_extract_norm,
        norm_first=True,
        attention_positions=attention_positions(config, StoredRotaryPositions),
        adapter=length_adapter(config, config),
    )
    # The reference builds a positional convolution but never uses it.
    kernel, groups = config.num_conv_pos_embeddings, config.num_conv_pos_embedding_groups
    encoder.add_module("unread", UnreadConvPositions(width, kernel, groups))
    return encoder


WAV2VEC2_CONFORMER = Family(Wav2Vec2ConformerConfig, KEYS, build, initialize, base="wav2vec2_conformer.")
