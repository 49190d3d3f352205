"""The decoders of TrOCR and Speech2Text2: BART's layers with norms after the sub-layers and other positions."""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from speechcli.families.bart import (
    KEYS,
    LAYER_KEYS,
    TIED,
    BartConfig,
    bart_positions,
    build_text_decoder,
    initialize,
    layers,
)
from speechcli.families.family import Family
from speechcli.families.rules import Drop, Rule, Same
from speechcli.models.decoder import TextDecoder
from speechcli.nn.positions import CountedSinusoids, CountedSinusoidTable


@dataclass(frozen=True, kw_only=True)
class TrOCRConfig(BartConfig):
    """TrOCR's decoder (Li et al. 2021)."""

    model_type: ClassVar[str] = "trocr"
    max_position_embeddings: int = 512
    use_learned_position_embeddings: bool = True
    """Whether positions are learned; else they are sinusoidal."""
    layernorm_embedding: bool = True
    cross_attention_hidden_size: int | None = None
    """Width of the encoder, whose output is not projected to the decoder's width; None: that of the decoder."""


@dataclass(frozen=True, kw_only=True)
class Speech2Text2Config(BartConfig):
    """The decoder of Speech2Text2 (Wang et al. 2021), which was removed from transformers in version 5."""

    model_type: ClassVar[str] = "speech_to_text_2"
    vocab_size: int = 10000
    decoder_layers: int = 6
    decoder_ffn_dim: int = 2048
    decoder_attention_heads: int = 4
    activation_function: str = "relu"
    d_model: int = 256
    scale_embedding: bool = True
    max_target_positions: int = 1024


TROCR_KEYS: tuple[Rule, ...] = (
    Drop("model.decoder.embed_positions._float_tensor", "a buffer of old versions"),
    *(replace(rule, theirs="output_projection") if rule.ours == "head" else rule for rule in KEYS),
)
SPEECH2TEXT2_KEYS = (
    Same("model.decoder.embed_tokens",                             "tokens"),
    Same("model.decoder.embed_positions.weights",                  "positions.weight", optional=True),
    *LAYER_KEYS,
    Same("lm_head",                                                "head"),
)  # fmt: skip


def build_trocr(config: TrOCRConfig) -> TextDecoder:
    """Build a TrOCR decoder."""
    padding_id = 1 if config.pad_token_id is None else config.pad_token_id
    count, width = config.max_position_embeddings, config.d_model
    learned = config.use_learned_position_embeddings
    return build_text_decoder(
        config,
        bart_positions(config) if learned else CountedSinusoids(count, width, padding_id=padding_id),
        layers(config, norm_first=False, memory_width=config.cross_attention_hidden_size),
        embedding_norm=nn.LayerNorm(width) if config.layernorm_embedding else None,
    )


def build_speech2text2(config: Speech2Text2Config) -> TextDecoder:
    """Build a Speech2Text2 decoder."""
    padding_id = 1 if config.pad_token_id is None else config.pad_token_id
    positions = CountedSinusoidTable(config.max_target_positions + 2, config.d_model, padding_id=padding_id)
    return build_text_decoder(config, positions, layers(config, norm_first=False))


TROCR = Family(TrOCRConfig, TROCR_KEYS, build_trocr, initialize, base="model.", tied=TIED)
SPEECH2TEXT2 = Family(Speech2Text2Config, SPEECH2TEXT2_KEYS, build_speech2text2, initialize, base="model.", tied=TIED)
