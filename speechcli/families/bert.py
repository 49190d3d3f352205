"""BERT, RoBERTa and related families as decoders: norms after the sub-layers, a head with a transform."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import nn

from speechcli.families.config import FamilyConfig
from speechcli.families.family import Family
from speechcli.families.rules import Copy, Drop, Rule, Same
from speechcli.models.decoder import TextDecoder, TransformHead, token_embeddings
from speechcli.nn.attention import CrossAttention, MultiHeadAttention
from speechcli.nn.feedforward import FeedForward, activation
from speechcli.nn.initialize import initialize as initialize_module
from speechcli.nn.layer import TransformerLayer
from speechcli.nn.positions import CountedPositions, InterleavedRotaryPositions, LearnedPositions, Positions, Tables


@dataclass(frozen=True, kw_only=True)
class BertLikeConfig(FamilyConfig):
    """Configuration of all families related to BERT."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True

    def __post_init__(self) -> None:
        self.require(
            self.hidden_size % self.num_attention_heads == 0,
            f"`num_attention_heads` ({self.num_attention_heads}) must divide `hidden_size` ({self.hidden_size}).",
        )


@dataclass(frozen=True, kw_only=True)
class BertConfig(BertLikeConfig):
    """BERT (Devlin et al. 2019)."""

    model_type: ClassVar[str] = "bert"
    type_vocab_size: int = 2
    """Number of token types; a decoder uses the first."""


@dataclass(frozen=True, kw_only=True)
class BertGenerationConfig(BertLikeConfig):
    """BERT for generation (Rothe et al. 2020), without token types."""

    model_type: ClassVar[str] = "bert-generation"
    vocab_size: int = 50358
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    bos_token_id: int | None = 2
    eos_token_id: int | tuple[int, ...] | None = 1


@dataclass(frozen=True, kw_only=True)
class RobertaConfig(BertConfig):
    """RoBERTa (Liu et al. 2019)."""

    model_type: ClassVar[str] = "roberta"
    vocab_size: int = 50265
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 2


@dataclass(frozen=True, kw_only=True)
class CamembertConfig(RobertaConfig):
    """CamemBERT (Martin et al. 2020)."""

    model_type: ClassVar[str] = "camembert"
    vocab_size: int = 30522


@dataclass(frozen=True, kw_only=True)
class XLMRobertaConfig(RobertaConfig):
    """XLM-R (Conneau et al. 2020)."""

    model_type: ClassVar[str] = "xlm-roberta"
    vocab_size: int = 30522


@dataclass(frozen=True, kw_only=True)
class Data2VecTextConfig(RobertaConfig):
    """data2vec for text (Baevski et al. 2022)."""

    model_type: ClassVar[str] = "data2vec-text"
    vocab_size: int = 30522


def body_keys(base: str) -> tuple[Rule, ...]:
    """Return the keys that all families related to BERT share: everything but norms and head."""
    attention = "encoder.layer.{}.attention"
    cross = "encoder.layer.{}.crossattention"
    return (
        Drop(base + "embeddings.position_ids", "a buffer of old versions"),
        Drop(base + "embeddings.token_type_ids", "a buffer of old versions"),
        Same(base + "embeddings.word_embeddings",                  "tokens"),
        Same(base + "embeddings.position_embeddings",              "positions"),
        Same(base + "embeddings.token_type_embeddings",            "types.0"),
        Same(base + attention + ".self.query",                     "layers.{}.self_attn.query"),
        Same(base + attention + ".self.key",                       "layers.{}.self_attn.key"),
        Same(base + attention + ".self.value",                     "layers.{}.self_attn.value"),
        Same(base + attention + ".output.dense",                   "layers.{}.self_attn.output"),
        Same(base + cross + ".self.query",                         "layers.{}.cross_attn.query"),
        Same(base + cross + ".self.key",                           "layers.{}.cross_attn.key"),
        Same(base + cross + ".self.value",                         "layers.{}.cross_attn.value"),
        Same(base + cross + ".output.dense",                       "layers.{}.cross_attn.output"),
        Same(base + "encoder.layer.{}.intermediate.dense",         "layers.{}.ffn.up"),
        Same(base + "encoder.layer.{}.output.dense",               "layers.{}.ffn.down"),
    )  # fmt: skip


