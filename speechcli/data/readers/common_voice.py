"""Common Voice, and its translations CoVoST 2: tables beside a folder `clips`."""

import re
from dataclasses import replace
from pathlib import Path

from speechcli.data.columns import Row, Table
from speechcli.data.readers.tables import read_lines, read_table
from speechcli.errors import InputError

CLIPS = "clips"
DURATIONS = "clip_durations.tsv"
COVOST = re.compile(r"covost_v2\.([A-Za-z-]+)_([A-Za-z-]+)\.\w+\.tsv")


def is_common_voice(path: Path) -> bool:
    """Whether a path is a table of Common Voice or CoVoST 2, such as ``train.tsv``, or a folder of them."""
    if path.is_dir():
        return (path / CLIPS).is_dir() and any(path.glob("[!.]*.tsv"))
    return path.suffix == ".tsv" and (path.parent / CLIPS).is_dir() and path.is_file()


def read_common_voice(path: Path) -> Table:
    """Read a split; the file names of CoVoST 2 contain the two languages.

    Raises:
        InputError: if the table cannot be read, or is the folder of several.
    """
    if path.is_dir():
        tables = sorted(path.glob("[!.]*.tsv"))
        raise InputError(
            f"`{path}` must be one table of {len(tables)}, but is their folder.", hint=f"such as {tables[0]}"
        )
    table = read_table(path)
    languages = COVOST.fullmatch(path.name)
    pair = {} if languages is None else {"src_lang": languages[1], "tgt_lang": languages[2]}
    durations = _durations(path.parent / DURATIONS)
    rows = [_with_clip(row, pair, durations) for row in table.rows]
    return replace(table, rows=rows, columns=list(dict.fromkeys([*table.columns, *pair, "seconds"])))


def _with_clip(row: Row, languages: dict[str, str], durations: dict[str, str]) -> Row:
    clip = row.get("path")
    if clip is None:
        return row
    if Path(clip).name != clip:  # a path in a table of the user's own
        return replace(row, cells={**row.cells, **languages})
    name = clip if Path(clip).suffix else f"{clip}.mp3"
    length = {"seconds": durations[name]} if name in durations else {}
    return replace(row, cells={**row.cells, **languages, **length, "path": f"{CLIPS}/{name}"})


def _durations(path: Path) -> dict[str, str]:
    """Return the length of each clip in seconds, if the release has it: opening a million MP3 files takes long."""
    if not path.is_file():
        return {}
    cells = (line.split("\t") for line in read_lines(path))
    return {row[0]: str(int(row[1]) / 1000) for row in cells if len(row) > 1 and row[1].isdecimal()}
