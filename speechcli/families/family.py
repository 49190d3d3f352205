"""A model family: its configuration, key table and builders."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from speechcli.families.config import FamilyConfig
from speechcli.families.rules import Rule


@dataclass(frozen=True)
class Family:
    """A family of encoders or decoders. "Theirs" are the names in Hugging Face's checkpoints, "ours" the names here."""

    config: type[FamilyConfig]
    keys: tuple[Rule, ...]
    """The first rule that matches a key is applied, in both directions."""
    build: Callable[[Any], Any]
    """Builds the encoder or decoder of a configuration, with torch's default initialization."""
    initialize: Callable[[nn.Module, Any], None]
    """Initializes a module with random weights as the family does."""
    base: str
    """Prefix of their keys in models with a head ("wav2vec2."); keys of a bare model lack it."""
    tied: tuple[str, str] | None = None
    """Our names of the head's matrix and of the embeddings, which are tied if `tie_word_embeddings` is true."""
    ties: bool = True
    """Whether transformers respects `tie_word_embeddings`."""
    untied: tuple[Rule, ...] = ()
    """Rules that precede `keys` if the embeddings are not tied."""
    sources: Mapping[str, str] | None = None
    """Keys in other kinds of checkpoints (`shared.weight` of BART) -> the key that they stand for."""

    def tied_in(self, config: FamilyConfig) -> tuple[str, str] | None:
        """Return our names of the head's matrix and of the embeddings if a configuration ties them; else None."""
        return self.tied if self.ties and getattr(config, "tie_word_embeddings", True) else None

    def keys_in(self, config: FamilyConfig) -> tuple[Rule, ...]:
        """Return the rules for a model of this configuration."""
        return self.keys if self.tied_in(config) is not None else (*self.untied, *self.keys)


def tie(model: nn.Module, names: tuple[str, str] | None) -> None:
    """Tie the head's matrix to the embeddings, in place.

    Args:
        model: the model.
        names: names of the head's matrix and of the embeddings; None: they are not tied.
    """
    if names is not None:
        (head, head_leaf), (tokens, tokens_leaf) = (name.rpartition(".")[::2] for name in names)
        setattr(model.get_submodule(head), head_leaf, getattr(model.get_submodule(tokens), tokens_leaf))
