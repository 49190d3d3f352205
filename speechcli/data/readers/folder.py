"""A folder of recordings, each beside its text: `talk.wav`, `talk.txt`, and translations `talk.de.txt`."""

import os
from collections.abc import Iterator
from pathlib import Path

from speechcli.audio.read import AUDIO_EXTENSIONS
from speechcli.data.columns import WIDE, Row, Table
from speechcli.data.readers.tables import read_table, read_text
from speechcli.errors import InputError

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.tsv")
"""Tables in a folder, named as in Hugging Face's `audiofolder`."""


def read_folder(path: Path) -> Table:
    """Read a folder recursively, or the table in it.

    Raises:
        InputError: if it contains neither recordings nor a table, or a text cannot be read.
    """
    for name in METADATA:
        if (path / name).is_file():
            return read_table(path / name)
    # A copy from a Mac has a hidden file ._talk.wav beside each talk.wav, without sound.
    files = [Path(here, name) for here, _, names in os.walk(path) for name in names if not name.startswith(".")]
    sounds = sorted(file for file in files if file.suffix.lower() in AUDIO_EXTENSIONS)
    if not sounds:
        raise InputError(
            f"The folder `{path}` must be a corpus, but contains no recordings and no files of a known layout.",
            hint="a Kaldi directory, a split of LibriSpeech or MuST-C, Parquet files, or recordings beside .txt files",
        )
    return Table.of(_rows(path, sounds, {file for file in files if file.suffix == ".txt"}), path)


def _rows(path: Path, sounds: list[Path], texts: set[Path]) -> Iterator[Row]:
    stems = {sound.with_suffix("") for sound in sounds}
    translations: dict[Path, dict[str, Path]] = {}
    for text in texts:
        stem = text.with_suffix("")
        language = stem.suffix[1:]
        if stem not in stems and WIDE.fullmatch(f"text_{language}"):
            translations.setdefault(stem.with_suffix(""), {})[language] = text
    for sound in sounds:
        stem = sound.with_suffix("")
        cells = {"audio": str(sound.relative_to(path))}
        if sound.with_suffix(".txt") in texts:
            cells["src_text"] = _one_line(sound.with_suffix(".txt"))
        cells |= {f"text_{name}": _one_line(text) for name, text in sorted(translations.get(stem, {}).items())}
        yield Row(0, {cell: value for cell, value in cells.items() if value}, file=cells["audio"])


def _one_line(text: Path) -> str:
    return " ".join(read_text(text).split())
