"""Sentences that a telephone, a calendar or a spelling caller is bound to say, in five languages at once.

The words are in `phrases.tsv` and put together here; whole sentences are in `announcements.tsv`. Both were written for
this recipe.
"""

import csv
import random
import re
from collections.abc import Callable, Iterator
from importlib import resources

from speechcli.recipes.embedded_data.manifest import DIGITS, LANGUAGES
from speechcli.recipes.embedded_data.numbers import MONTHS, date, ordinal, time, words

Texts = dict[str, str]
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_COMMANDS = ("enter", "erase", "rubout", "repeat", "help", "start", "stop", "go", "reset")


def closed_classes(seed: int = 0) -> Iterator[tuple[str, Texts]]:
    """Every closed class in turn.

    Args:
        seed: fixes the choice.

    Yields:
        The name of the class and one text in each of its languages.
    """
    table: dict[str, list[Texts]] = {}
    for row in _rows("phrases.tsv"):
        table.setdefault(row.pop("kind"), []).append(row)
    classes: tuple[tuple[str, int, Callable[[dict[str, list[Texts]], random.Random], Texts]], ...] = (
        ("menu", 900, _menu),
        ("statement", 500, _statement),
        ("amount", 200, _amount),
        ("digits", 260, _digits),
        ("number", 130, _number),
        ("date", 70, _date),
        ("time", 50, _time),
        ("spelling", 800, _spelling),
    )
    yield from (("plain", texts) for texts in table["plain"])
    for name, count, make in classes:
        choice = random.Random(f"{seed} {name}")
        yield from ((name, make(table, choice)) for _ in range(count))


def announcements() -> Iterator[tuple[str, Texts]]:
    """Yields "announcement" and what telephone systems, and other machines that speak, may say, in five languages."""
    yield from (("announcement", texts) for texts in _rows("announcements.tsv"))


def _rows(name: str) -> Iterator[dict[str, str]]:
    lines = (resources.files(__package__) / name).read_text(encoding="utf-8").splitlines()
    yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)


def _menu(table: dict[str, list[Texts]], choice: random.Random) -> Texts:
    template, action, digit = choice.choice(table["menu"]), choice.choice(table["action"]), choice.randrange(10)
    figure = choice.random() < 0.5
    return {
        language: template[language].format(n=digit if figure else words(digit, language), a=action[language])
        for language in LANGUAGES
    }


_STATEMENTS = {
    "en": (
        "{noun} has been {state}",
        "{noun} is now {state}",
        "{noun} has not been {state}",
        "{noun} does not exist",
        "here is {noun}",
    ),
    "es": (
        "{noun} ha sido {state}",
        "{noun} ahora está {state}",
        "{noun} no ha sido {state}",
        "{noun} no existe",
        "aquí está {noun}",
    ),
    "fr": (
        "{noun} a été {state}",
        "{noun} est maintenant {state}",
        "{noun} n'a pas été {state}",
        "{noun} n'existe pas",
        "voici {noun}",
    ),
    "it": (
        "{noun} è {been} {state}",
        "{noun} ora è {state}",
        "{noun} non è {been} {state}",
        "{noun} non esiste",
        "ecco {noun}",
    ),
    "ru": ("{noun} {state}", "{noun} теперь {state}", "{noun} не {state}", "{noun} не существует", "вот {noun}"),
}


def _statement(table: dict[str, list[Texts]], choice: random.Random) -> Texts:
    noun, state, pattern = (
        choice.choice(table["noun"]),
        choice.choice(table["state"]),
        choice.choice((0, 0, 0, 1, 2, 3, 4)),
    )
    whole_sentence = choice.random() < 0.6
    texts = {"en": _STATEMENTS["en"][pattern].format(noun=noun["en"], state=state["en"])}
    for language in LANGUAGES[1:]:
        name, _, gender = noun[language].rpartition(" ")
        form = state[language].split()["mfn".index(gender)]
        been = "stata" if gender == "f" else "stato"
        texts[language] = _STATEMENTS[language][pattern].format(noun=name, state=form, been=been)
    return {language: text[0].upper() + text[1:] + "." for language, text in texts.items()} if whole_sentence else texts


def _amount(table: dict[str, list[Texts]], choice: random.Random) -> Texts:
    """Three to ninety-nine of something; never one or two at the end, which have a gender in Russian."""
    number = choice.choice([number for number in range(3, 100) if number % 10 > 2 or number % 10 == 0 or number == 12])
    template, thing = choice.choice(table["amount"]), choice.choice(table["count"])
    texts = {}
    for language in LANGUAGES:
        forms = thing[language].split()
        few = number % 10 in (3, 4) and number // 10 != 1
        form = forms[1 if few and language == "ru" else -1]
        texts[language] = template[language].format(c=f"{words(number, language)} {form}")
    return texts


def _digits(table: dict[str, list[Texts]], choice: random.Random) -> Texts:
    template = choice.choice(table["digits"])
    digits = [choice.randrange(10) for _ in range(choice.randint(2, 7))]
    return {
        language: template[language].format(d=" ".join(words(digit, language) for digit in digits))
        for language in LANGUAGES
    }


def _number(table: dict[str, list[Texts]], choice: random.Random) -> Texts:
    number = choice.choice((choice.randint(10, 99), choice.randint(100, 999), 100 * choice.randint(1, 9)))
    return {language: words(number, language) for language in LANGUAGES}


def _date(table: dict[str, list[Texts]], choice: random.Random) -> Texts:
    return date(choice.randrange(7), choice.randint(2, 31), choice.randrange(12))


def _time(table: dict[str, list[Texts]], choice: random.Random) -> Texts:
    return time(choice.randint(2, 12), choice.choice((10, 15, 20, 25, 30, 40, 45, 50)))


def _spelling(table: dict[str, list[Texts]], choice: random.Random) -> Texts:
    """What people spell to a machine, in English: a word; a date; a command, letters, digits or numbers in a row."""
    kind = choice.random()
    if kind < 0.12:
        day = f"{choice.choice(MONTHS['en']).lower()} {ordinal(choice.randint(1, 31), 'en')}"
        return {"en": f"{day} nineteen {words(choice.randint(11, 99), 'en')}"}
    if kind < 0.35:
        sentence = choice.choice(table["plain"])["en"].lower()
        return {"en": " ".join(choice.choice([word for word in re.findall("[a-z]+", sentence) if len(word) > 2]))}
    letters = [choice.choice(_LETTERS) for _ in range(choice.randint(0, 7))]
    figures = [choice.choice((*DIGITS["en"], "oh")) for _ in range(choice.randint(0, 5))]
    pairs = [words(choice.randint(10, 99), "en") for _ in range(choice.randint(1, 3))]
    command = [choice.choice(_COMMANDS)] if choice.random() < 0.25 else []
    return {"en": " ".join(command + letters + choice.choice((figures, figures, pairs))) or "repeat that"}
