"""WavLM: wav2vec 2.0's encoder with a gated relative position bias in every layer (Chen et al. 2022)."""

from dataclasses import dataclass
from typing import ClassVar

from speechcli.families.family import Family
from speechcli.families.rules import Same
from speechcli.families.speech_encoder import AdapterConfig, initialize
from speechcli.families.waveform import (
    KEYS,
    NormedEncoderConfig,
    build_normed_encoder,
    length_adapter,
)
from speechcli.models.encoder import SpeechEncoder
from speechcli.nn.relative import RelativePositionBias
from speechcli.nn.relative_attention import GatedBiasAttention


@dataclass(frozen=True, kw_only=True)
class WavLMConfig(NormedEncoderConfig, AdapterConfig):
    """WavLM (Chen et al. 2022)."""

    model_type: ClassVar[str] = "wavlm"
    num_buckets: int = 320
    """Number of buckets of distances, half before and half after the query."""
    max_bucket_distance: int = 800
    """Distances from this one share a bucket, in frames."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.num_buckets >= 4, f"`num_buckets` must be at least 4, but is {self.num_buckets}.")


WAVLM_KEYS = (
    *KEYS,
    Same("encoder.layers.{}.attention.gru_rel_pos_linear",         "layers.{}.self_attn.gate"),
    Same("encoder.layers.{}.attention.gru_rel_pos_const",          "layers.{}.self_attn.gate_scale"),
    Same("encoder.layers.0.attention.rel_attn_embed",              "attention_positions.embedding"),
)  # fmt: skip


def build_wavlm(config: WavLMConfig) -> SpeechEncoder:
    """Build a WavLM encoder."""
    heads = config.num_attention_heads
    return build_normed_encoder(
        config,
        attention=GatedBiasAttention,
        attention_positions=RelativePositionBias(config.num_buckets, config.max_bucket_distance, heads),
        adapter=length_adapter(config, config),
    )


WAVLM = Family(WavLMConfig, WAVLM_KEYS, build_wavlm, initialize, base="wavlm.")
