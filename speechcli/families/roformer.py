"""RoFormer: BERT with rotary positions in the attention of each layer instead of added ones."""

from dataclasses import dataclass
from functools import partial
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
)
from speechcli.families.rules import Same
from speechcli.models.decoder import TextDecoder
from speechcli.nn.positions import InterleavedRotaryPositions
from speechcli.nn.relative_attention import InterleavedRotaryAttention


@dataclass(frozen=True, kw_only=True)
class RoFormerConfig(BertConfig):
    """RoFormer (Su et al. 2021)."""

    model_type: ClassVar[str] = "roformer"
    vocab_size: int = 50000
    embedding_size: int | None = None
    """Width of the embeddings; None: that of the layers."""
    max_position_embeddings: int = 1536
    rotary_value: bool = False
    """Whether the values are rotated too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        head = self.hidden_size // self.num_attention_heads
        self.require(head % 2 == 0, f"the width of a head must be even, but is {head}.")


KEYS = (
    Same("roformer.encoder.embed_positions",                       "positions", optional=True),
    Same("roformer.embeddings_project",                            "widen"),
    *norm_keys("roformer."),
)  # fmt: skip


def build(config: RoFormerConfig) -> TextDecoder:
    """Build a RoFormer decoder."""
    width, narrow = config.hidden_size, config.embedding_size or config.hidden_size
    return build_text_decoder(
        config,
        InterleavedRotaryPositions(config.max_position_embeddings, width // config.num_attention_heads),
        transform_head(config, config.hidden_act, narrow),
        layers(config, attention=partial(InterleavedRotaryAttention, values=config.rotary_value)),
        types=[nn.Embedding(config.type_vocab_size, narrow)],
        widen=nn.Linear(narrow, width) if narrow != width else None,
    )


ROFORMER = family(RoFormerConfig, "roformer.", BERT_HEAD, build, others=KEYS)
