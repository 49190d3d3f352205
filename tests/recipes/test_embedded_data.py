import json
import re
from pathlib import Path

import pytest

from speechcli.errors import InputError
from speechcli.recipes.embedded_data.catalogues import clean_text, read_catalogues
from speechcli.recipes.embedded_data.manifest import LANGUAGES, Row, held_out_texts, normalise, read_rows, write_rows
from speechcli.recipes.embedded_data.numbers import date, words
from speechcli.recipes.embedded_data.phrases import announcements, closed_classes
from speechcli.recipes.embedded_data.sentences import choose
from speechcli.recipes.embedded_data.vocabulary import LANGUAGE_TAGS, train_vocabulary


def row(name: str, **texts: str) -> Row:
    return Row(name, Path("/somewhere.flac"), 1.0, "someone", "en", texts)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (21, ["twenty one", "veintiuno", "vingt et un", "ventuno", "двадцать один"]),
        (38, ["thirty eight", "treinta y ocho", "trente-huit", "trentotto", "тридцать восемь"]),
        (71, ["seventy one", "setenta y uno", "soixante et onze", "settantuno", "семьдесят один"]),
        (80, ["eighty", "ochenta", "quatre-vingts", "ottanta", "восемьдесят"]),
        (91, ["ninety one", "noventa y uno", "quatre-vingt-onze", "novantuno", "девяносто один"]),
        (100, ["one hundred", "cien", "cent", "cento", "сто"]),
        (203, ["two hundred three", "doscientos tres", "deux cent trois", "duecentotre", "двести три"]),
    ],
)
def test_numbers_are_written_as_each_language_writes_them(number: int, expected: list[str]) -> None:
    assert [words(number, language) for language in LANGUAGES] == expected


def test_a_date_says_the_day_as_its_language_does() -> None:
    assert date(0, 21, 4)["en"] == "Monday, May twenty first"
    assert date(0, 21, 4)["ru"] == "понедельник, двадцать первое мая"


def test_the_leak_filter_sees_through_case_accents_punctuation_and_figures() -> None:
    assert normalise("Marque DOS, número.") == normalise("marque 2 numero")
    assert normalise("Ещё один!") == normalise("еще 1")
    assert normalise("press one") != normalise("press two")


def test_a_sentence_with_a_held_out_text_in_any_language_is_dropped_whole(tmp_path: Path) -> None:
    write_rows(tmp_path / "dev.tsv", [row("a", en="Something else", it="Addio!")])
    prompts = [row("b", en="Goodbye.", it="addio"), row("c", en="Hello there.", it="Salve a tutti")]
    sentences = choose(prompts, None, held_out_texts([tmp_path / "dev.tsv"]))
    chosen = [texts["en"] for source, texts in sentences.chosen if source == "asterisk train"]
    assert chosen == ["Hello there."]
    assert sentences.dropped["asterisk train"] == 2


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    rows = [row("a", en='Say "yes"', ru="Скажите «да»")]
    write_rows(tmp_path / "train.tsv", rows)
    assert read_rows(tmp_path / "train.tsv") == rows


def test_a_missing_manifest_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_rows(tmp_path / "train.tsv")


@pytest.mark.parametrize("text", ["Sign in with {name}", "One", "Open the URL", "a <b>bold</b> word", "Знак or sign"])
def test_what_cannot_be_read_aloud_is_left_out(text: str) -> None:
    assert clean_text(text, "en") is None


XML = '<resources><string name="a">{}</string><string name="b">100%</string></resources>'
JSON = json.dumps({"call": {"a": "{}", "b": "<b>bold</b> words"}})


@pytest.mark.parametrize(
    ("english", "french", "content"),
    [
        ("res/values/strings.xml", "res/values-fr/strings.xml", XML),
        ("lang/main.json", "lang/main-fr.json", JSON),
        ("lang/en.json", "lang/fr_FR.json", JSON),
        ("i18n/en.i18n.json", "i18n/fr.i18n.json", JSON),
        ("locale/en/call.json", "locale/fr/call.json", JSON),
        (f"config/en-{'0' * 32}.json", f"config/fr-{'a' * 32}.json", JSON),
        ("l10n/app_en.arb", "l10n/app_fr.arb", JSON),
        ("resources.properties", "resources_fr.properties", "# Calls\ncall.a = {}\ncall.b = {{0}} calls\n"),
    ],
)
def test_a_sentence_of_a_catalogue_meets_its_translation(
    tmp_path: Path, english: str, french: str, content: str
) -> None:
    for name, text in ((english, "Call ended early"), (french, "Appel terminé"), ("package.json", "Never said by it")):
        path = tmp_path / "jitsi" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((JSON if name == "package.json" else content).replace("{}", text), encoding="utf-8")
    assert list(read_catalogues(tmp_path)) == [("jitsi", {"en": "Call ended early", "fr": "Appel terminé"})]


def test_an_escaped_property_is_read_as_it_is_meant(tmp_path: Path) -> None:
    (tmp_path / "jitsi").mkdir()
    (tmp_path / "jitsi" / "texts_en.properties").write_text("hold=Please hold the line\n", encoding="utf-8")
    (tmp_path / "jitsi" / "texts_fr.properties").write_text("hold=Restez \\u00e0 l''\\u00e9coute\n", encoding="utf-8")
    assert list(read_catalogues(tmp_path)) == [("jitsi", {"en": "Please hold the line", "fr": "Restez à l'écoute"})]


def test_every_closed_class_speaks_all_languages_but_spelling() -> None:
    for name, texts in closed_classes():
        assert set(texts) == ({"en"} if name == "spelling" else set(LANGUAGES))
        assert not any("{" in text for text in texts.values())


def test_every_announcement_can_be_read_aloud_in_all_languages_and_is_there_once() -> None:
    rows = [texts for _, texts in announcements()]
    spelled_out = [{name: re.sub("[0-9]+", "", text) for name, text in texts.items()} for texts in rows]
    strange = [
        text
        for texts in spelled_out
        for name, text in texts.items()
        if text.strip(" .,?!") and clean_text(text.strip(), name, words=range(1, 20)) is None
    ]
    assert strange == []
    assert all(set(texts) == set(LANGUAGES) for texts in rows)
    # some sentences have several translations
    assert len({tuple(map(normalise, texts.values())) for texts in rows}) == len(rows)
    assert len({normalise(texts["en"]) for texts in rows}) > 18_000


def test_the_vocabulary_gives_texts_back_and_ends_with_the_language_tags(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    texts = {"en": ["Press 1, then wait.", "It's busy."], "ru": ["Ждите…"], "ar": ["نعم"]}
    train_vocabulary(texts, tmp_path, size=260)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in ("Press 1, then wait.", "It's busy.", "نعم"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.decode(tokenizer.encode("Ждите…").ids) == "Ждите..."
    assert [tokenizer.token_to_id(token) for token in ("<s>", "<pad>", "</s>", "<unk>")] == [0, 1, 2, 3]
    size = tokenizer.get_vocab_size()
    assert [tokenizer.token_to_id(tag) for tag in LANGUAGE_TAGS] == list(range(size - len(LANGUAGE_TAGS), size))
