"""Audio files inside archives and Parquet tables."""

from __future__ import annotations

import importlib
import importlib.util
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from speechcli.errors import InputError, UsageError

FEATURES_MAGIC = b"\x93NUMPY"


@dataclass(frozen=True)
class FileSlice:
    """An audio file that is stored uncompressed in another file, such as a zip archive."""

    path: Path
    offset: int
    """In bytes."""
    length: int
    """In bytes."""

    def __str__(self) -> str:
        return f"{self.path}:{self.offset}:{self.length}"

    def open(self) -> BinaryIO:
        """Return the bytes of the audio file.

        Raises:
            InputError: the archive cannot be read, is too short, or contains features there.
        """
        try:
            size = self.path.stat().st_size
            if self.offset + self.length > size:
                raise InputError(f"`{self}` must lie within its archive, but that has {size} bytes.")
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.length)
        except OSError as error:
            raise InputError(f"`{self.path}` cannot be read: {error.strerror or error}.") from error
        if data.startswith(FEATURES_MAGIC):
            raise InputError(f"`{self}` must be audio, but contains features (.npy).")
        return io.BytesIO(data)


@dataclass(frozen=True)
class TableCell:
    """An audio file in a row of a Parquet table, in the format of Hugging Face `datasets`: bytes, or else a path."""

    path: Path
    row: int
    """Counted from 0."""

    def __str__(self) -> str:
        return f"{self.path}:{self.row}"

    def open(self) -> BinaryIO:
        """Return the content of the audio file; adjacent rows are read from disk together.

        Raises:
            InputError: the table or the file that it names cannot be read, or it has no audio there.
            UsageError: pyarrow is not installed.
        """
        row = self.row
        for group, rows in enumerate(_group_sizes(self.path)):
            if row < rows:
                return self._open(_sounds(self.path, group)[row].as_py() or {})
            row -= rows
        raise InputError(f"`{self}` must be a row of the table, but that has fewer.")

    def _open(self, cell: dict[str, Any]) -> BinaryIO:
        data, path = cell.get("bytes"), cell.get("path")
        if data is not None:
            return io.BytesIO(data)
        if not path:
            raise InputError(f"`{self}` must contain the bytes or the path of a recording, but does not.")
        file = self.path.parent / Path(path)
        try:
            return io.BytesIO(file.read_bytes())
        except OSError as error:
            raise InputError(f"`{file}` cannot be read: {error.strerror or error}.") from error


AudioFile = Path | FileSlice | TableCell
"""An audio file, possibly inside another file."""


def outer_file(audio: AudioFile) -> Path:
    """Return the file on disk."""
    return audio if isinstance(audio, Path) else audio.path


def open_parquet(path: Path) -> Any:
    """Open a Parquet file.

    Raises:
        InputError: it is not a Parquet file.
        UsageError: pyarrow is not installed.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError(f"Parquet files need pyarrow to be read: {path}.", hint="pip install 'speechcli[parquet]'")
    pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    try:
        return parquet.ParquetFile(path, memory_map=True)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"`{path}` cannot be read as a Parquet file: {error}.") from error


def audio_column(schema: Any) -> str | None:
    """Return the first audio column of an Arrow schema: a struct with bytes."""
    for field in schema:
        if "bytes" in [field.type.field(index).name for index in range(field.type.num_fields)]:
            return str(field.name)
    return None


@lru_cache(maxsize=64)
def _group_sizes(path: Path) -> list[int]:
    metadata = open_parquet(path).metadata
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


@lru_cache(maxsize=2)
def _sounds(path: Path, group: int) -> Any:
    """Return the audio files of a row group, which Parquet reads at once: bytes and path of each."""
    table = open_parquet(path)
    column = audio_column(table.schema_arrow)
    if column is None:
        raise InputError(f"`{path}` must have a column of sound (bytes and path), but has none.")
    return table.read_row_group(group, columns=[f"{column}.bytes", f"{column}.path"]).column(column)
