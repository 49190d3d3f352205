"""RoCBert: BERT for Chinese with embeddings of shape and pronunciation."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from speechcli.families.bert import (
    BERT_HEAD,
    BertConfig,
    build_text_decoder,
    family,
    layers,
    norm_keys,
    transform_head,
    types,
)
from speechcli.families.rules import Same
from speechcli.models.decoder import TextDecoder, token_embeddings
from speechcli.nn.glyphs import Glyphs
from speechcli.nn.positions import LearnedPositions


@dataclass(frozen=True, kw_only=True)
class RoCBertConfig(BertConfig):
    """RoCBert (Su et al. 2022)."""

    model_type: ClassVar[str] = "roc_bert"
    enable_pronunciation: bool = True
    enable_shape: bool = True
    pronunciation_embed_dim: int = 768
    pronunciation_vocab_size: int = 910
    shape_embed_dim: int = 512
    shape_vocab_size: int = 24858
    concat_input: bool = True
    """Whether embeddings of token, shape and pronunciation are concatenated; else a decoder uses only the token's."""


KEYS = (
    Same("roc_bert.embeddings.shape_embed",                        "token_map.shapes"),
    Same("roc_bert.embeddings.pronunciation_embed",                "token_map.sounds"),
    Same("roc_bert.embeddings.map_inputs_layer",                   "token_map.mix"),
    *norm_keys("roc_bert."),
)  # fmt: skip


def build(config: RoCBertConfig) -> TextDecoder:
    """Build a RoCBert decoder."""
    positions = LearnedPositions(config.max_position_embeddings, config.hidden_size)
    head = transform_head(config, config.hidden_act)
    return build_text_decoder(config, positions, head, layers(config), types=[types(config)], token_map=glyphs(config))


def glyphs(config: RoCBertConfig) -> Glyphs:
    """Build the embeddings of shape and pronunciation."""
    width, shape, sound = config.hidden_size, config.shape_embed_dim, config.pronunciation_embed_dim
    inputs = width + shape * bool(config.enable_shape) + sound * bool(config.enable_pronunciation)
    return Glyphs(
        token_embeddings(config.shape_vocab_size, shape, config.pad_token_id),
        token_embeddings(config.pronunciation_vocab_size, sound, config.pad_token_id),
        nn.Linear(inputs, width) if config.concat_input else None,
        reads_shapes=config.enable_shape,
        reads_sounds=config.enable_pronunciation,
    )


ROC_BERT = family(RoCBertConfig, "roc_bert.", BERT_HEAD, build, others=KEYS)
