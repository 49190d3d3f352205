"""ERNIE: BERT with optional task type embeddings."""

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
from speechcli.models.decoder import TextDecoder
from speechcli.nn.positions import LearnedPositions


@dataclass(frozen=True, kw_only=True)
class ErnieConfig(BertConfig):
    """ERNIE (Sun et al. 2019)."""

    model_type: ClassVar[str] = "ernie"
    use_task_id: bool = False
    """Whether there are task type embeddings."""
    task_type_vocab_size: int = 3
    """Number of task types; a decoder uses the first."""


def build(config: ErnieConfig) -> TextDecoder:
    """Build an ERNIE decoder."""
    tables = [types(config)]
    if config.use_task_id:
        tables.append(nn.Embedding(config.task_type_vocab_size, config.hidden_size))
    positions = LearnedPositions(config.max_position_embeddings, config.hidden_size)
    head = transform_head(config, config.hidden_act)
    return build_text_decoder(config, positions, head, layers(config), types=tables)


TASK_TYPES = Same("ernie.embeddings.task_type_embeddings", "types.1")
ERNIE = family(ErnieConfig, "ernie.", BERT_HEAD, build, others=(TASK_TYPES, *norm_keys("ernie.")))
