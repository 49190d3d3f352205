"""The decoders of BART, mBART and related families, with norms before or after the sub-layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from speechcli.families.config import FamilyConfig
from speechcli.families.family import Family
from speechcli.families.rules import Same
from speechcli.models.decoder import TextDecoder, token_embeddings
from speechcli.nn.attention import CrossAttention, MultiHeadAttention
from speechcli.nn.feedforward import FeedForward, activation
from speechcli.nn.initialize import initialize as initialize_module
from speechcli.nn.layer import TransformerLayer
from speechcli.nn.positions import LearnedPositions, Positions, Tables


@dataclass(frozen=True, kw_only=True)
class BartConfig(FamilyConfig):
    """BART (Lewis et al. 2020)."""

    model_type: ClassVar[str] = "bart"
    vocab_size: int = 50265
    max_position_embeddings: int = 1024
    decoder_layers: int = 12
    decoder_ffn_dim: int = 4096
    decoder_attention_heads: int = 16
    decoder_layerdrop: float = 0.0
    activation_function: str = "gelu"
    d_model: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    scale_embedding: bool = False
    """Multiply the token embeddings, not the positions, by the square root of the width."""
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | tuple[int, ...] | None = 2
    decoder_start_token_id: int | None = 2
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True

    def __post_init__(self) -> None:
        self.require(
            self.d_model % self.decoder_attention_heads == 0,
            f"`decoder_attention_heads` ({self.decoder_attention_heads}) must divide `d_model` ({self.d_model}).",
        )


@dataclass(frozen=True, kw_only=True)
class MBartConfig(BartConfig):
    """mBART (Liu et al. 2020) and mBART-50 (Tang et al. 2020)."""

    model_type: ClassVar[str] = "mbart"
    decoder_start_token_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class MvpConfig(BartConfig):
    """MVP (Tang et al. 2022), without prompts."""

    model_type: ClassVar[str] = "mvp"
    vocab_size: int = 50267
    use_prompt: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(not self.use_prompt, "prompts (`use_prompt`) are not supported.")


@dataclass(frozen=True, kw_only=True)
class PLBartConfig(BartConfig):
    """PLBART (Ahmad et al. 2021)."""

    model_type: ClassVar[str] = "plbart"
    vocab_size: int = 50005
    decoder_layers: int = 6
    decoder_ffn_dim: int = 3072
    decoder_attention_heads: int = 12
    d_model: int = 768
    attention_dropout: float = 0.1
    scale_embedding: bool = True
    decoder_start_token_id: int | None = None


LAYER_KEYS = (
    Same("model.decoder.layers.{}.self_attn.q_proj",               "layers.{}.self_attn.query"),
    Same("model.decoder.layers.{}.self_attn.k_proj",               "layers.{}.self_attn.key"),
    Same("model.decoder.layers.{}.self_attn.v_proj",               "layers.{}.self_attn.value"),
    Same("model.decoder.layers.{}.self_attn.out_proj",             "layers.{}.self_attn.output"),
    Same("model.decoder.layers.{}.self_attn_layer_norm",           "layers.{}.self_attn_norm"),
    Same("model.decoder.layers.{}.encoder_attn.q_proj",            "layers.{}.cross_attn.query"),
    Same("model.decoder.layers.{}.encoder_attn.k_proj",            "layers.{}.cross_attn.key"),
    Same("model.decoder.layers.{}.encoder_attn.v_proj",            "layers.{}.cross_attn.value"),
    Same("model.decoder.layers.{}.encoder_attn.out_proj",          "layers.{}.cross_attn.output"),
    Same("model.decoder.layers.{}.encoder_attn_layer_norm",        "layers.{}.cross_attn_norm"),
    Same("model.decoder.layers.{}.fc1",                            "layers.{}.ffn.up"),
    Same("model.decoder.layers.{}.fc2",                            "layers.{}.ffn.down"),
    Same("model.decoder.layers.{}.final_layer_norm",               "layers.{}.ffn_norm"),
)  # fmt: skip
KEYS = (
    Same("model.decoder.embed_tokens",                             "tokens"),
    Same("model.decoder.embed_positions",                          "positions"),
    Same("model.decoder.layernorm_embedding",                      "embedding_norm"),
    *LAYER_KEYS,
    Same("model.decoder.layer_norm",                               "norm"),
    Same("lm_head",                                                "head"),
)  # fmt: skip


def build_bart(config: BartConfig) -> TextDecoder:
    """Build a BART decoder."""
    return build_text_decoder(
        config, bart_positions(config), layers(config, norm_first=False), embedding_norm=nn.LayerNorm(config.d_model)
    )


def build_mbart(config: MBartConfig) -> TextDecoder:
    """Build an mBART decoder."""
    return build_text_decoder(
        config,
        bart_positions(config),
        layers(config, norm_first=True),
        embedding_norm=nn.LayerNorm(config.d_model),
        norm=nn.LayerNorm(config.d_model),
    )


def bart_positions(config: BartConfig) -> LearnedPositions:
    """Return BART's position embeddings, which start at row 2."""
    return LearnedPositions(config.max_position_embeddings, config.d_model, offset=2)


