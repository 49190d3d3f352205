"""XGLM as a decoder: norms before the sub-layers, sinusoidal positions that checkpoints do not contain."""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from speechcli.families.bart import LAYER_KEYS, TIED
from speechcli.families.config import FamilyConfig
from speechcli.families.family import Family
from speechcli.families.rules import Drop, Rule, Same
from speechcli.models.decoder import TextDecoder, token_embeddings
from speechcli.nn.attention import CrossAttention, MultiHeadAttention
from speechcli.nn.feedforward import FeedForward, activation
from speechcli.nn.initialize import initialize as initialize_module
from speechcli.nn.layer import TransformerLayer
from speechcli.nn.positions import OffsetSinusoids


@dataclass(frozen=True, kw_only=True)
class XGLMConfig(FamilyConfig):
    """XGLM (Lin et al. 2021)."""

    model_type: ClassVar[str] = "xglm"
    vocab_size: int = 256008
    max_position_embeddings: int = 2048
    d_model: int = 1024
    ffn_dim: int = 4096
    num_layers: int = 24
    attention_heads: int = 16
    activation_function: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0
    layerdrop: float = 0.0
    init_std: float = 0.02
    scale_embedding: bool = True
    """Multiply the token embeddings, not the positions, by the square root of the width."""
    decoder_start_token_id: int | None = 2
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 2
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True

    def __post_init__(self) -> None:
        self.require(
            self.d_model % self.attention_heads == 0,
            f"`attention_heads` ({self.attention_heads}) must divide `d_model` ({self.d_model}).",
        )


KEYS: tuple[Rule, ...] = (
    Drop("model.embed_positions.weights", "computed"),
    Same("model.embed_tokens",                                     "tokens"),
    *(replace(rule, theirs=rule.theirs.replace("model.decoder.", "model.")) for rule in LAYER_KEYS),
    Same("model.layer_norm",                                       "norm"),
    Same("lm_head",                                                "head"),
)  # fmt: skip


def build(config: XGLMConfig) -> TextDecoder:
    """Build an XGLM decoder."""
    width, heads, dropout = config.d_model, config.attention_heads, config.attention_dropout
    act = activation(config.activation_function)

    def layer() -> TransformerLayer:
        return TransformerLayer(
            MultiHeadAttention(width, heads, dropout=dropout),
            FeedForward(width, config.ffn_dim, act, dropout=config.activation_dropout),
            norm=lambda: nn.LayerNorm(width),
            norm_first=True,
            cross_attn=CrossAttention(width, heads, dropout=dropout),
            dropout=config.dropout,
        )

    return TextDecoder(
        token_embeddings(config.vocab_size, width, config.pad_token_id),
        OffsetSinusoids(config.max_position_embeddings, width, padding_id=config.pad_token_id),
        [layer() for _ in range(config.num_layers)],
        nn.Linear(width, config.vocab_size, bias=False),
        norm=nn.LayerNorm(width),
        scale=width**0.5 if config.scale_embedding else 1.0,
        dropout=config.dropout,
        layer_dropout=config.layerdrop,
    )


def initialize(decoder: nn.Module, config: XGLMConfig) -> None:
    """Initialize a decoder with random weights."""
    for module in decoder.modules():
        initialize_module(module, config.init_std)


XGLM = Family(XGLMConfig, KEYS, build, initialize, base="model.", tied=TIED)
