"""SEW and SEW-D: wav2vec 2.0's encoder with layers over squeezed frames; SEW-D has DeBERTa's layers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import nn

from speechcli.families.family import Family
from speechcli.families.rules import Same, normed_conv
from speechcli.families.spec_augment import spec_augment
from speechcli.families.speech_encoder import initialize
from speechcli.families.waveform import (
    FRONTEND_KEYS,
    LAYER_KEYS,
    FrontendNormConfig,
    conv_frontend,
    transformer_layer,
)
from speechcli.models.encoder import SpeechEncoder
from speechcli.nn.feedforward import FeedForward, activation
from speechcli.nn.frontend import FrameProjection
from speechcli.nn.layer import TransformerLayer
from speechcli.nn.relative import BucketedDistances, UnreadDistances
from speechcli.nn.relative_attention import DisentangledAttention
from speechcli.nn.squeeze import Squeeze


@dataclass(frozen=True, kw_only=True)
class SEWConfig(FrontendNormConfig):
    """SEW (Wu et al. 2022)."""

    model_type: ClassVar[str] = "sew"
    conv_dim: tuple[int, ...] = (64, *(128,) * 4, *(256,) * 4, *(512,) * 4)
    conv_stride: tuple[int, ...] = (5, *(2, 1) * 6)
    conv_kernel: tuple[int, ...] = (10, *(3, 1) * 4, *(2, 1) * 2)
    squeeze_factor: int = 2
    """Number of frames that are averaged before the layers."""


@dataclass(frozen=True, kw_only=True)
class SEWDConfig(SEWConfig):
    """SEW-D."""

    model_type: ClassVar[str] = "sew-d"
    hidden_act: str = "gelu_python"
    layer_norm_eps: float = 1e-7
    """For the layers."""
    feature_layer_norm_eps: float = 1e-5
    """For the norm after the frontend."""
    max_position_embeddings: int = 512
    """Distances from this one share one vector."""
    max_relative_positions: int = -1
    """The same; overrides `max_position_embeddings` if it is at least 1."""
    position_buckets: int = 256
    """Number of vectors for distances on one side of a frame; 0 or -1: one for each distance."""
    relative_attention: bool = True
    """Whether the attention uses distances."""
    pos_att_type: tuple[str, ...] = ("p2c", "c2p")
    share_att_key: bool = True
    """Whether distances are projected like queries and keys."""
    norm_rel_ebd: str = "layer_norm"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.position_buckets != 1, "`position_buckets` must be at least 2, but is 1.")
        self.require(not self.extra.get("conv_kernel_size"), "DeBERTa's `conv_kernel_size` is not supported.")

    @classmethod
    def _check(cls, key: str, value: Any, kind: Any) -> None:
        if value not in (0, -1) or key not in ("position_buckets", "max_relative_positions"):
            super()._check(key, value, kind)


SQUEEZE_KEYS = (
    *FRONTEND_KEYS,
    Same("layer_norm",                                             "projection.norm"),
    Same("feature_projection",                                     "projection.linear"),
    *normed_conv("encoder.pos_conv_embed.conv",                    "squeeze.conv"),
    Same("encoder.upsample.projection",                            "squeeze.expansion"),
)  # fmt: skip
SEW_KEYS = (*SQUEEZE_KEYS, *LAYER_KEYS)
SEW_D_KEYS = (
    *SQUEEZE_KEYS,
    Same("encoder.encoder.rel_embeddings",                         "attention_positions.embedding"),
    Same("encoder.encoder.LayerNorm",                              "attention_positions.norm"),
    Same("encoder.encoder.layer.{}.attention.self.query_proj",     "layers.{}.self_attn.query"),
    Same("encoder.encoder.layer.{}.attention.self.key_proj",       "layers.{}.self_attn.key"),
    Same("encoder.encoder.layer.{}.attention.self.value_proj",     "layers.{}.self_attn.value"),
    Same("encoder.encoder.layer.{}.attention.self.pos_key_proj",   "layers.{}.self_attn.distance_key"),
    Same("encoder.encoder.layer.{}.attention.self.pos_query_proj", "layers.{}.self_attn.distance_query"),
    Same("encoder.encoder.layer.{}.attention.output.dense",        "layers.{}.self_attn.output"),
    Same("encoder.encoder.layer.{}.attention.output.LayerNorm",    "layers.{}.self_attn_norm"),
    Same("encoder.encoder.layer.{}.intermediate.dense",            "layers.{}.ffn.up"),
    Same("encoder.encoder.layer.{}.output.dense",                  "layers.{}.ffn.down"),
    Same("encoder.encoder.layer.{}.output.LayerNorm",              "layers.{}.ffn_norm"),
)  # fmt: skip


def build_sew(config: SEWConfig) -> SpeechEncoder:
    """Build a SEW encoder."""
    return build_squeezed_encoder(
        config,
        partial(transformer_layer, config, norm_first=False),
        frontend_eps=config.layer_norm_eps,
        norm=nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps),
        dropout=config.hidden_dropout,
        layer_dropout=config.layerdrop,
    )


def build_sew_d(config: SEWDConfig) -> SpeechEncoder:
    """Build a SEW-D encoder, which never drops a layer."""
    return build_squeezed_encoder(
        config,
        partial(disentangled_layer, config),
        frontend_eps=config.feature_layer_norm_eps,
        attention_positions=distances(config),
    )


def distances(config: SEWDConfig) -> BucketedDistances | UnreadDistances | None:
    """Build the vectors of distances, if any."""
    width = config.hidden_size
    normed = "layer_norm" in (part.strip() for part in config.norm_rel_ebd.lower().split("|"))
    norm = nn.LayerNorm(width, eps=config.layer_norm_eps) if normed else None
    if config.relative_attention:
        reach = config.max_relative_positions if config.max_relative_positions > 0 else config.max_position_embeddings
        return BucketedDistances(width, max(0, config.position_buckets), reach, norm=norm)
    return None if norm is None else UnreadDistances(norm)


def disentangled_layer(config: SEWDConfig) -> TransformerLayer:
    """Build one layer of DeBERTa."""
    width = config.hidden_size
    return TransformerLayer(
        DisentangledAttention(
            width,
            config.num_attention_heads,
            scores=config.pos_att_type,
            shared=config.share_att_key or not config.relative_attention,
            dropout=config.attention_dropout,
            distance_dropout=config.activation_dropout,
        ),
        FeedForward(width, config.intermediate_size, activation(config.hidden_act)),
        norm=partial(nn.LayerNorm, width, eps=config.layer_norm_eps),
        norm_first=False,
        dropout=config.activation_dropout,
    )


def build_squeezed_encoder(
    config: SEWConfig,
    layer: Callable[[], TransformerLayer],
    *,
    frontend_eps: float,
    norm: nn.Module | None = None,
    attention_positions: BucketedDistances | UnreadDistances | None = None,
    dropout: float = 0.0,
    layer_dropout: float = 0.0,
) -> SpeechEncoder:
    """Build the encoder of SEW or SEW-D from their different modules."""
    width = config.hidden_size
    frontend = conv_frontend(config, norm=config.feat_extract_norm)
    return SpeechEncoder(
        frontend,
        FrameProjection(
            nn.LayerNorm(frontend.width, eps=frontend_eps),
            nn.Linear(frontend.width, width) if frontend.width != width else None,
            dropout=config.feat_proj_dropout,
        ),
        [layer() for _ in range(config.num_hidden_layers)],
        width=width,
        spec_augment=spec_augment(config, width),
        squeeze=Squeeze(
            width,
            config.squeeze_factor,
            config.num_conv_pos_embeddings,
            config.num_conv_pos_embedding_groups,
            activation(config.feat_extract_activation),
        ),
        norm=norm,
        attention_positions=attention_positions,
        dropout=dropout,
        layer_dropout=layer_dropout,
    )


SEW = Family(SEWConfig, SEW_KEYS, build_sew, initialize, base="sew.")
SEW_D = Family(SEWDConfig, SEW_D_KEYS, build_sew_d, initialize, base="sew_d.")