def layers(
    config: BartConfig, *, norm_first: bool, bias: bool = True, memory_width: int | None = None
) -> list[TransformerLayer]:
    """Build BART's layers.

    Args:
        config: configuration of the decoder.
        norm_first: whether the norms come before the sub-layers.
        bias: whether the projections of the attention have a bias.
        memory_width: width of the memory; None: that of the decoder.
    """
    width, heads, dropout = config.d_model, config.decoder_attention_heads, config.attention_dropout
    act = activation(config.activation_function)
    return [
        TransformerLayer(
            MultiHeadAttention(width, heads, dropout=dropout, bias=bias),
            FeedForward(width, config.decoder_ffn_dim, act, dropout=config.activation_dropout),
            norm=lambda: nn.LayerNorm(width),
            norm_first=norm_first,
            cross_attn=CrossAttention(width, heads, memory_width=memory_width, dropout=dropout, bias=bias),
            dropout=config.dropout,
        )
        for _ in range(config.decoder_layers)
    ]


def build_text_decoder(
    config: BartConfig,
    positions: Positions,
    layers: Sequence[TransformerLayer],
    *,
    token_map: nn.Module | None = None,
    embedding_norm: nn.Module | None = None,
    norm: nn.Module | None = None,
) -> TextDecoder:
    """Build the decoder of BART and related families from their different modules."""
    return TextDecoder(
        token_embeddings(config.vocab_size, config.d_model, config.pad_token_id),
        positions,
        layers,
        nn.Linear(config.d_model, config.vocab_size, bias=False),
        token_map=token_map,
        embedding_norm=embedding_norm,
        norm=norm,
        scale=config.d_model**0.5 if config.scale_embedding else 1.0,
        dropout=config.dropout,
        layer_dropout=config.decoder_layerdrop,
    )


def initialize(decoder: nn.Module, config: BartConfig) -> None:
    """Initialize a decoder with random weights."""
    for module in decoder.modules():
        initialize_module(module, config.init_std)
        if isinstance(module, Tables):
            module.reset()


TIED = ("head.weight", "tokens.weight")
SHARED = {"model.shared.weight": "model.decoder.embed_tokens.weight"}
"""Checkpoints of a whole BART contain the embeddings shared by encoder, decoder and head only under this name. Hugging
Face's warm start ignores it and leaves embeddings and head random; here they are loaded from it."""

BART = Family(BartConfig, KEYS, build_bart, initialize, base="model.", tied=TIED, sources=SHARED)
MBART = Family(MBartConfig, KEYS, build_mbart, initialize, base="model.", tied=TIED, sources=SHARED)
MVP = Family(MvpConfig, KEYS, build_bart, initialize, base="model.", tied=TIED, sources=SHARED)
PLBART = Family(PLBartConfig, KEYS, build_bart, initialize, base="model.", tied=TIED, sources=SHARED)