def norm_keys(base: str) -> tuple[Rule, ...]:
    """Return the keys of norms after the sub-layers."""
    return (
        Same(base + "embeddings.LayerNorm",                        "embedding_norm"),
        Same(base + "encoder.layer.{}.attention.output.LayerNorm",       "layers.{}.self_attn_norm"),
        Same(base + "encoder.layer.{}.crossattention.output.LayerNorm",  "layers.{}.cross_attn_norm"),
        Same(base + "encoder.layer.{}.output.LayerNorm",           "layers.{}.ffn_norm"),
    )  # fmt: skip


BERT_HEAD = (
    Same("cls.predictions.transform.dense",                        "head.dense"),
    Same("cls.predictions.transform.LayerNorm",                    "head.norm"),
    Same("cls.predictions.decoder.weight",                         "head.scores.weight"),
    Same("cls.predictions.bias",                                   "head.scores.bias"),
    Copy("cls.predictions.decoder.bias",                           "head.scores.bias"),
)  # fmt: skip
ROBERTA_HEAD = (
    Same("lm_head.dense",                                          "head.dense"),
    Same("lm_head.layer_norm",                                     "head.norm"),
    Same("lm_head.decoder.weight",                                 "head.scores.weight"),
    Same("lm_head.bias",                                           "head.scores.bias"),
    Copy("lm_head.decoder.bias",                                   "head.scores.bias"),
)  # fmt: skip
LINEAR_HEAD = (
    Same("lm_head.decoder.weight",                                 "head.weight"),
    Same("lm_head.bias",                                           "head.bias"),
    Copy("lm_head.decoder.bias",                                   "head.bias"),
)  # fmt: skip


def _untied(head: Sequence[Same]) -> tuple[Rule, ...]:
    # The bias of these heads has two names. With tied embeddings both are one tensor. Otherwise there are two tensors:
    # transformers uses only the one beside the matrix, but expects both.
    copy = next(rule for rule in head if isinstance(rule, Copy))
    shared = copy.theirs.replace(".decoder.bias", ".bias")
    return Same(copy.theirs, copy.ours), Copy(shared, copy.ours, written=True)


def build_bert(config: BertConfig) -> TextDecoder:
    """Build a BERT decoder."""
    positions = LearnedPositions(config.max_position_embeddings, config.hidden_size)
    head = transform_head(config, config.hidden_act)
    return build_text_decoder(config, positions, head, layers(config), types=[types(config)])


def build_bert_generation(config: BertGenerationConfig) -> TextDecoder:
    """Build a BERT decoder with a linear head and without token types."""
    positions = LearnedPositions(config.max_position_embeddings, config.hidden_size)
    return build_text_decoder(config, positions, nn.Linear(config.hidden_size, config.vocab_size), layers(config))


def build_roberta(config: RobertaConfig) -> TextDecoder:
    """Build a RoBERTa decoder."""
    head = transform_head(config, "gelu")
    return build_text_decoder(config, counted_positions(config), head, layers(config), types=[types(config)])


def types(config: BertConfig) -> nn.Embedding:
    """Build BERT's token type embeddings."""
    return nn.Embedding(config.type_vocab_size, config.hidden_size)


def counted_positions(config: BertConfig) -> CountedPositions:
    """Build RoBERTa's position embeddings."""
    padding_id = 1 if config.pad_token_id is None else config.pad_token_id
    config.require(
        0 <= padding_id < config.max_position_embeddings - 1,
        f"positions are counted from `pad_token_id` + 1 ({padding_id + 1}), so `max_position_embeddings` "
        f"({config.max_position_embeddings}) must be larger.",
    )
    return CountedPositions(config.max_position_embeddings, config.hidden_size, padding_id=padding_id)


