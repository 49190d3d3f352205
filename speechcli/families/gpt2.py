"""GPT-2 as a decoder: norms before the sub-layers, transposed matrices, fused query, key and value."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import nn

from speechcli.families.config import FamilyConfig
from speechcli.families.family import Family
from speechcli.families.rules import Drop, Fused, Same
from speechcli.models.decoder import TextDecoder
from speechcli.nn.attention import CrossAttention, MultiHeadAttention
from speechcli.nn.feedforward import FeedForward, activation
from speechcli.nn.initialize import initialize as initialize_module
from speechcli.nn.layer import TransformerLayer
from speechcli.nn.positions import LearnedPositions


@dataclass(frozen=True, kw_only=True)
class GPT2Config(FamilyConfig):
    """GPT-2 (Radford et al. 2019)."""

    model_type: ClassVar[str] = "gpt2"
    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    """Width inside the feed-forward network; None: four times `n_embd`."""
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    scale_attn_weights: bool = True
    """Divide the attention scores by the square root of the head width."""
    scale_attn_by_inverse_layer_idx: bool = False
    """Divide them also by the number of the layer, counted from 1."""
    bos_token_id: int | None = 50256
    eos_token_id: int | tuple[int, ...] | None = 50256
    pad_token_id: int | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True

    ALIASES: ClassVar[Mapping[str, str]] = {
        "hidden_size": "n_embd",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "max_position_embeddings": "n_positions",
    }
    """Names of other families; Hugging Face accepts both."""

    def __post_init__(self) -> None:
        self.require(self.n_embd % self.n_head == 0, f"`n_head` ({self.n_head}) must divide `n_embd` ({self.n_embd}).")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read a configuration with either names of its keys."""
        return super().from_dict({cls.ALIASES.get(key, key): value for key, value in values.items()})


KEYS = (
    Drop("transformer.h.{}.attn.bias", "the causal mask of old versions"),
    Drop("transformer.h.{}.attn.masked_bias", "the causal mask of old versions"),
    Drop("transformer.h.{}.crossattention.bias", "the causal mask of old versions"),
    Drop("transformer.h.{}.crossattention.masked_bias", "the causal mask of old versions"),
    Same("transformer.wte",                                        "tokens"),
    Same("transformer.wpe",                                        "positions"),
    Same("transformer.h.{}.ln_1",                                  "layers.{}.self_attn_norm"),
    Fused("transformer.h.{}.attn.c_attn",                         ("layers.{}.self_attn.query",
                                                                   "layers.{}.self_attn.key",
                                                                   "layers.{}.self_attn.value"), transpose=True),
    Same("transformer.h.{}.attn.c_proj",                           "layers.{}.self_attn.output", transpose=True),
    Same("transformer.h.{}.ln_cross_attn",                         "layers.{}.cross_attn_norm"),
    Same("transformer.h.{}.crossattention.q_attn",                 "layers.{}.cross_attn.query", transpose=True),
    Fused("transformer.h.{}.crossattention.c_attn",               ("layers.{}.cross_attn.key",
                                                                   "layers.{}.cross_attn.value"), transpose=True),
    Same("transformer.h.{}.crossattention.c_proj",                 "layers.{}.cross_attn.output", transpose=True),
    Same("transformer.h.{}.ln_2",                                  "layers.{}.ffn_norm"),
    Same("transformer.h.{}.mlp.c_fc",                              "layers.{}.ffn.up", transpose=True),
    Same("transformer.h.{}.mlp.c_proj",                            "layers.{}.ffn.down", transpose=True),
    Same("transformer.ln_f",                                       "norm"),
    Same("lm_head",                                                "head"),
)  # fmt: skip


def build(config: GPT2Config) -> TextDecoder:
    """Build a GPT-2 decoder."""
    width = config.n_embd
    norm = partial(nn.LayerNorm, width, eps=config.layer_norm_epsilon)
    tokens = nn.Embedding(config.vocab_size, width)
    head = nn.Linear(width, config.vocab_size, bias=False)

    def layer(index: int) -> TransformerLayer:
        scale = (width // config.n_head) ** -0.5 if config.scale_attn_weights else 1.0
        if config.scale_attn_by_inverse_layer_idx:
            scale /= index + 1
        return TransformerLayer(
            MultiHeadAttention(width, config.n_head, dropout=config.attn_pdrop, scale=scale),
            FeedForward(width, config.n_inner or 4 * width, activation(config.activation_function)),
            norm=norm,
            norm_first=True,
            cross_attn=CrossAttention(width, config.n_head, dropout=config.attn_pdrop, scale=scale),
            dropout=config.resid_pdrop,
        )

    return TextDecoder(
        tokens,
        LearnedPositions(config.n_positions, width),
        [layer(index) for index in range(config.n_layer)],
        head,
        norm=norm(),
        dropout=config.embd_pdrop,
    )


@torch.no_grad()
def initialize(decoder: nn.Module, config: GPT2Config) -> None:
    """Initialize a decoder with random weights; the ends of residual branches are scaled by depth, as in GPT-2."""
    for module in decoder.modules():
        initialize_module(module, config.initializer_range)
        if isinstance(module, TransformerLayer):
            ends = [module.self_attn.output, module.ffn.down]
            ends += [module.cross_attn.output] if module.cross_attn is not None else []
            for end in ends:
                end.weight.normal_(0.0, config.initializer_range / math.sqrt(2 * config.n_layer))


GPT2 = Family(GPT2Config, KEYS, build, initialize, base="transformer.", tied=("head.weight", "tokens.weight"))
