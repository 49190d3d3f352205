"""Merge training options from defaults, a recipe, `--set` and flags, and remember the source of each value."""

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from speechcli.errors import OutputError, UsageError
from speechcli.training.train_options import TrainOptions, shipped_recipes

RUN_OPTIONS = "options.toml"
"""File in every run folder with its options, which is itself a recipe."""


class Merged(NamedTuple):
    """Options, and the source of each `section.key` that is not at its default."""

    options: TrainOptions
    sources: dict[str, str]


def merge_options(
    recipe: str | Path | None = None,
    assignments: Sequence[str] = (),
    explicit: Mapping[str, Any] | None = None,
    *,
    run: Path | None = None,
) -> Merged:
    """Merge options; each later source overrides the earlier: defaults, resumed run, recipe, assignments, flags.

    Args:
        recipe: a `.toml` file or the name of a shipped recipe.
        assignments: `section.key=value`, the value in TOML; a bare word is a string.
        explicit: `section.key` -> value from flags; None means "not given".
        run: folder of a run to resume.

    Raises:
        UsageError: if a file, section, key or value is unknown or wrong.
    """
    layers: list[tuple[str, dict[str, Any]]] = []
    paths = [run / RUN_OPTIONS] if run is not None and (run / RUN_OPTIONS).is_file() else []
    paths += [_recipe_path(recipe)] if recipe is not None else []
    layers += [(str(path), _flatten(_read_toml(path), str(path))) for path in paths]
    layers += [(f"--set {text}", dict([_assignment(text)])) for text in assignments]
    layers.append(("option", {key: value for key, value in (explicit or {}).items() if value is not None}))
    types = _option_types()
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        for key, value in layer.items():
            if key not in types:
                raise _unknown(key, types, source)
            values[key] = _convert(value, types[key], key)
            sources[key] = source
    sections = {
        section.name: get_type_hints(TrainOptions)[section.name](
            **{key.split(".")[1]: value for key, value in values.items() if key.split(".")[0] == section.name}
        )
        for section in fields(TrainOptions)
    }
    return Merged(TrainOptions(**sections), sources)


def write_options(merged: Merged, path: Path) -> None:
    """Write all options as a recipe, with the sources of those that are not defaults as comments.

    Raises:
        OutputError: if the file cannot be written.
    """
    lines: list[str] = []
    for section, values in merged.options.to_dict().items():
        lines.append(f"[{section}]")
        for key, value in values.items():
            source = merged.sources.get(f"{section}.{key}")
            comment = "" if source is None else f"  # {' '.join(source.split())}"
            lines.append(f"# {key} is unset" if value is None else f"{key} = {_toml(value)}{comment}")
        lines.append("")
    partial = path.with_name(f".{path.name}.partial")  # half of it would look like a run
    try:
        partial.write_text("\n".join(lines), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    # JSON writes text, numbers and truth values as TOML does
    return json.dumps(value, ensure_ascii=False)


def _recipe_path(recipe: str | Path) -> Path:
    shipped = shipped_recipes()
    path = Path(recipe)
    if path.is_file():
        return path
    if str(recipe) in shipped:
        return shipped[str(recipe)]
    raise UsageError(
        f"A recipe must be a .toml file or one of {', '.join(shipped)}, but is '{recipe}'.",
        hint=_nearest_hint(str(recipe), list(shipped)),
    )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The recipe {path} must be TOML, but: {error}.") from error
    except OSError as error:
        raise UsageError(f"The recipe {path} cannot be read: {error.strerror or error}.") from error


def _flatten(document: dict[str, Any], source: str) -> dict[str, Any]:
    sections = [item.name for item in fields(TrainOptions)]
    flat: dict[str, Any] = {}
    for section, content in document.items():
        if section not in sections or not isinstance(content, dict):
            raise UsageError(
                f"A recipe has the sections {', '.join(sections)}, but {source} has '{section}'.",
                hint=_nearest_hint(section, sections),
            )
        flat.update({f"{section}.{key}": value for key, value in content.items()})
    return flat


def _assignment(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or "." not in key:
        raise UsageError(f"`--set` takes section.key=value, but got '{text}'.")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    return key.strip(), parsed


def _option_types() -> dict[str, Any]:
    return {
        f"{section}.{key}": kind
        for section, section_type in get_type_hints(TrainOptions).items()
        for key, kind in get_type_hints(section_type).items()
    }


def _unknown(key: str, types: Mapping[str, Any], source: str) -> UsageError:
    return UsageError(f"There is no training option '{key}' ({source}).", hint=_nearest_hint(key, list(types)))


def _nearest_hint(word: str, choices: Sequence[str]) -> str | None:
    leaf = word.split(".")[-1]
    near = [choice for choice in choices if choice.split(".")[-1] == leaf]  # the right key in the wrong section
    near = near or difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else None


def _convert(value: Any, kind: Any, key: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        if value not in arguments:
            raise UsageError(
                f"`{key}` must be one of {', '.join(arguments)}, but is '{value}'.",
                hint=_nearest_hint(str(value), arguments),
            )
        return value
    if origin is tuple:
        return _convert_tuple(value, arguments, key)
    if type(None) in arguments and (origin is Union or not isinstance(kind, type)):
        kind = next(argument for argument in arguments if argument is not type(None))
    return _convert_plain(value, kind, key)


def _convert_tuple(value: Any, arguments: tuple[Any, ...], key: str) -> tuple[Any, ...]:
    items = list(value) if isinstance(value, list | tuple) else [value]
    if Ellipsis in arguments:
        return tuple(_convert(item, arguments[0], key) for item in items)
    if len(items) != len(arguments):
        raise UsageError(f"`{key}` must have {len(arguments)} values, but has {len(items)}: {items}.")
    return tuple(_convert(item, kind, key) for item, kind in zip(items, arguments, strict=True))


def _convert_plain(value: Any, kind: type, key: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is str and isinstance(value, Path):
        return str(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
        raise UsageError(f"`{key}` must be {names[kind]}, but is {value!r}.")
    if value == "":
        raise UsageError(f"`{key}` must not be empty.", hint="Is a shell variable not set?")
    return value
