"""Parquet files of Hugging Face `datasets`, with recordings or their paths (extra `parquet`)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechcli.audio.inside import audio_column, open_parquet
from speechcli.data.columns import COLUMNS, Row, Table
from speechcli.errors import InputError


def is_parquet(path: Path) -> bool:
    """Whether a path is a Parquet file, a folder of them, or `data/train` for `data/train-00000-of-00002.parquet`."""
    return bool(_files(path))


def read_parquet(path: Path) -> Table:
    """Read the files of one split.

    Raises:
        InputError: if a folder contains several splits, or a file has no column of audio.
        UsageError: if pyarrow is not installed.
    """
    files = _files(path)
    splits = sorted({file.stem.split("-")[0] for file in files})
    if len(splits) > 1:
        raise InputError(
            f"`{path}` must contain one split, but contains {', '.join(splits)}.", hint=f"name one: {path / splits[0]}"
        )
    return Table.of(_unique_ids([row for file in files for row in _rows(file)]), files[0].parent)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    folder, pattern = (path, "[!.]*.parquet") if path.is_dir() else (path.parent, f"{path.name}-*-of-*.parquet")
    return sorted(folder.glob(pattern))


def _rows(file: Path) -> Iterator[Row]:
    table = open_parquet(file)
    plain = [field.name for field in table.schema_arrow if _is_plain(field.type)]
    inside = audio_column(table.schema_arrow) is not None
    names = next((name for name in plain if name.lower() in COLUMNS["audio"]), None)
    if not inside and names is None:
        raise InputError(f"`{file}` must have a column of audio (bytes and path) or of its files, but has none.")
    rows = (values for batch in table.iter_batches(columns=plain) for values in batch.to_pylist())
    for number, values in enumerate(rows):
        cells = {name: str(value).strip() for name, value in values.items() if value is not None}
        cells["audio"] = f"{file.name}:{number}" if inside else cells.get(str(names), "")
        yield Row(number + 1, {name: cell for name, cell in cells.items() if cell}, file=file.name)


def _unique_ids(rows: list[Row]) -> list[Row]:
    """Drop the column `id` if it is not unique: in FLEURS, it is the id of the sentence."""
    ids = [row.cells["id"] for row in rows if "id" in row.cells]
    if len(set(ids)) == len(ids):
        return rows
    return [replace(row, cells={name: cell for name, cell in row.cells.items() if name != "id"}) for row in rows]


def _is_plain(kind: Any) -> bool:
    return not (kind.num_fields or str(kind) in ("binary", "large_binary"))
