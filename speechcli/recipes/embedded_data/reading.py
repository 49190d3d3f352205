"""What the language model of the embedded model reads: texts, and transcripts with a translation after them."""

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from speechcli.recipes.embedded_data.catalogues import READ_WORDS, Texts, clean_text, read_catalogues, read_sentences
from speechcli.recipes.embedded_data.manifest import LANGUAGES, held_out_manifests, held_out_texts, normalise
from speechcli.recipes.embedded_data.phrases import announcements, closed_classes
from speechcli.recipes.embedded_data.real import SETS, real_rows
from speechcli.recipes.embedded_data.vocabulary import LANGUAGE_TAGS
from speechcli.text.tokenizer import Tokenizer

Line = tuple[str, str]
"""A language and a text in it."""

LONGEST = 120
"""Tokens of a text; longer ones are cut."""
MOST_SENTENCES = 40_000
"""Of the text files, in each language."""
PHRASE_SEEDS, PROMPT_COPIES, SPELLING_COPIES = 3, 8, 2
"""How many times the recipe's phrases are put together anew, and prompts and spelled texts are listed."""
UNENDED, LOWERED, SENTENCED = 0.15, 0.15, 0.15
"""Parts of the texts that vary that lose their full stop, and their capital too, or gain both, as prompts do."""
PLAIN_E = 0.75
"""Part of the other Russian texts that lose the dots of "ё", which most prompts leave out."""
TRANSLATED, ENGLISH = 0.88, 0.7
"""Part of the examples that have a translation, and part of the translations that are English."""
MISHEARD = 0.3
"""Part of the transcripts that have errors, as those of the speech model do."""
WRONG_TOKENS, MISSING_TOKENS = 0.07, 0.03
"""Parts of their tokens that are replaced by any other, and left out."""


class Source(NamedTuple):
    """Texts in several languages."""

    share: float
    """Part of the translations that is from here."""
    varied: float
    """Part of them whose capital and full stop may change."""
    entries: list[Texts]


class Example(NamedTuple):
    """What is read at once, as tokens."""

    text: tuple[int, ...]
    """As the decoder writes it: its start, the language, the text and its end."""
    heard: tuple[int, ...] = ()
    """A transcript, in the same form, whose translation the text is."""
    misheard: bool = False
    """Whether the transcript has errors."""


