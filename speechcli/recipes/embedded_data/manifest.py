"""The wide manifest that every part of the training data is listed in."""

import csv
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speechcli.errors import InputError

LANGUAGES = ("en", "es", "fr", "it", "ru")
COLUMNS = ("id", "path", "seconds", "speaker", "src_lang", "src_text")
TEXT_COLUMNS = tuple(f"text_{language}" for language in (*LANGUAGES, "ar"))


@dataclass(frozen=True)
class Row:
    """One recording: what is said, and the same in other languages.

    Attributes:
        id: unique within its manifest.
        path: the audio file.
        seconds: its length.
        speaker: the voice.
        language: what is spoken, two letters.
        texts: language to text; the spoken language is always there.
    """

    id: str
    path: Path
    seconds: float
    speaker: str
    language: str
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def transcript(self) -> str:
        """What is said, as it is written."""
        return self.texts[self.language]


def read_rows(path: Path) -> list[Row]:
    """Reads a manifest; audio paths are taken relative to its folder and made absolute.

    Args:
        path: a tab-separated file with a header and without quoting.

    Returns:
        Its rows in order.

    Raises:
        InputError: the file or a column of it is missing.
    """
    if not path.is_file():
        raise InputError(f"the manifest {path} does not exist", hint="--data names the folder with the recordings")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        if missing := set(COLUMNS) - set(reader.fieldnames or ()):
            names = ", ".join(sorted(missing))
            raise InputError(f"{path} must have the columns {', '.join(COLUMNS)}; it lacks {names}")
        return [_row(values, path.parent) for values in reader]


def _row(values: dict[str, str], folder: Path) -> Row:
    language = values["src_lang"]
    texts = {
        name.removeprefix("text_"): text.strip()
        for name, text in values.items()
        if re.fullmatch("text_[a-z]{2}", name) and text and text.strip()
    }
    texts[language] = values["src_text"].strip()
    path = (folder / values["path"]).resolve()
    return Row(values["id"], path, float(values["seconds"]), values["speaker"], language, texts)


def to_line(row: Row) -> str:
    """One manifest line of a row, without the line end."""
    cells = [row.id, str(row.path), f"{row.seconds:.3f}", row.speaker, row.language, row.transcript]
    cells += [row.texts.get(name.removeprefix("text_"), "") for name in TEXT_COLUMNS]
    return "\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in cells)


DIGITS = {
    "en": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "es": ("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"),
    "fr": ("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"),
    "it": ("zero", "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove"),
    "ru": ("ноль", "один", "два", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять"),
}
_FIGURES = {
    word.translate(str.maketrans("éй", "eи")): str(figure)
    for words in DIGITS.values()
    for figure, word in enumerate(words)
}
HEADER = "\t".join(COLUMNS + TEXT_COLUMNS)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Writes a manifest with every text column."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([HEADER, *map(to_line, rows)]) + "\n", encoding="utf-8")


def normalise(text: str) -> str:
    """The text as the leak filter compares it.

    Lower case, no punctuation, no accents (some sets write none), and each digit as a figure, in whatever language it
    is written out: "Marque dos." and "marque 2" are the same prompt.
    """
    marks_apart = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(character for character in marks_apart if not unicodedata.combining(character))
    return " ".join(_FIGURES.get(word, word) for word in re.sub(r"[\W_]+", " ", bare).split())


def held_out_manifests(data: Path) -> list[Path]:
    """The dev and test manifests of every set in a folder of recordings."""
    return [path for path in sorted(data.glob("*/*.tsv")) if path.stem in ("dev", "test")]


def held_out_texts(manifests: Sequence[Path]) -> frozenset[str]:
    """Every text of the given dev and test manifests, in every language, normalised.

    Args:
        manifests: the files that no training text may repeat.

    Returns:
        Normalised texts, for exact comparison.
    """
    rows = (row for path in manifests for row in read_rows(path))
    return frozenset(normalise(text) for row in rows for text in row.texts.values())
