"""A translation memory: finds the texts with translations that resemble a transcript most."""

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from speechcli.data.manifest import ManifestOptions, read_manifest
from speechcli.errors import InputError
from speechcli.text.languages import language_code

NGRAMS = (2, 3, 4, 5)
"""Lengths of the character n-grams that texts are compared by."""


class Match(NamedTuple):
    """A translation of a text that resembles a transcript."""

    translation: str
    similarity: float
    """Cosine of the texts' n-grams weighted by their inverse document frequency, from 0 to 1."""


class TranslationMemory:
    """The texts of a manifest with translations, compared by their character n-grams.

    N-grams also find words that were misheard or inflected in another way, and rare ones count more (tf-idf with binary
    counts).

    Args:
        path: a manifest; rows need no recording.

    Raises:
        InputError: the manifest cannot be read, or has no text with a translation.
    """

    def __init__(self, path: Path) -> None:
        read = read_manifest(path, options=ManifestOptions(texts_only=True)).utterances
        pairs: dict[tuple[str | None, str | None], list[tuple[str, str]]] = defaultdict(list)
        for row in read:
            if row.transcript is None:
                continue
            for target in row.targets:
                languages = _code(row.language), _code(target.language)
                if target.language is None or languages[0] != languages[1]:
                    pairs[languages].append((row.transcript, target.text))
        if not pairs:
            raise InputError(
                f"`--memory {path}` must have texts with translations, but has none in {len(read)} rows.",
                hint="It needs columns such as src_lang, src_text and text_en.",
            )
        self._parts = {languages: _Part(found) for languages, found in pairs.items()}

    def similar(self, text: str, *, spoken: str | None, written: str | None, count: int) -> list[Match]:
        """Return the most similar texts' translations, the best first.

        Args:
            text: a transcript.
            spoken: its language, in any spelling; None: unknown, so that all are searched.
            written: the language of the translations; likewise.
            count: maximum number of results.
        """
        wanted = _code(spoken), _code(written)
        parts = [
            part
            for languages, part in self._parts.items()
            if all(None in pair or pair[0] == pair[1] for pair in zip(wanted, languages, strict=True))
        ]
        found = [match for part in parts for match in part.similar(text, count)]
        return sorted(found, key=lambda match: -match.similarity)[:count]


class _Part:
    """Pairs of texts in one pair of languages."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        distinct = dict.fromkeys(pairs)
        self._translations = [translation for _, translation in distinct]
        texts = [_ngrams(text) for text, _ in distinct]
        places: dict[str, array[int]] = defaultdict(lambda: array("q"))
        for place, ngrams in enumerate(texts):
            for ngram in ngrams:
                places[ngram].append(place)
        self._places = dict(places)
        self._weights = {ngram: math.log1p(len(texts) / len(each)) ** 2 for ngram, each in places.items()}
        self._unknown = math.log1p(len(texts)) ** 2
        self._norms = torch.tensor([self._norm(ngrams) for ngrams in texts])

    def similar(self, text: str, count: int) -> list[Match]:
        ngrams = _ngrams(text)
        products: Tensor = torch.zeros(len(self._translations))
        for ngram in ngrams & self._places.keys():
            products[torch.frombuffer(self._places[ngram], dtype=torch.int64)] += self._weights[ngram]
        cosines = products / (self._norms * self._norm(ngrams))
        values, places = cosines.topk(min(count, len(cosines)))
        return [
            Match(self._translations[place], value)
            for place, value in zip(places.tolist(), values.tolist(), strict=True)
            if value > 0
        ]

    def _norm(self, ngrams: Iterable[str]) -> float:
        return math.sqrt(sum(self._weights.get(ngram, self._unknown) for ngram in ngrams))


def _ngrams(text: str) -> set[str]:
    text = f" {' '.join(text.lower().split())} "
    return {text[first : first + length] for length in NGRAMS for first in range(len(text) - length + 1)}


def _code(language: str | None) -> str | None:
    return None if language is None else language_code(language)
