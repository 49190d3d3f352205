"""What a family is: a configuration, a key table, and builders."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from speechcli.families.config import FamilyConfig
from speechcli.families.rules import Rule


@dataclass(frozen=True)
class Family:
    """What the outside world calls a kind of encoder or decoder."""

    config: type[FamilyConfig]
    keys: tuple[Rule, ...]
    """The first rule that matches a key counts, theirs and ours."""
    build: Callable[[Any], Any]
    """A configuration -> the encoder or decoder, with weights of torch's own making."""
    initialize: Callable[[nn.Module, Any], None]
    """Fill a module with random weights by the family's rule."""
    base: str
    """What their keys begin with where a head stands on top ("wav2vec2."); a bare model's keys lack it."""
    tied: tuple[str, str] | None = None
    """Our names of the head's matrix and of the embeddings that it shares when `tie_word_embeddings`."""
    ties: bool = True
    """Whether transformers does what `tie_word_embeddings` says."""
    untied: tuple[Rule, ...] = ()
    """Rules that come before `keys` where the head has a matrix of its own."""
    sources: Mapping[str, str] | None = None
    """Their keys in other kinds of checkpoint -> the key to read them as (`shared.weight` of a BART)."""

    def tied_in(self, config: FamilyConfig) -> tuple[str, str] | None:
        """Our names of the head's matrix and of the embeddings where a configuration makes them one; else None."""
        return self.tied if self.ties and getattr(config, "tie_word_embeddings", True) else None

    def keys_in(self, config: FamilyConfig) -> tuple[Rule, ...]:
        """The rules for a model of this configuration."""
        return self.keys if self.tied_in(config) is not None else (*self.untied, *self.keys)


def tie(model: nn.Module, names: tuple[str, str] | None) -> None:
    """Make the head's matrix and the embeddings one parameter, in place.

    Args:
        model: of the two.
        names: of the head's matrix and of the embeddings; None: they are two.
    """
    if names is not None:
        (head, head_leaf), (tokens, tokens_leaf) = (name.rpartition(".")[::2] for name in names)
        setattr(model.get_submodule(head), head_leaf, getattr(model.get_submodule(tokens), tokens_leaf))
