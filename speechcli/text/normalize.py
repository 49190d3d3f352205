"""Text normalization for scoring: differences that cannot be heard, such as punctuation, are removed."""

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from importlib import metadata

from speechcli.text.languages import language_code


def normalize(text: str, language: str) -> str:
    """Normalize a text for scoring.

    With the package whisper-normalizer (``pip install speechcli[eval]``): Whisper's English normalizer for English, its
    basic one for other languages. Without it: `basic`.

    Args:
        text: a reference or a hypothesis.
        language: its language, in any spelling.
    """
    return _normalizer(language_code(language) == "en")(text)


def normalizer_name(language: str) -> str:
    """Return the normalizer of a language, to report with scores: "whisper-normalizer 0.1.12 (english)"."""
    kind = "english" if language_code(language) == "en" else "basic"
    version = _package_version()
    return f"speechcli ({basic.__name__})" if version is None else f"whisper-normalizer {version} ({kind})"


def basic(text: str) -> str:
    """Normalize without a package: NFKC, lower case, punctuation and symbols replaced by single spaces.

    Apostrophes inside words and combining marks (Arabic, Devanagari, Thai) are kept.
    """
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    text = re.sub(r"(?<=\w)'(?=\w)", "\0", text)
    text = "".join(" " if unicodedata.category(c)[0] in "PSZ" else c for c in text)
    return " ".join(text.replace("\0", "'").split())


@cache
def _normalizer(english: bool) -> Callable[[str], str]:
    if _package_version() is None:
        return basic
    if english:
        from whisper_normalizer.english import EnglishTextNormalizer

        return EnglishTextNormalizer()  # type: ignore[no-any-return]
    from whisper_normalizer.basic import BasicTextNormalizer

    return BasicTextNormalizer()  # type: ignore[no-any-return]


@cache
def _package_version() -> str | None:
    try:
        return metadata.version("whisper-normalizer")
    except metadata.PackageNotFoundError:
        return None
