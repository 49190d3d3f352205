"""Tables: TSV, CSV, and JSON lines with our names, NeMo's, fairseq's or those of a data set's own columns."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from speechcli.data.columns import COLUMNS, Row, Table
from speechcli.errors import InputError

if TYPE_CHECKING:
    from _csv import Reader


def read_table(path: Path) -> Table:
    """Read JSON lines (what begins with `{`), ``.csv`` (comma, quoted), else tab separated without quoting.

    Raises:
        InputError: if the file cannot be read or is empty, or two columns of a table have one name.
    """
    text = read_text(path)
    as_json = path.suffix.lower() in (".jsonl", ".json") or text.lstrip().startswith("{")
    comma = path.suffix.lower() == ".csv"
    rows = list(_json_rows(text) if as_json else _table_rows(text, comma=comma))
    if not rows:
        raise InputError(f"The manifest `{path}` must hold at least one row, but has none.")
    if as_json:
        rows = _alike(rows)
        return Table(rows, list(dict.fromkeys(name for row in rows for name in row.cells)), path.parent)
    names = _header(text, comma=comma)
    doubled = next((name for name in names if name and names.count(name) > 1), None)
    if doubled is not None:
        raise InputError(f"The manifest `{path}` must have each column once, but has `{doubled}` twice.")
    return Table(rows, names, path.parent)


def _alike(rows: list[Row]) -> list[Row]:
    """Give columns of one role one name: the lines of a file may come from several makers."""
    names = {name for row in rows for name in row.cells}
    for usual in COLUMNS.values():
        known = [name for name in usual if name in names]
        for place, row in enumerate(rows):
            other = next((name for name in known if name in row.cells), None)
            if other is not None and other != known[0]:
                rows[place] = replace(row, cells={**row.cells, known[0]: row.cells[other]})
    return rows


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        InputError: if it cannot be read or is no UTF-8.
    """
    try:
        # "utf-8-sig": spreadsheets put a byte order mark in front of the first column's name.
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"The manifest `{path}` cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The manifest `{path}` must be UTF-8, but: {error}.") from error


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file; only a line feed ends one.

    Raises:
        InputError: if it cannot be read or is no UTF-8.
    """
    return [line.removesuffix("\r") for line in read_text(path).removesuffix("\n").split("\n")]


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
        except (ValueError, RecursionError) as error:
            yield Row(line, {}, f"the line must be a json object, but: {error}")
            continue
        if not isinstance(value, dict):
            yield Row(line, {}, f"the line must be a json object, but is a {type(value).__name__}")
            continue
        cells = {name: str(cell).strip() for name, cell in value.items() if cell is not None}
        yield Row(line, {name: cell for name, cell in cells.items() if cell})
