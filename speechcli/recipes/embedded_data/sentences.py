"""Which sentences are spoken: all sources together, without a single text of the dev and test recordings."""

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from speechcli.recipes.embedded_data.catalogues import read_catalogues
from speechcli.recipes.embedded_data.manifest import LANGUAGES, Row, normalise
from speechcli.recipes.embedded_data.phrases import Texts, announcements, closed_classes

PARALLEL, SOME_LANGUAGES = 12_000, 2500
"""Sentences of the catalogues, those nearest to a telephone: in all languages, and in whatever languages there are."""
WIDER, NEW = 2300, 0.12
"""More of them for their new words: of each, on average, a word that was heard n times counting 1 / (1 + n)."""
RECOMBINED = 160
_TELEPHONY = re.compile(
    r"\b(call|caller|phone|telephone|dial|ring|hang|line|extension|operator|voice|mailbox|voicemail|message|greeting|tone|"
    r"conference|meeting|participant|user|leader|speaker|microphone|mut|unmut|volume|audio|sound|speak|talk|hear|listen|record|"
    r"play|paus|press|enter|key|digit|number|code|pin|password|login|invalid|incorrect|wrong|error|try|again|please|wait|hold|"
    r"busy|availab|answer|forward|transfer|connect|disconnect|block|contact|address|directory|name|menu|option|select|choose|"
    r"choice|list|add|remov|delet|sav|cancel|confirm|send|sent|receiv|repl|next|previous|first|last|new|old|urgent|folder|"
    r"open|clos|lock|start|stop|exit|join|leave|left|invit|welcome|thank|sorry|goodbye|hello|minute|second|hour|day|week|month|"
    r"year|time|date|today|tomorrow|yesterday|time|language|account|balance|office|home|work|family|friend|door|light|weather|"
    r"temperature|alarm|network|server|system|service|activat|enabl|disabl|on|off|yes|no|not|you|your|we|our|now|currently)\w*",
    re.IGNORECASE,
)


@dataclass
class Sentences:
    """The chosen sentences and what happened on the way.

    Attributes:
        chosen: (source, texts) pairs, each spoken in all its languages.
        dropped: source to the number of texts (all languages) thrown away because one of them is in dev or test.
    """

    chosen: list[tuple[str, Texts]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    dropped_sentences: Counter[str] = field(default_factory=Counter)


def choose(prompts: Iterable[Row], catalogues: Path | None, held_out: frozenset[str], seed: int = 0) -> Sentences:
    """Collects the sentences of every source.

    Args:
        prompts: the training rows of asterisk, for their texts.
        catalogues: the folder of unpacked packages; None leaves that source out.
        held_out: normalised dev and test texts; a sentence with one of them in any language is dropped whole.
        seed: fixes the choice.

    Returns:
        Distinct sentences: no two share their English text.
    """
    sentences, seen = Sentences(), set[str]()

    def take(source: str, texts: Texts) -> bool:
        leaks = sum(normalise(text) in held_out for text in texts.values())
        key = normalise(texts["en"])
        if leaks:
            sentences.dropped[source] += len(texts)
            sentences.dropped_sentences[source] += 1
        if leaks or key in seen:
            return False
        seen.add(key)
        sentences.chosen.append((source, texts))
        return True

    for source, texts in (*_prompts(list(prompts), random.Random(seed)), *closed_classes(seed), *announcements()):
        take(source, texts)
    ranked = _ranked(catalogues) if catalogues else []
    whole = [(source, texts) for source, texts in ranked if len(texts) == len(LANGUAGES)]
    for candidates, wanted in ((whole, PARALLEL), (ranked, SOME_LANGUAGES)):
        for source, texts in candidates:
            if wanted:
                wanted -= take(source, texts)
    known = Counter(word for _, texts in sentences.chosen for word in set(_words(texts["en"])))
    wanted = WIDER
    for source, texts in sorted(whole, key=lambda entry: _newness(entry[1], known), reverse=True):
        if wanted and _newness(texts, known) > NEW and take(source, texts):
            wanted -= 1
            known.update(set(_words(texts["en"])))
    return sentences


def _prompts(rows: list[Row], choice: random.Random) -> Iterator[tuple[str, Texts]]:
    """Training prompts as they are, and pairs of them that have the same languages."""
    distinct = {row.texts["en"]: {name: row.texts[name] for name in LANGUAGES if name in row.texts} for row in rows
                if "en" in row.texts}  # fmt: skip
    short = [texts for texts in distinct.values() if _longest(texts) <= 14]
    yield from (("asterisk train", texts) for texts in short)
    whole = [texts for texts in short if len(texts) == len(LANGUAGES) and _longest(texts) <= 7]
    for _ in range(RECOMBINED if len(whole) > 1 else 0):
        first, second = choice.sample(whole, 2)
        yield "asterisk train, two joined", {name: f"{first[name]} {second[name]}" for name in LANGUAGES}


def _longest(texts: Texts) -> int:
    return max(len(text.split()) for text in texts.values())


def _ranked(folder: Path) -> list[tuple[str, Texts]]:
    """Catalogue sentences, those nearest to a telephone first."""
    found = list(read_catalogues(folder))
    # words in lower case only: names, which never are, count as rare
    counts = Counter(word for _, texts in found for word in set(re.findall(r"\b[a-z']+\b", texts["en"])))

    def score(entry: tuple[str, Texts]) -> float:
        words = _words(entry[1]["en"])
        rare = sum(counts[word] < 6 for word in words)
        near = len(_TELEPHONY.findall(entry[1]["en"]))
        return (near - 2.0 * rare) / len(words) + (0.6 if entry[0].startswith("android") else 0.0)

    return sorted(found, key=score, reverse=True)


def _newness(texts: Texts, known: Counter[str]) -> float:
    words = _words(texts["en"])
    return sum(1 / (1 + known[word]) for word in set(words)) / len(words)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())
