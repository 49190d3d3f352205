"""Find the recording of a manifest row, with start and end."""

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from speechcli.audio.inside import AudioFile, FileSlice, TableCell
from speechcli.audio.read import audio_rate, audio_seconds
from speechcli.data.columns import Columns, Row
from speechcli.errors import SpeechCliError

Number = TypeVar("Number", int, float)


class RowError(Exception):
    """Raised for a bad row.

    Args:
        reason: the rule and the actual value.
        kind: the kind of error in `speechcli data check`.
    """

    def __init__(self, reason: str, *, kind: str = "bad-row") -> None:
        super().__init__(reason)
        self.kind = kind


class Part(NamedTuple):
    """A part of a file, in samples."""

    offset: int
    length: int


def find_recording(text: str, folder: Path) -> tuple[AudioFile, Part | None]:
    """Return the file that a cell names, and the part of it; None for the whole file.

    Args:
        text: a path, or ``archive.zip:offset:length`` (bytes), ``sound.wav:offset:length`` (samples, as fairseq), or
            ``table.parquet:row``.
        folder: folder that the path is relative to.

    Raises:
        RowError: if it names features.
    """
    file = folder / os.path.expanduser(text)
    match = re.fullmatch(r"(.+?)(?::(\d+))?:(\d+)", text)
    if match is None or os.path.isfile(file):
        if file.suffix == ".npy":
            raise RowError(f"the recording must be audio, but `{file}` contains features", kind="unreadable-audio")
        return file, None
    outer, last = folder / os.path.expanduser(match[1]), int(match[3])
    if match[2] is None:
        return (TableCell(outer, last), None) if outer.suffix == ".parquet" else (file, None)
    if outer.suffix.lower() == ".zip":
        return FileSlice(outer, int(match[2]), last), None
    return outer, Part(int(match[2]), last)


def find_times(
    row: Row,
    columns: Columns,
    file: AudioFile,
    part: Part | None,
    *,
    raw_rate: int | None = None,
) -> tuple[float | None, float | None, float]:
    """Return start, end and duration of an utterance in seconds; start and end are None for a whole file.

    Args:
        row: the row.
        columns: the columns of its manifest.
        file: its recording.
        part: the part of the recording, if the cell names one.
        raw_rate: sample rate of a file without a header, in Hz; a duration that the row lacks is then 0.

    Raises:
        RowError: if they contradict each other, or cannot be read from the file.
    """
    if part is not None:
        if part.length == 0:
            raise RowError("the recording must be longer than 0 samples, but is not")
        rate = raw_rate or _from_header(audio_rate, file)
        return part.offset / rate, (part.offset + part.length) / rate, part.length / rate
    start, end, seconds = (read_number(row, name) for name in (columns.start, columns.end, columns.seconds))
    if end is not None:
        if end <= (start or 0.0):
            raise RowError(f"`{columns.end}` must be after the start ({start or 0.0:g} s), but is {end:g}")
        seconds = end - (start or 0.0)
    elif seconds is None and raw_rate is not None:
        return start, None, 0.0
    elif seconds is None:
        seconds = _from_header(audio_seconds, file) - (start or 0.0)
    elif start is not None:
        end = start + seconds
    if seconds <= 0:
        raise RowError(f"the recording must be longer than 0 s, but has {seconds:g} s")
    return start, end, seconds


def read_number(row: Row, column: str | None, *, rule: str = "of seconds", maximum: float = math.inf) -> float | None:
    """Read a number from a cell; None if it is empty.

    Raises:
        RowError: if it is not a number from 0 to the maximum.
    """
    text = row.get(column)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (0 <= value <= maximum and value < math.inf):
        raise RowError(f"`{column}` must be a number {rule}, but is {text!r}")
    return value


def _from_header(read: Callable[[AudioFile], Number], file: AudioFile) -> Number:
    """Read the duration or sample rate of a recording."""
    try:
        return read(file)
    except (SpeechCliError, OSError) as error:
        why = str(error).removesuffix(".")
        raise RowError(f"the length of the recording must be readable, but: {why}", kind="unreadable-audio") from error
