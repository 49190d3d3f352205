"""BERT, RoBERTa and their kin as decoders: norms last, a head with a transform."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import nn

from speechcli.families.config import FamilyConfig
from speechcli.families.family import Drop, Family, Rule, Same
from speechcli.models.decoder import TextDecoder, TransformHead
from speechcli.nn.attention import CrossAttention, MultiHeadAttention
from speechcli.nn.feedforward import FeedForward, activation
from speechcli.nn.initialize import initialize as initialize_module
from speechcli.nn.layer import TransformerLayer
from speechcli.nn.positions import CountedPositions, LearnedPositions


@dataclass(frozen=True, kw_only=True)
class BertConfig(FamilyConfig):
    """BERT (Devlin et al. 2019)."""

    model_type: ClassVar[str] = "bert"
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True

    def __post_init__(self) -> None:
        self.require(
            self.hidden_size % self.num_attention_heads == 0,
            f"`num_attention_heads` ({self.num_attention_heads}) must divide `hidden_size` ({self.hidden_size}).",
        )


@dataclass(frozen=True, kw_only=True)
class RobertaConfig(BertConfig):
    """RoBERTa (Liu et al. 2019)."""

    model_type: ClassVar[str] = "roberta"
    vocab_size: int = 50265
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | None = 2


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


@dataclass(frozen=True, kw_only=True)
class ErnieConfig(BertConfig):
    """ERNIE (Sun et al. 2019)."""

    model_type: ClassVar[str] = "ernie"
    use_task_id: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(not self.use_task_id, "embeddings of tasks (`use_task_id`) are not supported.")


def _keys(base: str, *head: Rule) -> tuple[Rule, ...]:
    attention = "encoder.layer.{}.attention"
    cross = "encoder.layer.{}.crossattention"
    return (
        Drop(base + "embeddings.position_ids", "a buffer of old versions"),
        Drop(base + "embeddings.token_type_ids", "a buffer of old versions"),
        Same(base + "embeddings.word_embeddings",                  "tokens"),
        Same(base + "embeddings.position_embeddings",              "positions"),
        Same(base + "embeddings.token_type_embeddings",            "types"),
        Same(base + "embeddings.LayerNorm",                        "embedding_norm"),
        Same(base + attention + ".self.query",                     "layers.{}.self_attn.query"),
        Same(base + attention + ".self.key",                       "layers.{}.self_attn.key"),
        Same(base + attention + ".self.value",                     "layers.{}.self_attn.value"),
        Same(base + attention + ".output.dense",                   "layers.{}.self_attn.output"),
        Same(base + attention + ".output.LayerNorm",               "layers.{}.self_attn_norm"),
        Same(base + cross + ".self.query",                         "layers.{}.cross_attn.query"),
        Same(base + cross + ".self.key",                           "layers.{}.cross_attn.key"),
        Same(base + cross + ".self.value",                         "layers.{}.cross_attn.value"),
        Same(base + cross + ".output.dense",                       "layers.{}.cross_attn.output"),
        Same(base + cross + ".output.LayerNorm",                   "layers.{}.cross_attn_norm"),
        Same(base + "encoder.layer.{}.intermediate.dense",         "layers.{}.ffn.up"),
        Same(base + "encoder.layer.{}.output.dense",               "layers.{}.ffn.down"),
        Same(base + "encoder.layer.{}.output.LayerNorm",           "layers.{}.ffn_norm"),
        *head,
    )  # fmt: skip


BERT_HEAD = (
    Same("cls.predictions.transform.dense",                        "head.dense"),
    Same("cls.predictions.transform.LayerNorm",                    "head.norm"),
    Same("cls.predictions.decoder.weight",                         "head.scores.weight"),
    Same("cls.predictions.bias",                                   "head.scores.bias"),
    Drop("cls.predictions.decoder.bias", "the same tensor as cls.predictions.bias"),
)  # fmt: skip
ROBERTA_HEAD = (
    Same("lm_head.dense",                                          "head.dense"),
    Same("lm_head.layer_norm",                                     "head.norm"),
    Same("lm_head.decoder.weight",                                 "head.scores.weight"),
    Same("lm_head.bias",                                           "head.scores.bias"),
    Drop("lm_head.decoder.bias", "the same tensor as lm_head.bias"),
)  # fmt: skip


def build_bert(config: BertConfig) -> TextDecoder:
    """Build a BERT decoder."""
    return _build(config, LearnedPositions(config.max_position_embeddings, config.hidden_size), config.hidden_act)


def build_roberta(config: RobertaConfig) -> TextDecoder:
    """Build a RoBERTa decoder; its head always uses GELU."""
    padding_id = 1 if config.pad_token_id is None else config.pad_token_id
    positions = CountedPositions(config.max_position_embeddings, config.hidden_size, padding_id=padding_id)
    return _build(config, positions, "gelu")


def _build(config: BertConfig, positions: LearnedPositions | CountedPositions, head_act: str) -> TextDecoder:
    width = config.hidden_size
    norm = partial(nn.LayerNorm, width, eps=config.layer_norm_eps)
    tokens = nn.Embedding(config.vocab_size, width)
    head = TransformHead(width, config.vocab_size, activation(head_act), norm())
    if config.tie_word_embeddings:
        head.scores.weight = tokens.weight
    return TextDecoder(
        tokens,
        positions,
        [_layer(config, norm) for _ in range(config.num_hidden_layers)],
        head,
        types=nn.Embedding(config.type_vocab_size, width),
        embedding_norm=norm(),
        dropout=config.hidden_dropout_prob,
    )


def _layer(config: BertConfig, norm: Callable[[], nn.Module]) -> TransformerLayer:
    width, heads, dropout = config.hidden_size, config.num_attention_heads, config.attention_probs_dropout_prob
    return TransformerLayer(
        MultiHeadAttention(width, heads, dropout=dropout),
        FeedForward(width, config.intermediate_size, activation(config.hidden_act)),
        norm=norm,
        norm_first=False,
        cross_attn=CrossAttention(width, heads, dropout=dropout),
        dropout=config.hidden_dropout_prob,
    )


def initialize(decoder: nn.Module, config: BertConfig) -> None:
    """Fill a decoder with random weights."""
    for module in decoder.modules():
        initialize_module(module, config.initializer_range)


TIED = ("head.scores.weight", "tokens.weight")


def _family(config: type[BertConfig], base: str, head: tuple[Rule, ...], build: Callable[[Any], Any]) -> Family:
    return Family(config, _keys(base, *head), build, initialize, base=base, tied=TIED)


BERT = _family(BertConfig, "bert.", BERT_HEAD, build_bert)
ERNIE = _family(ErnieConfig, "ernie.", BERT_HEAD, build_bert)
ROBERTA = _family(RobertaConfig, "roberta.", ROBERTA_HEAD, build_roberta)
CAMEMBERT = _family(CamembertConfig, "roberta.", ROBERTA_HEAD, build_roberta)
XLM_ROBERTA = _family(XLMRobertaConfig, "roberta.", ROBERTA_HEAD, build_roberta)
DATA2VEC_TEXT = _family(Data2VecTextConfig, "data2vec_text.", ROBERTA_HEAD, build_roberta)
