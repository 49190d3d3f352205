"""The rules of key tables, which turn a checkpoint's keys and tensors into ours and back."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Self

import torch
from torch import Tensor


@cache
def _pattern(key: str) -> re.Pattern[str]:
    # "{}" stands for a layer number, "{!s}" for a name; other digits are literal. What may follow is the parameter's.
    known = re.escape(key).replace(r"\{\}", r"(\d+)").replace(r"\{!s\}", r"([^.]+)")
    return re.compile(known + r"((?:\.\w+)*)")


def _fill(key: str, found: re.Match[str]) -> str:
    *numbers, leaf = found.groups()
    return key.format(*numbers) + leaf


@dataclass(frozen=True)
class Same:
    """A module or parameter that only has another name."""

    theirs: str
    ours: str
    transpose: bool = False
    """Matrices are stored the other way round (GPT-2)."""
    optional: bool = False
    """A checkpoint may have it too many or too few."""

    def load(self, key: str, tensor: Tensor) -> dict[str, Tensor] | None:
        """One of their tensors -> ours; None when the rule is not for this key."""
        found = _pattern(self.theirs).fullmatch(key)
        return None if found is None else {_fill(self.ours, found): self._turn(tensor)}

    def dump(self, key: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """One of our tensors as they store it; None when another of ours stores it."""
        return self._turn(tensors[key])

    def their_name(self, key: str) -> str | None:
        """Where they store one of our tensors; None when the rule is not for it."""
        found = _pattern(self.ours).fullmatch(key)
        return None if found is None else _fill(self.theirs, found)

    def under(self, theirs: str, ours: str) -> Self:
        """The same rule inside a larger model."""
        return replace(self, theirs=theirs + self.theirs, ours=ours + self.ours)

    def _turn(self, tensor: Tensor) -> Tensor:
        return tensor.T if self.transpose and tensor.ndim == 2 else tensor


@dataclass(frozen=True)
class Copy(Same):
    """Another name of a tensor that a `Same` names first: read only where the first is missing."""

    optional: bool = True
    written: bool = False
    """Whether transformers expects to find it, although nothing reads it."""

    def their_name(self, key: str) -> str | None:
        """None: the first rule writes the tensor."""
        return None

    def copies(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Ours under this name."""
        found = {key: match for key in tensors if (match := _pattern(self.ours).fullmatch(key)) is not None}
        return {_fill(self.theirs, match): tensors[key].clone() for key, match in found.items()}


@dataclass(frozen=True)
class Linear1x1(Same):
    """A convolution over one frame in their checkpoint, a linear map in ours."""

    def load(self, key: str, tensor: Tensor) -> dict[str, Tensor] | None:
        """One of their tensors -> ours; None when the rule is not for this key."""
        return super().load(key, tensor.squeeze(-1) if tensor.ndim == 3 else tensor)

    def dump(self, key: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """One of our tensors as they store it."""
        return tensors[key].unsqueeze(-1) if tensors[key].ndim == 2 else tensors[key]


@dataclass(frozen=True)
class Fused:
    """One tensor in their checkpoint that holds several of ours, one after the other on the output dimension."""

    theirs: str
    ours: tuple[str, ...]
    transpose: bool = False
    """Matrices are stored the other way round (GPT-2)."""
    optional: bool = False

    def load(self, key: str, tensor: Tensor) -> dict[str, Tensor] | None:
        """One of their tensors -> ours; None when the rule is not for this key."""
        found = _pattern(self.theirs).fullmatch(key)
        if found is None:
            return None
        parts = self._turn(tensor).tensor_split(len(self.ours))
        return {_fill(name, found): part for name, part in zip(self.ours, parts, strict=True)}

    def dump(self, key: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """All of ours in one, when asked for the first; None for the others."""
        found = _pattern(self.ours[0]).fullmatch(key)
        if found is None:
            return None
        return self._turn(torch.cat([tensors[_fill(name, found)] for name in self.ours]))

    def their_name(self, key: str) -> str | None:
        """Where they store one of our tensors; None when the rule is not for it."""
        found = next((match for name in self.ours if (match := _pattern(name).fullmatch(key))), None)
        return None if found is None else _fill(self.theirs, found)

    def under(self, theirs: str, ours: str) -> Self:
        """The same rule inside a larger model."""
        return replace(self, theirs=theirs + self.theirs, ours=tuple(ours + name for name in self.ours))

    def _turn(self, tensor: Tensor) -> Tensor:
        return tensor.T if self.transpose and tensor.ndim == 2 else tensor


@dataclass(frozen=True)
class Drop:
    """A key of theirs that carries nothing, and why."""

    theirs: str
    why: str
    optional: bool = True

    def load(self, key: str, tensor: Tensor) -> dict[str, Tensor] | None:
        """Nothing for its key; None when the rule is not for this key."""
        return None if _pattern(self.theirs).fullmatch(key) is None else {}

    def dump(self, key: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Nothing."""
        return None

    def their_name(self, key: str) -> str | None:
        """None: none of ours goes there."""
        return None

    def under(self, theirs: str, ours: str) -> Self:
        """The same rule inside a larger model."""
        return replace(self, theirs=theirs + self.theirs)


Rule = Same | Fused | Drop


def normed_conv(theirs: str, ours: str) -> tuple[Same, ...]:
    """Rules of a `NormedConv`, which torch stores as a convolution whose weight is computed."""
    weight = f"{theirs}.parametrizations.weight."
    return (
        Same(f"{weight}original0", f"{ours}.scale"),
        Same(f"{weight}original1", f"{ours}.direction"),
        Same(f"{theirs}.bias", f"{ours}.bias"),
    )


def under(theirs: str, ours: str, rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Rules of a part, as they hold inside a larger model: both prefixes end in a dot or are empty."""
    return tuple(rule.under(theirs, ours) for rule in rules)
