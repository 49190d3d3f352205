"""Files of JSON lines in an output folder; a crash costs them at most the line that was being written."""

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from speechcli.pipelines.files.outputs import output_error
from speechcli.pipelines.speech_options import Shard


def lines_path(folder: Path, stem: str, shard: Shard) -> Path:
    """Return the path of a file of a job (`stem.jsonl`), or of a part of one (`stem.i-of-n.jsonl`)."""
    return folder / (f"{stem}.jsonl" if shard.count == 1 else f"{stem}.{shard}.jsonl")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects in a file; lines that are not objects are ignored. A missing file is empty.

    Raises:
        OutputError: the file cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise output_error(path, error) from error
    objects = []
    for line in lines:
        try:
            objects.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return [each for each in objects if isinstance(each, dict)]


def append_line(path: Path, line: bytes, *, replace: bool = False) -> None:
    """Append a line to a file, or replace its content with the line, and flush it to the disk.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with path.open("wb" if replace else "ab+") as file:
            if file.tell() and not _ends_a_line(file):
                file.write(b"\n")  # a crash cut the last line short
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise output_error(path, error) from error


def remove_lines(path: Path) -> None:
    """Remove a file, if it exists.

    Raises:
        OutputError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(path, error) from error


def _ends_a_line(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
