"""Rows and columns of a manifest or corpus of any layout."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from speechcli.errors import InputError

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "utt_id", "utterance_id", "segment_id", "key"),
    "audio": ("audio", "path", "file", "wav", "audio_filepath", "audio_path", "audio_file", "filename", "file_name"),
    "seconds": ("seconds", "duration", "duration_seconds"),
    "start": ("start", "offset", "start_seconds"),
    "end": ("end", "end_seconds"),
    "teacher": ("teacher", "teacher_frames"),
    "confidence": ("confidence",),
    "speaker": ("speaker", "speaker_id", "client_id", "spk_id"),
    "source_language": ("src_lang", "source_lang", "source_language", "lang", "language", "locale"),
    "target_language": ("tgt_lang", "target_lang", "target_language", "trg_lang"),
    "transcript": ("src_text", "transcript", "transcription", "sentence", "source_text", "raw_transcription"),
    "translation": ("tgt_text", "translation", "target_text", "target", "trg_text", "answer"),
    "text": ("text", "txt"),
}
"""Role -> usual names of its column, in order of preference; case-insensitive."""

WIDE = re.compile(r"text_([a-z]{2,3}([-_][A-Za-z]{2,4})?)")
"""Columns of a wide manifest: text_en, text_pt_BR, text_deu_Latn; but not text_normalized."""


@dataclass(frozen=True)
class Row:
    """A line of a manifest, or an entry of a corpus."""

    line: int
    """Line in the file, from 1, including the header; 0 if the entry is a whole file."""
    cells: Mapping[str, str]
    """Column -> text, stripped; without empty cells."""
    problem: str | None = None
    """Why the line cannot be read; None if it can."""
    file: str = ""
    """File of the corpus, relative to its folder, if there are several."""

    @property
    def where(self) -> str:
        """The place of the row, such as "line 3"."""
        return " ".join([*([self.file] if self.file else []), *([f"line {self.line}"] if self.line else [])])

    def get(self, column: str | None) -> str | None:
        """Return a cell; None if it is empty or there is no such column."""
        return None if column is None else self.cells.get(column)


@dataclass(frozen=True)
class Table:
    """The rows of a manifest or corpus."""

    rows: list[Row]
    columns: list[str]
    """Names of all columns, in order of appearance."""
    folder: Path
    """Folder that paths of recordings are relative to."""

    @classmethod
    def of(cls, rows: Iterable[Row], folder: Path) -> "Table":
        """Make a table with the columns that occur in the rows."""
        listed = list(rows)
        names = dict.fromkeys(name for row in listed for name in row.cells)
        return cls(listed, list(dict.fromkeys(("audio", *names))), folder)


@dataclass(frozen=True)
class Columns:
    """The column of each role; None: the manifest has none."""

    audio: str | None = None
    id: str | None = None
    seconds: str | None = None
    start: str | None = None
    end: str | None = None
    teacher: str | None = None
    confidence: str | None = None
    speaker: str | None = None
    source_language: str | None = None
    target_language: str | None = None
    transcript: str | None = None
    translation: str | None = None
    text: str | None = None
    wide: Mapping[str, str] = field(default_factory=dict)
    """Language -> column: {"en": "text_en"}."""

    def summary(self) -> str:
        """Return "audio=path, text=sentence" for a message."""
        found = {role: getattr(self, role) for role in COLUMNS}
        wide = [f"text({language})={column}" for language, column in self.wide.items()]
        return ", ".join([f"{role}={column}" for role, column in found.items() if column] + wide)


def find_columns(names: list[str], path: Path, *, need_audio: bool = True) -> Columns:
    """Find the column of each role.

    Args:
        names: the columns of the manifest.
        path: the manifest, for messages.
        need_audio: whether a column of recordings is needed.

    Raises:
        InputError: if there is no column of recordings, but one is needed.
    """
    by_lower = {name.lower(): name for name in reversed(names)}
    found: dict[str, str] = {}
    for role, usual in COLUMNS.items():
        column = next((by_lower[name] for name in usual if name in by_lower), None)
        if column is not None:
            found[role] = column
    if need_audio and "audio" not in found:
        raise InputError(
            f"The manifest `{path}` must have a column of recordings ({', '.join(COLUMNS['audio'])}), "
            f"but has {', '.join(names) or 'no columns'}."
        )
    taken = set(found.values())
    matches = [match for name in names if name not in taken and (match := WIDE.fullmatch(name))]
    return Columns(**found, wide={match[1]: match[0] for match in matches})