def transform_head(config: BertConfig, act: str, inner: int | None = None) -> TransformHead:
    """Build a head with a transform; BERT's activation is `hidden_act`, RoBERTa's always GELU."""
    width = config.hidden_size if inner is None else inner
    norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
    dense, scores = nn.Linear(config.hidden_size, width), nn.Linear(width, config.vocab_size)
    return TransformHead(dense, activation(act), norm, scores)


def layers(
    config: BertLikeConfig,
    *,
    norm_first: bool = False,
    attention: Callable[..., MultiHeadAttention] = MultiHeadAttention,
) -> list[TransformerLayer]:
    """Build BERT's layers."""
    width, heads, dropout = config.hidden_size, config.num_attention_heads, config.attention_probs_dropout_prob
    return [
        TransformerLayer(
            attention(width, heads, dropout=dropout),
            FeedForward(width, config.intermediate_size, activation(config.hidden_act)),
            norm=partial(nn.LayerNorm, width, eps=config.layer_norm_eps),
            norm_first=norm_first,
            cross_attn=CrossAttention(width, heads, dropout=dropout),
            dropout=config.hidden_dropout_prob,
        )
        for _ in range(config.num_hidden_layers)
    ]


def build_text_decoder(
    config: BertLikeConfig,
    positions: Positions | InterleavedRotaryPositions,
    head: nn.Linear | TransformHead,
    layers: Sequence[TransformerLayer],
    *,
    types: Sequence[nn.Embedding] = (),
    token_map: nn.Module | None = None,
    embedding_norm: bool = True,
    widen: nn.Linear | None = None,
    norm: nn.Module | None = None,
) -> TextDecoder:
    """Build the decoder of BERT and related families from their different modules."""
    width = config.hidden_size if widen is None else widen.in_features
    return TextDecoder(
        token_embeddings(config.vocab_size, width, config.pad_token_id),
        positions,
        layers,
        head,
        types=types,
        token_map=token_map,
        embedding_norm=nn.LayerNorm(width, eps=config.layer_norm_eps) if embedding_norm else None,
        widen=widen,
        norm=norm,
        dropout=config.hidden_dropout_prob,
    )


def initialize(decoder: nn.Module, config: BertLikeConfig) -> None:
    """Initialize a decoder with random weights."""
    for module in decoder.modules():
        initialize_module(module, config.initializer_range)
        if isinstance(module, Tables):
            module.reset()


def family(
    config: type[BertLikeConfig],
    base: str,
    head: tuple[Same, ...],
    build: Callable[[Any], TextDecoder],
    *,
    others: tuple[Rule, ...] = (),
) -> Family:
    """Return a family related to BERT whose head may be tied to the embeddings.

    `others` replace the keys of norms after the sub-layers, and precede the keys that all families share.
    """
    keys = (*(others or norm_keys(base)), *body_keys(base), *head)
    scores = next(rule.ours for rule in head if rule.theirs.endswith(".decoder.weight"))
    return Family(config, keys, build, initialize, base=base, tied=(scores, "tokens.weight"), untied=_untied(head))


BERT = family(BertConfig, "bert.", BERT_HEAD, build_bert)
BERT_GENERATION = family(BertGenerationConfig, "bert.", LINEAR_HEAD, build_bert_generation)
ROBERTA = family(RobertaConfig, "roberta.", ROBERTA_HEAD, build_roberta)
CAMEMBERT = family(CamembertConfig, "roberta.", ROBERTA_HEAD, build_roberta)
XLM_ROBERTA = family(XLMRobertaConfig, "roberta.", ROBERTA_HEAD, build_roberta)
DATA2VEC_TEXT = family(Data2VecTextConfig, "data2vec_text.", ROBERTA_HEAD, build_roberta)
