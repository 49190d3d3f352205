"""MuST-C and similar corpora (mTEDx, IWSLT): `xx-yy/data/SPLIT` with `wav/`, and `txt/SPLIT.yaml`, `.xx`, `.yy`."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from speechcli.data.columns import WIDE, Row, Table
from speechcli.data.readers.tables import read_lines
from speechcli.errors import InputError

FIRST_LINE = re.compile(r"\s*-\s+(.*)")
FIELD = re.compile(r"""(\w+):\s*("[^"]*"|'[^']*'|[^,'"]*)(?:,|$)""")
LANGUAGES = re.compile(r"([a-z]{2,3})-([a-z]{2,3})")


def is_mustc(path: Path) -> bool:
    """Whether a path is the folder of a split, or its list of segments."""
    return _list_of(path).is_file()


def read_mustc(path: Path) -> Table:
    """Read a split: each entry of the list with the same line of each text.

    Raises:
        InputError: if the list and a text do not have the same number of lines, or one cannot be read.
    """
    listed = _list_of(path)
    split = listed.parent.parent
    entries = list(_entries(read_lines(listed)))
    texts = {file.suffix[1:]: read_lines(file) for file in sorted(listed.parent.glob(f"{listed.stem}.*"))}
    texts = {language: lines for language, lines in texts.items() if WIDE.fullmatch(f"text_{language}")}
    for language, lines in texts.items():
        if len(lines) != len(entries):
            counts = f"{len(entries)} entries, but `{listed.stem}.{language}` has {len(lines)} lines"
            raise InputError(f"`{listed}` and its texts must have the same number of lines, but it has {counts}.")
    pair = next((match for parent in split.parents if (match := LANGUAGES.fullmatch(parent.name))), None)
    return Table.of(_rows(entries, texts, None if pair is None else pair[1], listed.name), split)


def _list_of(path: Path) -> Path:
    return path if path.suffix == ".yaml" and path.parent.name == "txt" else path / "txt" / f"{path.name}.yaml"


def _entries(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the first line and the fields of each entry: `- {key: value, …}`, possibly wrapped, or one key per line."""
    starts = {place: match[1].strip() for place, line in enumerate(lines) if (match := FIRST_LINE.fullmatch(line))}
    for (start, first), end in zip(starts.items(), [*list(starts)[1:], len(lines)], strict=True):
        parts = [first, *(line.strip() for line in lines[start + 1 : end] if line.strip())]
        wrapped = " ".join(parts).removeprefix("{").removesuffix("}")
        yield start + 1, wrapped if first.startswith("{") else ", ".join(parts)


def _rows(entries: list[tuple[int, str]], texts: dict[str, list[str]], spoken: str | None, name: str) -> Iterator[Row]:
    counts: Counter[str] = Counter()
    for place, (number, line) in enumerate(entries):
        fields = {key: value.strip().strip("\"'") for key, value in FIELD.findall(line)}
        if not {"wav", "offset", "duration"} <= fields.keys():
            problem = "an entry must have `duration`, `offset` and `wav`"
            yield Row(number, {}, problem, f"txt/{name}")
            continue
        wav = fields["wav"]
        cells = {"id": f"{Path(wav).stem}_{counts[wav]}", "audio": f"wav/{wav}", "start": fields["offset"]}
        cells |= {"seconds": fields["duration"], "speaker": fields.get("speaker_id", ""), "src_lang": spoken or ""}
        cells |= {f"text_{language}": lines[place].strip() for language, lines in texts.items()}
        counts[wav] += 1
        yield Row(number, {cell: value for cell, value in cells.items() if value}, file=f"txt/{name}")
