from collections.abc import Iterator

import pytest

from speechcli.text import normalize as module
from speechcli.text.normalize import basic, normalize, normalizer_name


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
    for cached in (module._normalizer, module._package_version):
        cached.cache_clear()
    yield
    for cached in (module._normalizer, module._package_version):
        cached.cache_clear()


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise module.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(module.metadata, "version", missing)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", "hello world"),
        ("Don’t  stop — it's  fine.", "don't stop it's fine"),
        ("'quoted' rock 'n' roll", "quoted rock n roll"),
        ("¿Qué tal? ¡Bien!", "qué tal bien"),
        ("ＡＢＣ ﬁn", "abc fin"),
        ("नमस्ते।", "नमस्ते"),
        ("5 € + 3 %", "5 3"),
        ("", ""),
    ],
)
def test_basic_drops_case_punctuation_and_spaces(text: str, expected: str) -> None:
    assert basic(text) == expected


@pytest.mark.usefixtures("without_package")
def test_without_the_package_the_basic_normalizer_is_used_and_named() -> None:
    assert normalize("Mister O'Neil, ok?", "en") == "mister o'neil ok"
    assert normalizer_name("en") == "speechcli (basic)"


def test_with_the_package_english_gets_the_normalizer_of_whisper() -> None:
    pytest.importorskip("whisper_normalizer")
    assert normalize("Mr. Colour won't pay twenty dollars.", "en_XX") == "mister color will not pay $20"
    assert normalizer_name("English").startswith("whisper-normalizer ")
    assert normalizer_name("English").endswith("(english)")


def test_with_the_package_other_languages_get_the_basic_one() -> None:
    pytest.importorskip("whisper_normalizer")
    assert normalize("Fünf, SECHS!", "de").split() == ["fünf", "sechs"]
    assert normalizer_name("de").endswith("(basic)")
