"""Whisper (Radford et al. 2022): its encoder and its decoder, which are published as one model."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, TypeVar

from torch import nn

from speechcli.families.bart import LAYER_KEYS
from speechcli.families.family import Family
from speechcli.families.rules import Same
from speechcli.families.spec_augment import SpecAugmentConfig, always_spec_augment
from speechcli.models.decoder import TextDecoder, token_embeddings
from speechcli.models.encoder import WindowEncoder
from speechcli.nn.attention import CrossAttention, MultiHeadAttention
from speechcli.nn.feedforward import FeedForward, activation
from speechcli.nn.frontend import WindowFrontend
from speechcli.nn.initialize import initialize as initialize_module
from speechcli.nn.layer import TransformerLayer
from speechcli.nn.positions import FramePositions, LearnedPositions, SinusoidalPositions

AttentionT = TypeVar("AttentionT", bound=MultiHeadAttention)


@dataclass(frozen=True, kw_only=True)
class WhisperConfig(SpecAugmentConfig):
    """Configuration of both encoder and decoder."""

    model_type: ClassVar[str] = "whisper"
    vocab_size: int = 51865
    num_mel_bins: int = 80
    encoder_layers: int = 4
    encoder_attention_heads: int = 6
    encoder_ffn_dim: int = 1536
    encoder_layerdrop: float = 0.0
    decoder_layers: int = 4
    decoder_attention_heads: int = 6
    decoder_ffn_dim: int = 1536
    decoder_layerdrop: float = 0.0
    activation_function: str = "gelu"
    d_model: int = 384
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    max_source_positions: int = 1500
    """Number of frames in a window, 50 per second."""
    max_target_positions: int = 448
    apply_spec_augment: bool = False
    decoder_start_token_id: int | None = 50257
    pad_token_id: int | None = 50256
    bos_token_id: int | None = 50256
    eos_token_id: int | tuple[int, ...] | None = 50256
    tie_word_embeddings: bool = True


ENCODER_KEYS = (
    Same("conv1",                                            "frontend.conv1"),
    Same("conv2",                                            "frontend.conv2"),
    Same("embed_positions",                                  "positions"),
    Same("layers.{}.self_attn.q_proj",                       "layers.{}.self_attn.query"),
    Same("layers.{}.self_attn.k_proj",                       "layers.{}.self_attn.key"),
    Same("layers.{}.self_attn.v_proj",                       "layers.{}.self_attn.value"),
    Same("layers.{}.self_attn.out_proj",                     "layers.{}.self_attn.output"),
    Same("layers.{}.self_attn_layer_norm",                   "layers.{}.self_attn_norm"),
    Same("layers.{}.fc1",                                    "layers.{}.ffn.up"),
    Same("layers.{}.fc2",                                    "layers.{}.ffn.down"),
    Same("layers.{}.final_layer_norm",                       "layers.{}.ffn_norm"),
    Same("layer_norm",                                       "norm"),
)  # fmt: skip

DECODER_KEYS = (
    Same("model.decoder.embed_tokens",                       "tokens"),
    Same("model.decoder.embed_positions",                    "positions"),
    *LAYER_KEYS,
    Same("model.decoder.layer_norm",                         "norm"),
    Same("proj_out",                                         "head"),
)  # fmt: skip


def build_encoder(config: WhisperConfig) -> WindowEncoder:
    """Build a Whisper encoder."""
    width, heads = config.d_model, config.encoder_attention_heads
    config.require(width >= 4 and width % 2 == 0, f"`d_model` must be an even number from 4, but is {width}.")
    config.require(width % heads == 0, f"`encoder_attention_heads` ({heads}) must divide `d_model` ({width}).")
    return WindowEncoder(
        WindowFrontend(config.num_mel_bins, width, config.max_source_positions),
        nn.Identity(),
        [_layer(config, heads, config.encoder_ffn_dim, reads=False) for _ in range(config.encoder_layers)],
        width=width,
        spec_augment=always_spec_augment(config, None),
        positions=FramePositions(config.max_source_positions, width),
        norm=nn.LayerNorm(width),
        norm_first=True,
        dropout=config.dropout,
        layer_dropout=config.encoder_layerdrop,
    )


def build_decoder(config: WhisperConfig) -> TextDecoder:
    """Build a Whisper decoder."""
    width, heads = config.d_model, config.decoder_attention_heads
    config.require(width % heads == 0, f"`decoder_attention_heads` ({heads}) must divide `d_model` ({width}).")
    return TextDecoder(
        token_embeddings(config.vocab_size, width, config.pad_token_id),
        LearnedPositions(config.max_target_positions, width),
        [_layer(config, heads, config.decoder_ffn_dim, reads=True) for _ in range(config.decoder_layers)],
        nn.Linear(width, config.vocab_size, bias=False),
        norm=nn.LayerNorm(width),
        dropout=config.dropout,
        layer_dropout=config.decoder_layerdrop,
    )


def _layer(config: WhisperConfig, heads: int, inner: int, *, reads: bool) -> TransformerLayer:
    width = config.d_model
    act = activation(config.activation_function)
    return TransformerLayer(
        _attention(MultiHeadAttention, config, heads),
        FeedForward(width, inner, act, dropout=config.activation_dropout),
        norm=partial(nn.LayerNorm, width),
        norm_first=True,
        cross_attn=_attention(CrossAttention, config, heads) if reads else None,
        dropout=config.dropout,
    )


def _attention(kind: type[AttentionT], config: WhisperConfig, heads: int) -> AttentionT:
    attention = kind(config.d_model, heads, dropout=config.attention_dropout)
    attention.key = nn.Linear(config.d_model, config.d_model, bias=False)
    return attention


def initialize(half: nn.Module, config: WhisperConfig) -> None:
    """Initialize an encoder or a decoder with random weights."""
    for module in half.modules():
        initialize_module(module, config.init_std)
        if isinstance(module, SinusoidalPositions):
            module.reset()


WHISPER_ENCODER = Family(WhisperConfig, ENCODER_KEYS, build_encoder, initialize, base="model.encoder.")
WHISPER_DECODER = Family(
    WhisperConfig, DECODER_KEYS, build_decoder, initialize, base="model.", tied=("head.weight", "tokens.weight")
)
