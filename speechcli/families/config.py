"""The base class of family configurations, with Hugging Face's field names; unknown keys are preserved."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import UnionType
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

from speechcli.errors import ModelError, UsageError

MAX_LAYERS = 1000
"""More than any model has. It keeps hostile files from using up the memory."""

MAX_NUMBER = 2**31
"""More than any value of a model has. It keeps products of sizes within the 64-bit integers of torch."""

_SIZE = re.compile(r"(?!(task_)?type_)(.*_(size|dim|heads|kernel|stride|positions)|d_model|n_embd|n_head|max_pos.*)")
"""Keys whose values cannot be 0."""


@dataclass(frozen=True, kw_only=True)
class FamilyConfig:
    """The part of a `config.json` for the encoder or the decoder.

    Subclasses have the fields that define the model, with Hugging Face's names and defaults. All other keys are kept
    in `extra` and saved again.
    """

    model_type: ClassVar[str]

    extra: dict[str, Any] = field(default_factory=dict, repr=False)
    """Keys of the file that are not fields."""
    written: frozenset[str] | None = field(default=None, repr=False, compare=False)
    """Fields in the file; None if the configuration was not read from a file: all fields are saved."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read a configuration; keys that are not fields are kept.

        Raises:
            ModelError: a value is invalid.
        """
        known = cls.field_names()
        mine = {key: _frozen(value) for key, value in values.items() if key in known}
        extra = {key: value for key, value in values.items() if key not in known and key != "model_type"}
        kinds = get_type_hints(cls)
        for key, value in mine.items():
            cls._check(key, value, kinds[key])
        try:
            return cls(**mine, extra=extra, written=frozenset(mine))
        except ArithmeticError as error:  # for example a division by a number of heads of 0
            raise ModelError(f"The {cls.model_type} configuration cannot be built: {error}.") from error

    @classmethod
    def _check(cls, key: str, value: Any, kind: Any) -> None:
        fits = _fits(value, kind)
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
        """Return the names of the fields that define the model."""
        return {item.name for item in fields(cls)} - {"extra", "written"}

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `config.json`: the keys of the file with their present values, and changed fields."""
        values = asdict(self)
        defaults = {item.name: item.default for item in fields(self)}
        kept = {
            name: _thawed(values[name])
            for name in sorted(self.field_names())
            if self.written is None or name in self.written or values[name] != defaults[name]
        }
        return {"model_type": self.model_type} | kept | dict(self.extra)

    def with_values(self, changes: Mapping[str, Any]) -> Self:
        """Return a copy with some keys changed.

        Raises:
            UsageError: a key is neither a field nor in the file; the hint names a similar one.
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
    """Return the minimum and maximum value of a key."""
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
        return value in (True, False, None)  # null and 0 count as false in Python, and so in the reference
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _thawed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
