"""The options of `init` and `warm-start`, and helpers of both."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechcli.errors import UsageError
from speechcli.pipelines.files.outputs import refuse_file, refuse_replacing
from speechcli.pipelines.speech_options import HubAccess


@dataclass(frozen=True)
class ComposeOptions(HubAccess):
    """Which encoder and decoder to join, and how."""

    encoder: str
    """`init`: a family, a config.json or a model; `warm-start`: a pretrained speech encoder."""
    decoder: str
    """`init`: a family, a config.json or a model; `warm-start`: a pretrained text decoder."""
    output_dir: Path
    """Folder for the new model."""
    encoder_set: tuple[str, ...] = ()
    """Changes to the encoder's configuration, each `key=value`."""
    decoder_set: tuple[str, ...] = ()
    """Changes to the decoder's configuration, each `key=value`."""
    tokenizer: str | None = None
    """Folder or Hub id of the tokenizer; None: the decoder's."""
    language: str | None = None
    """Language that a multilingual decoder writes by default."""
    decoder_start_token_id: int | None = None
    """First token that the decoder reads; None: as in the vocabulary."""
    pad_token_id: int | None = None
    """Padding token; None: as in the vocabulary."""
    eos_token_id: int | None = None
    """End-of-text token; None: as in the vocabulary."""
    seed: int = 0
    """Seed of random weights."""
    overwrite: bool = False
    """Replace an existing model."""
    spoken: str | None = None
    """`warm-start`: language of the encoder's adapters (MMS); None: the adapters in the checkpoint."""


@dataclass(frozen=True)
class ComposeReport:
    """The new model."""

    folder: Path
    parameters: int
    """Number of parameters."""
    remarks: tuple[str, ...]
    """Remarks for the user, one sentence each."""


def parse_changes(texts: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` pairs, the value in TOML; a bare word is a string.

    Raises:
        UsageError: a text is not such a pair.
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
    """Check that a folder can contain a new model and does not contain one already.

    Raises:
        OutputError: it is a file.
        UsageError: there is a model, or the new one is made from it.
    """
    refuse_file(folder)
    refuse_replacing([folder / "config.json"], sources)
    if (folder / "config.json").exists() and not overwrite:
        raise UsageError(f"{folder} already contains a model.", hint="Give --overwrite, or another folder with -o.")
