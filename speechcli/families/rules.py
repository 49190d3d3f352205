"""The rules of key tables, which map the keys and tensors of Hugging Face's checkpoints to ours and back."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Self

import torch
from torch import Tensor


@cache
def _pattern(key: str) -> re.Pattern[str]:
    # "{}" matches a layer number, "{!s}" a name; other digits are literal. The name of a parameter may follow.
    known = re.escape(key).replace(r"\{\}", r"(\d+)").replace(r"\{!s\}", r"([^.]+)")
    return re.compile(known + r"((?:\.\w+)*)")


def _fill(key: str, found: re.Match[str]) -> str:
    *numbers, leaf = found.groups()
    return key.format(*numbers) + leaf


@dataclass(frozen=True)
class Same:
    """A module or parameter with another name."""

    theirs: str
    ours: str
    transpose: bool = False
    """Matrices are stored transposed (GPT-2)."""
    optional: bool = False
    """It may be missing from a checkpoint, or unexpected in it."""

    def load(self, key: str, tensor: Tensor) -> dict[str, Tensor] | None:
        """Convert one of their tensors to ours; None if the rule does not match the key."""
        found = _pattern(self.theirs).fullmatch(key)
        return None if found is None else {_fill(self.ours, found): self._turn(tensor)}

    def dump(self, key: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Convert one of our tensors to theirs; None if it is part of another key."""
        return self._turn(tensors[key])

    def their_name(self, key: str) -> str | None:
        """Return their key of one of our tensors; None if the rule does not match it."""
        found = _pattern(self.ours).fullmatch(key)
        return None if found is None else _fill(self.theirs, found)

    def under(self, theirs: str, ours: str) -> Self:
        """Return the rule with prefixes."""
        return replace(self, theirs=theirs + self.theirs, ours=ours + self.ours)

    def _turn(self, tensor: Tensor) -> Tensor:
        return tensor.T if self.transpose and tensor.ndim == 2 else tensor


@dataclass(frozen=True)
class Copy(Same):
    """A second name of a tensor of a `Same`: read only if the first is missing."""

    optional: bool = True
    written: bool = False
    """Whether transformers expects it, although it does not use it."""

    def their_name(self, key: str) -> str | None:
        """Return None: the first rule saves the tensor."""
        return None

    def copies(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return copies of our tensors under their second name."""
        found = {key: match for key in tensors if (match := _pattern(self.ours).fullmatch(key)) is not None}
        return {_fill(self.theirs, match): tensors[key].clone() for key, match in found.items()}


@dataclass(frozen=True)
class Linear1x1(Same):
    """A convolution with kernel size 1 in their checkpoints, a linear map in ours."""

    def load(self, key: str, tensor: Tensor) -> dict[str, Tensor] | None:
        """Convert one of their tensors to ours; None if the rule does not match the key."""
        return super().load(key, tensor.squeeze(-1) if tensor.ndim == 3 else tensor)

    def dump(self, key: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Convert one of our tensors to theirs."""
        return tensors[key].unsqueeze(-1) if tensors[key].ndim == 2 else tensors[key]


@dataclass(frozen=True)
class Fused:
    """One tensor of their checkpoints that contains several of ours, concatenated along the output dimension."""

    theirs: str
    ours: tuple[str, ...]
    transpose: bool = False
    """Matrices are stored transposed (GPT-2)."""
    optional: bool = False

    def load(self, key: str, tensor: Tensor) -> dict[str, Tensor] | None:
        """Convert one of their tensors to ours; None if the rule does not match the key."""
        found = _pattern(self.theirs).fullmatch(key)
        if found is None:
            return None
        parts = self._turn(tensor).tensor_split(len(self.ours))
        return {_fill(name, found): part for name, part in zip(self.ours, parts, strict=True)}

    def dump(self, key: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Concatenate our tensors for the first of them; None for the others."""
        found = _pattern(self.ours[0]).fullmatch(key)
        if found is None:
            return None
        return self._turn(torch.cat([tensors[_fill(name, found)] for name in self.ours]))

    def their_name(self, key: str) -> str | None:
        """Return their key of one of our tensors; None if the rule does not match it."""
        found = next((match for name in self.ours if (match := _pattern(name).fullmatch(key))), None)
        return None if found is None else _fill(self.theirs, found)

    def under(self, theirs: str, ours: str) -> Self:
        """Return the rule with prefixes."""
        return replace(self, theirs=theirs + self.theirs, ours=tuple(ours + name for name in self.ours))

    def _turn(self, tensor: Tensor) -> Tensor:
        return tensor.T if self.transpose and tensor.ndim == 2 else tensor


@dataclass(frozen=True)
class Drop:
    """A key of theirs that is ignored, and why."""

    theirs: str
    why: str
    optional: bool = True

    def load(self, key: str, tensor: Tensor) -> dict[str, Tensor] | None:
        """Return no tensors; None if the rule does not match the key."""
        return None if _pattern(self.theirs).fullmatch(key) is None else {}

    def dump(self, key: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Return None: nothing is saved."""
        return None

    def their_name(self, key: str) -> str | None:
        """Return None: none of our tensors has this key."""
        return None

    def under(self, theirs: str, ours: str) -> Self:
        """Return the rule with prefixes."""
        return replace(self, theirs=theirs + self.theirs)


Rule = Same | Fused | Drop


def normed_conv(theirs: str, ours: str) -> tuple[Same, ...]:
    """Return the rules of a `NormedConv`, which torch stores as a parametrized convolution."""
    weight = f"{theirs}.parametrizations.weight."
    return (
        Same(f"{weight}original0", f"{ours}.scale"),
        Same(f"{weight}original1", f"{ours}.direction"),
        Same(f"{theirs}.bias", f"{ours}.bias"),
    )


def under(theirs: str, ours: str, rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Return rules with prefixes, which end in a dot or are empty."""
    return tuple(rule.under(theirs, ours) for rule in rules)
