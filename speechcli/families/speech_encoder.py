"""Configuration and initialization that most speech encoders share."""

from dataclasses import dataclass

from torch import nn

from speechcli.families.config import FamilyConfig
from speechcli.families.spec_augment import SpecAugmentConfig
from speechcli.nn.initialize import initialize as initialize_module


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(SpecAugmentConfig):
    """Configuration of the layers of most encoders."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout: float = 0.1
    activation_dropout: float = 0.1
    attention_dropout: float = 0.1
    feat_proj_dropout: float = 0.0
    layerdrop: float = 0.1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        self.require(
            self.hidden_size % self.num_attention_heads == 0,
            f"`num_attention_heads` ({self.num_attention_heads}) must divide `hidden_size` ({self.hidden_size}).",
        )


@dataclass(frozen=True, kw_only=True)
class AdapterConfig(FamilyConfig):
    """Configuration of the layers that shorten the output of some encoders."""

    add_adapter: bool = False
    adapter_kernel_size: int = 3
    adapter_stride: int = 2
    num_adapter_layers: int = 3
    output_hidden_size: int | None = None
    """Width after the adapter; None: that of the encoder."""


def initialize(encoder: nn.Module, config: EncoderConfig) -> None:
    """Initialize an encoder with random weights."""
    for module in encoder.modules():
        initialize_module(module, config.initializer_range)
