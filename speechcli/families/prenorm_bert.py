"""BERT and RoBERTa with norms before the sub-layers: XLM-R XL, RoBERTa-PreLayerNorm and Megatron's BERT."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from speechcli.families.bert import (
    BERT_HEAD,
    ROBERTA_HEAD,
    BertConfig,
    RobertaConfig,
    build_text_decoder,
    counted_positions,
    family,
    layers,
    transform_head,
    types,
)
from speechcli.families.rules import Same
from speechcli.models.decoder import TextDecoder
from speechcli.nn.positions import LearnedPositions, Positions


@dataclass(frozen=True, kw_only=True)
class XLMRobertaXLConfig(RobertaConfig):
    """XLM-R XL (Goyal et al. 2021)."""

    model_type: ClassVar[str] = "xlm-roberta-xl"
    vocab_size: int = 250880
    hidden_size: int = 2560
    num_hidden_layers: int = 36
    num_attention_heads: int = 32
    intermediate_size: int = 10240
    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class RobertaPreLayerNormConfig(RobertaConfig):
    """RoBERTa with norms before the sub-layers (fairseq, Ott et al. 2019)."""

    model_type: ClassVar[str] = "roberta-prelayernorm"


@dataclass(frozen=True, kw_only=True)
class MegatronBertConfig(BertConfig):
    """Megatron's BERT (Shoeybi et al. 2019).

    In the current reference, the output of the cross-attention has the wrong shape unless there are as many frames as
    tokens. Older versions, and this implementation, are correct.
    """

    model_type: ClassVar[str] = "megatron-bert"
    vocab_size: int = 29056
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096


XLM_ROBERTA_XL_NORMS = (
    Same("roberta.encoder.layer.{}.attention.self_attn_layer_norm",       "layers.{}.self_attn_norm"),
    Same("roberta.encoder.layer.{}.crossattention.self_attn_layer_norm",  "layers.{}.cross_attn_norm"),
    Same("roberta.encoder.layer.{}.LayerNorm",                            "layers.{}.ffn_norm"),
    Same("roberta.encoder.LayerNorm",                                     "norm"),
)  # fmt: skip
PRELAYERNORM = "roberta_prelayernorm."
PRELAYERNORM_NORMS = (
    Same(PRELAYERNORM + "embeddings.LayerNorm",                           "embedding_norm"),
    Same(PRELAYERNORM + "encoder.layer.{}.attention.LayerNorm",           "layers.{}.self_attn_norm"),
    Same(PRELAYERNORM + "encoder.layer.{}.crossattention.LayerNorm",      "layers.{}.cross_attn_norm"),
    Same(PRELAYERNORM + "encoder.layer.{}.intermediate.LayerNorm",        "layers.{}.ffn_norm"),
    Same(PRELAYERNORM + "LayerNorm",                                      "norm"),
)  # fmt: skip
MEGATRON_NORMS = (
    Same("bert.encoder.layer.{}.attention.ln",                            "layers.{}.self_attn_norm"),
    Same("bert.encoder.layer.{}.crossattention.ln",                       "layers.{}.cross_attn_norm"),
    Same("bert.encoder.layer.{}.ln",                                      "layers.{}.ffn_norm"),
    Same("bert.encoder.ln",                                               "norm"),
)  # fmt: skip


def build_xlm_roberta_xl(config: XLMRobertaXLConfig) -> TextDecoder:
    """Build an XLM-R XL decoder."""
    return _build(config, counted_positions(config), "gelu", embedding_norm=False)


def build_roberta_prelayernorm(config: RobertaPreLayerNormConfig) -> TextDecoder:
    """Build a RoBERTa-PreLayerNorm decoder."""
    return _build(config, counted_positions(config), "gelu", embedding_norm=True)


def build_megatron_bert(config: MegatronBertConfig) -> TextDecoder:
    """Build a decoder of Megatron's BERT."""
    positions = LearnedPositions(config.max_position_embeddings, config.hidden_size)
    return _build(config, positions, config.hidden_act, embedding_norm=False)


def _build(config: BertConfig, positions: Positions, head_act: str, *, embedding_norm: bool) -> TextDecoder:
    return build_text_decoder(
        config,
        positions,
        transform_head(config, head_act),
        layers(config, norm_first=True),
        types=[types(config)],
        embedding_norm=embedding_norm,
        norm=nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps),
    )


XLM_ROBERTA_XL = family(XLMRobertaXLConfig, "roberta.", ROBERTA_HEAD, build_xlm_roberta_xl, others=XLM_ROBERTA_XL_NORMS)
ROBERTA_PRELAYERNORM = family(
    RobertaPreLayerNormConfig, PRELAYERNORM, ROBERTA_HEAD, build_roberta_prelayernorm, others=PRELAYERNORM_NORMS
)
MEGATRON_BERT = family(MegatronBertConfig, "bert.", BERT_HEAD, build_megatron_bert, others=MEGATRON_NORMS)
