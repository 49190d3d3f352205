"""LibriSpeech: folders of recordings with their transcripts, `SPEAKER-CHAPTER.trans.txt`."""

from collections.abc import Iterator
from pathlib import Path

from speechcli.data.columns import Row, Table
from speechcli.data.readers.tables import read_lines

TRANSCRIPTS = "[!.]*.trans.txt"
EXTENSIONS = (".flac", ".wav", ".opus", ".mp3", ".ogg")


def is_librispeech(path: Path) -> bool:
    """Whether a folder contains transcripts of LibriSpeech at any depth."""
    return path.is_dir() and next(path.rglob(TRANSCRIPTS), None) is not None


def read_librispeech(path: Path) -> Table:
    """Read a split, such as ``LibriSpeech/train-clean-100``; it does not contain the language.

    Raises:
        InputError: if a transcript file cannot be read.
    """
    return Table.of((row for file in sorted(path.rglob(TRANSCRIPTS)) for row in _rows(path, file)), path)


def _rows(path: Path, file: Path) -> Iterator[Row]:
    folder = file.parent.relative_to(path)
    for number, line in enumerate(read_lines(file), start=1):
        name, _, text = line.strip().partition(" ")
        if not name:
            continue
        found = (folder / f"{name}{extension}" for extension in EXTENSIONS)
        audio = next((sound for sound in found if (path / sound).is_file()), folder / f"{name}{EXTENSIONS[0]}")
        cells = {"id": name, "audio": str(audio), "src_text": text.strip(), "speaker": name.split("-")[0]}
        filled = {cell: value for cell, value in cells.items() if value}
        yield Row(number, filled, file=str(folder / file.name))
