"""The decoders of Pegasus, BigBird, Marian and Blenderbot: BART's layers with other positions and norms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import nn

from speechcli.families.bart import KEYS, SHARED, TIED, BartConfig, build_text_decoder, initialize, layers
from speechcli.families.family import Family
from speechcli.families.rules import Same
from speechcli.models.decoder import TextDecoder
from speechcli.nn.layer import TransformerLayer
from speechcli.nn.positions import LearnedPositions, Positions, SinusoidalPositions


@dataclass(frozen=True, kw_only=True)
class PegasusConfig(BartConfig):
    """Pegasus (Zhang et al. 2020)."""

    model_type: ClassVar[str] = "pegasus"
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = 1
    decoder_start_token_id: int | None = 0


@dataclass(frozen=True, kw_only=True)
class MarianConfig(BartConfig):
    """Marian (Junczys-Dowmunt et al. 2018)."""

    model_type: ClassVar[str] = "marian"
    vocab_size: int = 58101
    decoder_vocab_size: int | None = None
    """Size of the decoder's vocabulary; None: `vocab_size`."""
    pad_token_id: int | None = 58100
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = 0
    decoder_start_token_id: int | None = 58100

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.decoder_vocab_size
        self.require(
            size in (None, self.vocab_size),
            f"`vocab_size` ({self.vocab_size}) must be the decoder's, `decoder_vocab_size` ({size}).",
        )


@dataclass(frozen=True, kw_only=True)
class BlenderbotConfig(BartConfig):
    """Blenderbot (Roller et al. 2021)."""

    model_type: ClassVar[str] = "blenderbot"
    vocab_size: int = 8008
    max_position_embeddings: int = 128
    decoder_layers: int = 24
    decoder_ffn_dim: int = 10240
    decoder_attention_heads: int = 32
    d_model: int = 2560
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    decoder_start_token_id: int | None = 1


@dataclass(frozen=True, kw_only=True)
class BlenderbotSmallConfig(BartConfig):
    """The small Blenderbot, which has another architecture."""

    model_type: ClassVar[str] = "blenderbot-small"
    max_position_embeddings: int = 512
    decoder_layers: int = 8
    decoder_ffn_dim: int = 2048
    d_model: int = 512
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    decoder_start_token_id: int | None = 1


@dataclass(frozen=True, kw_only=True)
class BigBirdPegasusConfig(BartConfig):
    """BigBird on Pegasus (Zaheer et al. 2020); only its encoder's attention is sparse.

    The current reference never ties its head, even if `tie_word_embeddings` is true.
    """

    model_type: ClassVar[str] = "bigbird_pegasus"
    vocab_size: int = 96103
    max_position_embeddings: int = 4096
    decoder_layers: int = 16
    activation_function: str = "gelu_new"
    scale_embedding: bool = True
    use_bias: bool = False
    """Whether the projections of the attention have a bias."""
    pad_token_id: int | None = 0
    bos_token_id: int | None = 2
    eos_token_id: int | tuple[int, ...] | None = 1


SINUSOID_KEYS = tuple(replace(rule, optional=True) if rule.ours == "positions" else rule for rule in KEYS)
"""Marian's and Pegasus' classes in transformers do not save the table of positions."""
BLENDERBOT_SMALL_KEYS = tuple(
    replace(rule, ours="token_map") if rule.ours == "embedding_norm" else rule for rule in KEYS
)
BIGBIRD_KEYS = tuple(replace(rule, ours="norm") if rule.ours == "embedding_norm" else rule for rule in KEYS)
"""The norm after the layers has another name."""


def build_pegasus(config: PegasusConfig) -> TextDecoder:
    """Build a Pegasus decoder."""
    positions = SinusoidalPositions(config.max_position_embeddings, config.d_model)
    return _norm_first(config, positions, layers(config, norm_first=True))


def build_bigbird_pegasus(config: BigBirdPegasusConfig) -> TextDecoder:
    """Build a BigBird-Pegasus decoder."""
    return _norm_first(config, _learned(config), layers(config, norm_first=True, bias=config.use_bias))


def build_blenderbot(config: BlenderbotConfig) -> TextDecoder:
    """Build a Blenderbot decoder."""
    return _norm_first(config, _learned(config), layers(config, norm_first=True))


def build_marian(config: MarianConfig) -> TextDecoder:
    """Build a Marian decoder."""
    positions = SinusoidalPositions(config.max_position_embeddings, config.d_model)
    return build_text_decoder(config, positions, layers(config, norm_first=False))


def build_blenderbot_small(config: BlenderbotSmallConfig) -> TextDecoder:
    """Build a small Blenderbot's decoder."""
    # The reference has `scale_embedding` here but ignores it.
    unscaled, norm = replace(config, scale_embedding=False), nn.LayerNorm(config.d_model)
    return build_text_decoder(unscaled, _learned(config), layers(config, norm_first=False), token_map=norm)


def _learned(config: BartConfig) -> LearnedPositions:
    return LearnedPositions(config.max_position_embeddings, config.d_model)


def _norm_first(config: BartConfig, positions: Positions, layers: Sequence[TransformerLayer]) -> TextDecoder:
    return build_text_decoder(config, positions, layers, norm=nn.LayerNorm(config.d_model))


def _family(
    config: type[BartConfig],
    build: Callable[[Any], TextDecoder],
    keys: tuple[Same, ...] = KEYS,
    *,
    ties: bool = True,
) -> Family:
    return Family(config, keys, build, initialize, base="model.", tied=TIED, ties=ties, sources=SHARED)


PEGASUS = _family(PegasusConfig, build_pegasus, SINUSOID_KEYS)
BIGBIRD_PEGASUS = _family(BigBirdPegasusConfig, build_bigbird_pegasus, BIGBIRD_KEYS, ties=False)
MARIAN = _family(MarianConfig, build_marian, SINUSOID_KEYS)
BLENDERBOT = _family(BlenderbotConfig, build_blenderbot)
BLENDERBOT_SMALL = _family(BlenderbotSmallConfig, build_blenderbot_small, BLENDERBOT_SMALL_KEYS)
