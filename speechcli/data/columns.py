"""Rows and columns of a manifest file, whatever its format."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from speechcli.errors import InputError, UsageError

if TYPE_CHECKING:
    from _csv import Reader

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "utt_id", "utterance_id", "segment_id", "key"),
    "audio": ("audio", "path", "file", "wav", "audio_filepath", "audio_path", "audio_file", "filename", "file_name"),
    "seconds": ("seconds", "duration", "duration_seconds"),
    "start": ("start", "offset", "start_seconds"),
    "end": ("end", "end_seconds"),
    "teacher": ("teacher", "teacher_frames"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk_id"),
    "source_language": ("src_lang", "source_lang", "source_language", "lang", "language", "locale"),
    "target_language": ("tgt_lang", "target_lang", "target_language", "trg_lang"),
    "transcript": ("src_text", "transcript", "transcription", "sentence", "source_text", "raw_transcription"),
    "translation": ("tgt_text", "translation", "target_text", "target", "trg_text", "answer"),
    "text": ("text", "txt"),
}
"""Role to the usual names of its column, in order of preference; letter case does not matter."""

WIDE = re.compile(r"text_([a-z]{2,3}([-_][A-Za-z]{2,4})?)")
"""The columns of a wide manifest: text_en, text_pt_BR, text_deu_Latn; but not text_normalized."""


@dataclass(frozen=True)
class Row:
    """A line of a manifest."""

    line: int
    """Line in the file, counted from 1, the header included."""
    cells: Mapping[str, str]
    """Column to text, stripped; empty cells are absent."""
    problem: str | None = None
    """Why the line cannot be read; None if it can."""

    def get(self, column: str | None) -> str | None:
        """Return a cell; None if it is empty or there is no such column."""
        return None if column is None else self.cells.get(column)


@dataclass(frozen=True)
class Columns:
    """The column of every role; None where the manifest has none."""

    audio: str
    id: str | None = None
    seconds: str | None = None
    start: str | None = None
    end: str | None = None
    teacher: str | None = None
    speaker: str | None = None
    source_language: str | None = None
    target_language: str | None = None
    transcript: str | None = None
    translation: str | None = None
    text: str | None = None
    wide: Mapping[str, str] = field(default_factory=dict)
    """Language to column: {"en": "text_en"}."""

    def summary(self) -> str:
        """Return "audio=path, text=sentence" for a message."""
        found = {role: getattr(self, role) for role in COLUMNS}
        wide = [f"text({language})={column}" for language, column in self.wide.items()]
        return ", ".join([f"{role}={column}" for role, column in found.items() if column] + wide)


def read_rows(path: Path) -> tuple[list[Row], list[str]]:
    """Read the rows of a manifest and the names of all its columns, in order of appearance.

    Args:
        path: ``.jsonl``, ``.json``, ``.csv``, else tab separated without quoting.

    Raises:
        InputError: if the file cannot be read or is empty.
    """
    try:
        # "utf-8-sig": spreadsheets put a byte order mark in front of the first column's name.
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The manifest `{path}` must be a readable UTF-8 file, but: {error}.") from error
    as_json = path.suffix.lower() in (".jsonl", ".json")
    rows = list(_json_rows(text) if as_json else _table_rows(text, comma=path.suffix.lower() == ".csv"))
    names = dict.fromkeys(name for row in rows for name in row.cells)
    if not as_json:
        names = dict.fromkeys(_header(text, comma=path.suffix.lower() == ".csv"))
    if not rows:
        raise InputError(f"The manifest `{path}` must hold at least one row, but has none.")
    return rows, list(names)


def find_columns(names: list[str], chosen: Mapping[str, str], path: Path) -> Columns:
    """Find the column of every role.

    Args:
        names: the columns of the manifest.
        chosen: role to column, before the usual names.
        path: the manifest, for messages.

    Raises:
        InputError: if there is no column of recordings.
        UsageError: if a chosen column does not exist.
    """
    by_lower = {name.lower(): name for name in reversed(names)}
    found: dict[str, str] = {}
    for role, usual in COLUMNS.items():
        if role in chosen and chosen[role] not in names:
            listed = ", ".join(names)
            raise UsageError(f"The column for `{role}` must be one of {listed}, but is `{chosen[role]}`.")
        column = chosen.get(role) or next((by_lower[name] for name in usual if name in by_lower), None)
        if column is not None:
            found[role] = column
    if "audio" not in found:
        raise InputError(
            f"The manifest `{path}` must have a column of recordings ({', '.join(COLUMNS['audio'])}), "
            f"but has {', '.join(names) or 'no columns'}."
        )
    taken = set(found.values())
    matches = [match for name in names if name not in taken and (match := WIDE.fullmatch(name))]
    return Columns(**found, wide={match[1]: match[0] for match in matches})


def _table(text: str, *, comma: bool) -> "Reader":
    # newline="" lets csv count lines inside quoted cells.
    source = io.StringIO(text, newline="")
    if comma:
        return csv.reader(source, strict=True)
    return csv.reader(source, delimiter="\t", quoting=csv.QUOTE_NONE)


def _header(text: str, *, comma: bool) -> list[str]:
    try:
        return [name.strip() for name in next(_table(text, comma=comma), [])]
    except csv.Error:
        return []


def _table_rows(text: str, *, comma: bool) -> Iterator[Row]:
    header = _header(text, comma=comma)
    table = _table(text, comma=comma)
    next(table, None)
    while True:
        line = table.line_num + 1
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(line, {}, f"the line must be comma separated with closed quotes, but: {error}")
            continue
        if not any(cell.strip() for cell in cells):
            continue
        named = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if cell.strip()}
        extra = len(cells) - len(header)
        problem = f"the line must have {len(header)} cells, but has {len(cells)}" if extra > 0 else None
        yield Row(line, named, problem)


def _json_rows(text: str) -> Iterator[Row]:
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            value = json.loads(content)
        except ValueError as error:
            yield Row(line, {}, f"the line must be a json object, but: {error}")
            continue
        if not isinstance(value, dict):
            yield Row(line, {}, f"the line must be a json object, but is a {type(value).__name__}")
            continue
        cells = {name: str(cell).strip() for name, cell in value.items() if cell is not None}
        yield Row(line, {name: cell for name, cell in cells.items() if cell})
