"""The options of `init` and `warm-start`, and what the two share."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechcli.errors import UsageError
from speechcli.pipelines.files.outputs import refuse_file, refuse_replacing


@dataclass(frozen=True)
class ComposeOptions:
    """Which halves become which model."""

    encoder: str
    """`init`: a family, a config.json or a model; `warm-start`: a pretrained speech encoder."""
    decoder: str
    """`init`: a family, a config.json or a model; `warm-start`: a pretrained text decoder."""
    output_dir: Path
    """Folder of the new model."""
    encoder_set: tuple[str, ...] = ()
    """`key=value` for the encoder's configuration."""
    decoder_set: tuple[str, ...] = ()
    """`key=value` for the decoder's configuration."""
    tokenizer: str | None = None
    """Where the vocabulary comes from; None: the decoder."""
    language: str | None = None
    """The language that a multilingual decoder is to write by itself."""
    decoder_start_token_id: int | None = None
    """What the decoder reads first; None: as the vocabulary says."""
    pad_token_id: int | None = None
    """What fills shorter texts; None: as the vocabulary says."""
    eos_token_id: int | None = None
    """What ends a text; None: as the vocabulary says."""
    token: str | None = field(default=None, repr=False)
    """Access token of the Hub."""
    cache_dir: Path | None = None
    """Where downloads are kept."""
    offline: bool = False
    """Never ask the network."""
    seed: int = 0
    """Random weights depend on it."""
    overwrite: bool = False
    """Replace a model that is there."""
    spoken: str | None = None
    """`warm-start`: the language that the encoder's adapters are set to (MMS); None: as its checkpoint has them."""


@dataclass(frozen=True)
class ComposeReport:
    """What was made."""

    folder: Path
    parameters: int
    """Numbers in the weights."""
    remarks: tuple[str, ...]
    """What the user should know, a sentence each."""


def parse_changes(texts: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` pairs, the value in TOML; a bare word is a string.

    Raises:
        UsageError: a text is no such pair.
    """
    changes: dict[str, Any] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            raise UsageError(f"A change of a configuration must be key=value, but is '{text}'.")
        try:
            changes[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            changes[key.strip()] = value.strip()
    return changes


def refuse_model(folder: Path, sources: Iterable[str | Path] = (), *, overwrite: bool = False) -> None:
    """Check that a model can go to a folder, and that none is there already.

    Raises:
        OutputError: it is a file.
        UsageError: there is a model, or the new one is made from it.
    """
    refuse_file(folder)
    refuse_replacing([folder / "config.json"], sources)
    if (folder / "config.json").exists() and not overwrite:
        raise UsageError(f"{folder} already holds a model.", hint="Give --overwrite, or another folder with -o.")
