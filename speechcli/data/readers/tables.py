"""Tables: TSV, CSV and JSON lines, with the column names of speechcli, NeMo, fairseq or a data set."""

import codecs
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from speechcli.data.columns import COLUMNS, WIDE, Row, Table
from speechcli.errors import InputError


def read_table(path: Path) -> Table:
    """Read JSON lines (also of other files that start with `{`), ``.csv`` (quoted), or tab-separated values.

    The cells of a ``.csv`` file are separated by commas, semicolons (spreadsheets in much of Europe) or tabs, whichever
    its header has most of.

    Raises:
        InputError: if the file cannot be read or is empty, or two columns of a table have the same name.
    """
    text = read_text(path)
    as_json = path.suffix.lower() in (".jsonl", ".json") or text.lstrip().startswith("{")
    names, rows = _read_json(text) if as_json else _read_cells(text, quoted=path.suffix.lower() == ".csv")
    if not rows:
        raise InputError(f"The manifest `{path}` must have at least one row, but has none.")
    if as_json and not names:
        raise InputError(
            f"The manifest `{path}` must have a JSON object in each line; {rows[0].where}: {rows[0].problem}."
        )
    doubled = next((name for name in names if name and names.count(name) > 1), None)
    if doubled is not None:
        raise InputError(f"The manifest `{path}` must have each column once, but has `{doubled}` twice.")
    return Table(rows, names, path.parent)


def _with_common_names(rows: list[Row]) -> list[Row]:
    """Use one name for each role, since the lines of a file may come from different sources."""
    names = {name for row in rows for name in row.cells}
    for usual in COLUMNS.values():
        known = [name for name in usual if name in names]
        for place, row in enumerate(rows):
            other = next((name for name in known if name in row.cells), None)
            if other is not None and other != known[0]:
                rows[place] = replace(row, cells={**row.cells, known[0]: row.cells[other]})
    return rows


def read_text(path: Path) -> str:
    """Read a text file: UTF-8, or UTF-16 with a byte order mark, as spreadsheets export it.

    Raises:
        InputError: if it cannot be read, or decoded.
    """
    try:
        content = path.read_bytes()
        # "utf-8-sig": spreadsheets write a byte order mark before the first column's name.
        encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        text = content.decode(encoding).replace("\r\n", "\n")
    except OSError as error:
        raise InputError(f"The manifest `{path}` cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The manifest `{path}` must be UTF-8, but: {error}.") from error
    # A lone carriage return ends a line only if there are no line feeds; otherwise it is part of a text.
    return text if "\n" in text else text.replace("\r", "\n")


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file; only line feeds end them.

    Raises:
        InputError: if it cannot be read or is not UTF-8.
    """
    return read_text(path).removesuffix("\n").split("\n")


def _read_cells(text: str, *, quoted: bool) -> tuple[list[str], list[Row]]:
    """Return the names of the columns, and the rows."""
    lines = _quoted_lines(text) if quoted else ((n, line.split("\t"), "") for n, line in enumerate(text.split("\n"), 1))
    header = [name.strip() for name in next(lines, (1, [], ""))[1]]
    rows: list[Row] = []
    for number, cells, problem in lines:
        named = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if cell.strip()}
        if len(cells) > len(header):
            problem = f"the line must have {len(header)} cells, but has {len(cells)}"
        if problem or any(cell.strip() for cell in cells):
            rows.append(Row(number, named, problem or None))
    return header, rows


def _quoted_lines(text: str) -> Iterator[tuple[int, list[str], str]]:
    """Yield number, cells and problem of each line; all lines after an unclosed quote have the problem."""
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    # newline="" lets csv count lines inside quoted cells.
    table = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    while True:
        first = table.line_num + 1
        try:
            yield first, next(table), ""
        except StopIteration:
            return
        except csv.Error as error:
            for number in range(first, table.line_num + 1):
                yield number, [], f"the line must have closed quotes, but: {error}"


def _read_json(text: str) -> tuple[list[str], list[Row]]:
    """Return the names of all cells, and the rows."""
    read = [_json_row(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    rows = _with_common_names(read)
    return list(dict.fromkeys(name for row in rows for name in row.cells)), rows


def _json_row(line: int, content: str) -> Row:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        return Row(line, {}, f"the line must be a json object, but: {error}")
    if not isinstance(value, dict):
        return Row(line, {}, f"the line must be a json object, but is a {type(value).__name__}")
    cells = {name: str(cell).strip() for name, cell in value.items() if cell is not None}
    nested = [name for name, cell in value.items() if isinstance(cell, list | dict) and _has_role(name)]
    problem = f"`{nested[0]}` must be text or a number, but is a {type(value[nested[0]]).__name__}" if nested else None
    return Row(line, {name: cell for name, cell in cells.items() if cell}, problem)


def _has_role(name: str) -> bool:
    return any(name.lower() in usual for usual in COLUMNS.values()) or WIDE.fullmatch(name) is not None
