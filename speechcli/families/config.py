"""The base of all family configurations: Hugging Face's field names, nothing lost on the way through."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import UnionType
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

from speechcli.errors import ModelError, UsageError

MAX_LAYERS = 1000
"""More than any model has: a hostile file could ask for so many that building them takes all memory."""

MAX_NUMBER = 2**31
"""More than any number of a model: torch counts in 64 bits, into which products of sizes must fit."""

_SIZE = re.compile(r"(?!(task_)?type_)(.*_(size|dim|heads|kernel|stride|positions)|d_model|n_embd|n_head|max_pos.*)")
"""Keys whose numbers cannot be 0."""


@dataclass(frozen=True, kw_only=True)
class FamilyConfig:
    """One encoder's or decoder's part of a `config.json`.

    Subclasses name the fields that shape the model, with Hugging Face's names and defaults. Every other key is kept in
    `extra` and written back.
    """

    model_type: ClassVar[str]

    extra: dict[str, Any] = field(default_factory=dict, repr=False)
    """Keys of the file that shape nothing here."""
    written: frozenset[str] | None = field(default=None, repr=False, compare=False)
    """Fields that the file named; None for a configuration that was made here, of which all are written."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read a configuration, keeping the keys that mean nothing here.

        Raises:
            ModelError: a value cannot shape a model.
        """
        known = cls.field_names()
        mine = {key: _frozen(value) for key, value in values.items() if key in known}
        extra = {key: value for key, value in values.items() if key not in known and key != "model_type"}
        kinds = get_type_hints(cls)
        for key, value in mine.items():
            cls._check(key, value, kinds[key])
        try:
            return cls(**mine, extra=extra, written=frozenset(mine))
        except ArithmeticError as error:  # a number of heads that is 0, for example
            raise ModelError(f"The {cls.model_type} configuration cannot be built: {error}.") from error

    @classmethod
    def _check(cls, key: str, value: Any, kind: Any) -> None:
        several = key.endswith("_token_id") and isinstance(value, tuple)  # any of which may end a text
        fits = all(_fits(item, kind) for item in value) if several else _fits(value, kind)
        words = kind.__name__ if isinstance(kind, type) else str(kind)
        if fits and not key.endswith("_id"):
            least, most = _limits(key)
            numbers = [item for item in (value if isinstance(value, tuple) else (value,)) if type(item) in (int, float)]
            fits = all(least <= number <= most for number in numbers)
            too_many = most < MAX_NUMBER or any(number > most for number in numbers)
            words = f"from {least} to {most}" if too_many else f"at least {least}"
        if not fits:
            raise ModelError(f"`{key}` of a {cls.model_type} configuration must be {words}, but is {value!r:.80}.")

    @classmethod
    def field_names(cls) -> set[str]:
        """The names of the fields that shape the model."""
        return {item.name for item in fields(cls)} - {"extra", "written"}

    def to_dict(self) -> dict[str, Any]:
        """What goes into `config.json`: the keys that came, with the values of now, and whatever was changed."""
        values = asdict(self)
        defaults = {item.name: item.default for item in fields(self)}
        kept = {
            name: _thawed(values[name])
            for name in sorted(self.field_names())
            if self.written is None or name in self.written or values[name] != defaults[name]
        }
        return {"model_type": self.model_type} | kept | dict(self.extra)

    def with_values(self, changes: Mapping[str, Any]) -> Self:
        """A copy with some keys changed.

        Raises:
            UsageError: a key exists neither as a field nor in the file; names the nearest.
        """
        known = self.field_names() | set(self.extra)
        for key in changes:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                raise UsageError(
                    f"A {self.model_type} configuration has no key {key!r}.",
                    hint=f"Did you mean {near[0]!r}?" if near else None,
                )
        return type(self).from_dict(self.to_dict() | dict(changes))

    def require(self, condition: bool, message: str) -> None:
        """Raise `ModelError` with this message unless the condition holds."""
        if not condition:
            raise ModelError(f"The {self.model_type} configuration cannot be built: {message}")


def _limits(key: str) -> tuple[float, float]:
    """Return the least and the greatest number that a key may have."""
    if "drop" in key:
        return 0, 1
    if key.endswith(("_layers", "n_layer")):
        return 0, MAX_LAYERS
    return 1 if _SIZE.fullmatch(key) else 0, MAX_NUMBER


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, UnionType):
        return any(_fits(value, option) for option in get_args(kind))
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_fits(item, get_args(kind)[0]) for item in value)
    if kind is bool:
        return value in (True, False, None)  # null and 0 are false to Python, and so to the reference
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _thawed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