class Reading:
    """Everything that is read; no text is that of a dev or test recording.

    Args:
        data: the folder of the recordings, for the texts of their training parts.
        catalogues: the folder of unpacked packages; None leaves that source out.
        sentences: a folder with a folder of text files for each language; None leaves that source out.
        seed: fixes the recipe's phrases and the choice of sentences.

    Attributes:
        fixed: texts that are read as they are written.
        varied: texts whose capital and full stop may change.
        sources: texts with translations.
    """

    def __init__(self, data: Path, catalogues: Path | None, sentences: Path | None, seed: int) -> None:
        held_out = held_out_texts(held_out_manifests(data))
        rows = {name: real_rows(data, name, "train") for name in SETS}
        prompts = _distinct(row.texts for row in rows["asterisk"])
        classes = [texts for turn in range(PHRASE_SEEDS) for _, texts in closed_classes(seed + turn)]
        said = [texts for _, texts in announcements()]
        translated = _distinct(texts for _, texts in read_catalogues(catalogues)) if catalogues else []

        shares = ((0.35, 1.0, translated), (0.47, 0.5, said), (0.07, 0.3, prompts), (0.05, 0.0, classes))
        kept = [Source(share, varied, _with_translations(texts, held_out)) for share, varied, texts in shares]
        # words of a closed set are in dev and test, too
        kept.append(Source(0.06, 0.0, [row.texts for row in rows["arabic_commands"] if len(row.texts) > 1]))
        self.sources = [source for source in kept if source.entries]

        choice = random.Random(seed)
        general = list(read_sentences(catalogues)) if catalogues else []
        general += _sentences(sentences, choice) if sentences else []
        distinct = {(language, normalise(text)): (language, text) for language, text in general}
        lines = [line for texts in prompts for line in texts.items()]
        phrases = [line for texts in [*classes, *said] for line in texts.items()]
        spelled = [line for row in rows["an4"] for line in row.texts.items()]
        # as many words as there are recordings, so that nothing is learned of those of a closed set
        words = [(row.language, row.transcript) for name in ("fsdd", "arabic_commands") for row in rows[name]]
        meanings = [line for row in rows["arabic_commands"] for line in row.texts.items() if line[0] != row.language]
        fixed = phrases + lines * (PROMPT_COPIES // 2) + spelled * SPELLING_COPIES
        self.fixed = _without(fixed, held_out) + words + meanings
        self.varied = _without([*distinct.values(), *lines * (PROMPT_COPIES // 2)], held_out)

    def examples(self, tokenizer: Tokenizer, choice: random.Random) -> Iterator[Example]:
        """Yields examples without end."""
        while True:
            if self.sources and choice.random() < TRANSLATED:
                yield self._translation(tokenizer, choice)
            elif self.varied and choice.random() < 0.5:
                language, text = choice.choice(self.varied)
                yield Example(encode((language, _plain(_vary(text, choice.random()), language, choice)), tokenizer))
            else:
                language, text = choice.choice(self.fixed)
                yield Example(encode((language, _plain(text, language, choice)), tokenizer))

    def _translation(self, tokenizer: Tokenizer, choice: random.Random) -> Example:
        (source,) = choice.choices(self.sources, [source.share for source in self.sources])
        texts = choice.choice(source.entries)
        if choice.random() < source.varied:
            draw = choice.random()
            texts = {language: _vary(text, draw) for language, text in texts.items()}
        written = "en" if choice.random() < ENGLISH else choice.choice(sorted(texts))
        spoken = choice.choice(sorted(texts.keys() - {written}))
        heard, text = (
            encode((language, _plain(texts[language], language, choice)), tokenizer) for language in (spoken, written)
        )
        if choice.random() < MISHEARD:
            return Example(text, _misheard(heard, tokenizer, choice), misheard=True)
        return Example(text, heard)


def encode(line: Line, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The tokens of a text as the decoder writes them: its start, the language, the text and its end."""
    language, text = line
    tag = tokenizer.backend.token_to_id(next(tag for tag in LANGUAGE_TAGS if tag.startswith(f"{language}_")))
    assert tag is not None
    return (tokenizer.end_id, tag, *tokenizer.encode(text)[: LONGEST - 3], tokenizer.end_id)


def _distinct(entries: Iterable[Texts]) -> list[Texts]:
    return list({tuple(sorted(texts.items())): texts for texts in entries}.values())


def _with_translations(entries: Iterable[Texts], held_out: frozenset[str]) -> list[Texts]:
    return [
        texts
        for texts in entries
        if "en" in texts and len(texts) > 1 and not any(normalise(text) in held_out for text in texts.values())
    ]


def _without(lines: Iterable[Line], held_out: frozenset[str]) -> list[Line]:
    return [(language, text) for language, text in lines if normalise(text) not in held_out]


def _sentences(folder: Path, choice: random.Random) -> Iterator[Line]:
    for language in LANGUAGES:
        files = sorted((folder / language).glob("*.txt"))
        texts = (text for path in files for text in path.read_text(encoding="utf-8").splitlines())
        clean = [tidy for text in texts if (tidy := clean_text(text, language, words=READ_WORDS))]
        yield from ((language, text) for text in choice.sample(clean, min(len(clean), MOST_SENTENCES)))


def _plain(text: str, language: str, choice: random.Random) -> str:
    return text.replace("ё", "е") if language == "ru" and choice.random() < PLAIN_E else text


def _vary(text: str, draw: float) -> str:
    """Prompts are written with and without a capital and a full stop; so is every text, then, and its translation."""
    if draw < UNENDED + LOWERED:
        text = text.rstrip(".!")
    if draw < LOWERED and not text.startswith(("I ", "I'")):
        text = text[:1].lower() + text[1:]
    if UNENDED + LOWERED <= draw < UNENDED + LOWERED + SENTENCED and text[-1:].isalpha():
        text = text[:1].upper() + text[1:] + "."
    return text


def _misheard(heard: Sequence[int], tokenizer: Tokenizer, choice: random.Random) -> tuple[int, ...]:
    start, tag, *text, end = heard
    wrong: list[int] = []
    for token in text:
        draw = choice.random()
        if draw < WRONG_TOKENS:
            wrong.append(choice.randrange(tokenizer.vocabulary_size))
        elif draw >= WRONG_TOKENS + MISSING_TOKENS:
            wrong.append(token)
    return (start, tag, *wrong, end)
