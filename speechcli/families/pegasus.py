"""The decoders of Pegasus, Marian and Blenderbot: BART's layers, positions from row 0, other norms."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from speechcli.families.bart import KEYS, SHARED, TIED, BartConfig, build_text_decoder, initialize
from speechcli.families.family import Family, Same
from speechcli.models.decoder import TextDecoder
from speechcli.nn.positions import LearnedPositions, SinusoidalPositions


@dataclass(frozen=True, kw_only=True)
class PegasusConfig(BartConfig):
    """Pegasus (Zhang et al. 2020)."""

    model_type: ClassVar[str] = "pegasus"
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | None = 1
    decoder_start_token_id: int | None = 0


@dataclass(frozen=True, kw_only=True)
class MarianConfig(BartConfig):
    """Marian (Junczys-Dowmunt et al. 2018)."""

    model_type: ClassVar[str] = "marian"
    vocab_size: int = 58101
    decoder_vocab_size: int | None = None
    """Tokens that the decoder knows; none: `vocab_size`."""
    pad_token_id: int | None = 58100
    bos_token_id: int | None = None
    eos_token_id: int | None = 0
    decoder_start_token_id: int | None = 58100

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.decoder_vocab_size
        self.require(size in (None, self.vocab_size), "a decoder vocabulary of its own size is not supported.")


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
    """The small Blenderbot, of another architecture."""

    model_type: ClassVar[str] = "blenderbot-small"
    max_position_embeddings: int = 512
    decoder_layers: int = 8
    decoder_ffn_dim: int = 2048
    d_model: int = 512
    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    decoder_start_token_id: int | None = 1


BLENDERBOT_SMALL_KEYS = tuple(
    Same(rule.theirs, "token_norm") if rule.ours == "embedding_norm" else rule for rule in KEYS
)


def build_pegasus(config: PegasusConfig) -> TextDecoder:
    """Build a Pegasus decoder."""
    positions = SinusoidalPositions(config.max_position_embeddings, config.d_model)
    return build_text_decoder(config, positions, norm_first=True)


def build_marian(config: MarianConfig) -> TextDecoder:
    """Build a Marian decoder."""
    positions = SinusoidalPositions(config.max_position_embeddings, config.d_model)
    return build_text_decoder(config, positions, norm_first=False)


def build_blenderbot(config: BlenderbotConfig) -> TextDecoder:
    """Build a Blenderbot decoder."""
    positions = LearnedPositions(config.max_position_embeddings, config.d_model)
    return build_text_decoder(config, positions, norm_first=True)


def build_blenderbot_small(config: BlenderbotSmallConfig) -> TextDecoder:
    """Build a small Blenderbot's decoder."""
    positions = LearnedPositions(config.max_position_embeddings, config.d_model)
    return build_text_decoder(config, positions, norm_first=False, token_norm=nn.LayerNorm(config.d_model))


PEGASUS = Family(PegasusConfig, KEYS, build_pegasus, initialize, base="model.", tied=TIED, sources=SHARED)
MARIAN = Family(MarianConfig, KEYS, build_marian, initialize, base="model.", tied=TIED, sources=SHARED)
BLENDERBOT = Family(BlenderbotConfig, KEYS, build_blenderbot, initialize, base="model.", tied=TIED, sources=SHARED)
BLENDERBOT_SMALL = Family(
    BlenderbotSmallConfig,
    BLENDERBOT_SMALL_KEYS,
    build_blenderbot_small,
    initialize,
    base="model.",
    tied=TIED,
    sources=SHARED,
)
