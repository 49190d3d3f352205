"""Kaldi data directories: wav.scp, text, segments, utt2spk, utt2lang. Commands in them are refused, never run."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from speechcli.data.columns import Row, Table
from speechcli.data.readers.tables import read_lines


class _Entry(NamedTuple):
    line: int
    value: str


class _Piece(NamedTuple):
    """The audio of an utterance: a recording, or a part of one."""

    file: str
    line: int
    recording: str
    times: dict[str, str]
    problem: str | None = None


def is_kaldi(path: Path) -> bool:
    """Whether a path is a Kaldi data directory."""
    return (path / "wav.scp").is_file()


def read_kaldi(path: Path) -> Table:
    """Read the utterances of ``segments``, or else of ``wav.scp``; those that are only in ``text`` are bad rows.

    Raises:
        InputError: if a file cannot be read.
    """
    directory = _Directory(path)
    return Table.of([*directory.rows(), *directory.repeated], path)


class _Directory:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.repeated: list[Row] = []
        """Lines with the key of an earlier line."""
        self.recordings = self._entries("wav.scp")
        self.texts = self._entries("text")
        speakers, languages = self._entries("utt2spk"), self._entries("utt2lang")
        self.facts = {"src_text": self.texts, "speaker": speakers, "src_lang": languages}

    def rows(self) -> Iterator[Row]:
        pieces = self._pieces()
        for name, piece in pieces.items():
            audio, problem = self._audio(piece)
            facts = {cell: entries[name].value for cell, entries in self.facts.items() if name in entries}
            cells = {"id": name, "audio": audio, **piece.times, **facts}
            yield Row(piece.line, {cell: value for cell, value in cells.items() if value}, problem, piece.file)
        for name, entry in self.texts.items():
            if name not in pieces:
                yield Row(entry.line, {"id": name}, f"there is no recording for the text of `{name}`", "text")

    def _entries(self, name: str) -> dict[str, _Entry]:
        """Read `key value` lines."""
        entries: dict[str, _Entry] = {}
        if (self.path / name).is_file():
            for number, line in enumerate(read_lines(self.path / name), start=1):
                key, *value = line.split(maxsplit=1) or [""]
                if key in entries:
                    problem = f"`{key}` must occur once, but is in line {entries[key].line} too"
                    self.repeated.append(Row(number, {}, problem, name))
                elif key:
                    entries[key] = _Entry(number, " ".join(value).strip())
        return entries

    def _pieces(self) -> dict[str, _Piece]:
        if not (self.path / "segments").is_file():
            return {name: _Piece("wav.scp", entry.line, name, {}) for name, entry in self.recordings.items()}
        return {name: _segment(entry) for name, entry in self._entries("segments").items()}

    def _audio(self, piece: _Piece) -> tuple[str, str | None]:
        """Return the file of a recording, and why it cannot be used."""
        entry = self.recordings.get(piece.recording)
        if piece.problem is not None or entry is None or not entry.value:
            return "", piece.problem or f"wav.scp must name the recording `{piece.recording}`, but does not"
        if entry.value.endswith("|") or entry.value.startswith("|"):
            return "", f"a recording must be a file, but line {entry.line} of wav.scp is a command, which is never run"
        # In Kaldi, paths are relative to the folder from which its scripts are run.
        here = self.path / entry.value
        return entry.value if here.is_file() else str(Path(entry.value).absolute()), None


def _segment(entry: _Entry) -> _Piece:
    parts = entry.value.split()
    if len(parts) != 3:
        return _Piece("segments", entry.line, "", {}, "a segment must be `utterance recording start end`")
    recording, start, end = parts
    to_end = re.fullmatch(r"-1(\.0*)?", end) is not None  # -1: the end of the recording
    return _Piece("segments", entry.line, recording, {"start": start} | ({} if to_end else {"end": end}))
