"""ELECTRA and RemBERT: BERT with embeddings that are narrower than the layers."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from speechcli.families.bert import (
    BertConfig,
    body_keys,
    build_text_decoder,
    initialize,
    layers,
    norm_keys,
    transform_head,
)
from speechcli.families.family import Family
from speechcli.families.rules import Same
from speechcli.models.decoder import TextDecoder
from speechcli.nn.positions import LearnedPositions


@dataclass(frozen=True, kw_only=True)
class ElectraConfig(BertConfig):
    """ELECTRA (Clark et al. 2020)."""

    model_type: ClassVar[str] = "electra"
    embedding_size: int = 128
    hidden_size: int = 256
    num_attention_heads: int = 4
    intermediate_size: int = 1024


@dataclass(frozen=True, kw_only=True)
class RemBertConfig(BertConfig):
    """RemBERT (Chung et al. 2021), whose head is never tied to the embeddings."""

    model_type: ClassVar[str] = "rembert"
    vocab_size: int = 250300
    hidden_size: int = 1152
    num_hidden_layers: int = 32
    num_attention_heads: int = 18
    input_embedding_size: int = 256
    output_embedding_size: int = 1664
    """Width inside the head."""
    intermediate_size: int = 4608
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    bos_token_id: int | None = 312
    eos_token_id: int | tuple[int, ...] | None = 313
    tie_word_embeddings: bool = False


ELECTRA_KEYS = (
    *body_keys("electra."),
    *norm_keys("electra."),
    Same("electra.embeddings_project",                             "widen"),
    Same("generator_predictions.dense",                            "head.dense"),
    Same("generator_predictions.LayerNorm",                        "head.norm"),
    Same("generator_lm_head",                                      "head.scores"),
)  # fmt: skip
REMBERT_KEYS = (
    *body_keys("rembert."),
    *norm_keys("rembert."),
    Same("rembert.encoder.embedding_hidden_mapping_in",            "widen"),
    Same("cls.predictions.dense",                                  "head.dense"),
    Same("cls.predictions.LayerNorm",                              "head.norm"),
    Same("cls.predictions.decoder",                                "head.scores"),
)  # fmt: skip


def build_electra(config: ElectraConfig) -> TextDecoder:
    """Build an ELECTRA decoder, with the generator's head."""
    width, narrow = config.hidden_size, config.embedding_size
    widen = nn.Linear(narrow, width) if narrow != width else None
    positions = LearnedPositions(config.max_position_embeddings, narrow)
    head, types = transform_head(config, "gelu", narrow), nn.Embedding(config.type_vocab_size, narrow)
    return build_text_decoder(config, positions, head, layers(config), types=[types], widen=widen)


def build_rembert(config: RemBertConfig) -> TextDecoder:
    """Build a RemBERT decoder."""
    narrow = config.input_embedding_size
    widen, types = nn.Linear(narrow, config.hidden_size), nn.Embedding(config.type_vocab_size, narrow)
    positions = LearnedPositions(config.max_position_embeddings, narrow)
    head = transform_head(config, config.hidden_act, config.output_embedding_size)
    return build_text_decoder(config, positions, head, layers(config), types=[types], widen=widen)


ELECTRA = Family(
    ElectraConfig,
    ELECTRA_KEYS,
    build_electra,
    initialize,
    base="electra.",
    tied=("head.scores.weight", "tokens.weight"),
)
REMBERT = Family(RemBertConfig, REMBERT_KEYS, build_rembert, initialize, base="rembert.")
