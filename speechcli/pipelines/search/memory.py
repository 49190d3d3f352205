"""A translation memory: finds the texts with translations that resemble a transcript most."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechcli.data.manifest import ManifestOptions, read_manifest
from speechcli.errors import InputError
from speechcli.text.languages import language_code

NGRAMS = (2, 3, 4, 5)
"""Lengths of the character n-grams that texts are compared by."""
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""Of the hashes: odd, its bits without a pattern (Knuth's, from the golden ratio)."""


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
    """Pairs of texts in one pair of languages, with an inverted index of their n-grams."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        distinct = dict.fromkeys(pairs)
        self._translations = [translation for _, translation in distinct]
        texts = [_ngrams(text) for text, _ in distinct]
        keys, places = np.concatenate(texts), np.repeat(np.arange(len(texts)), [len(ngrams) for ngrams in texts])
        order = np.argsort(keys, kind="stable")
        # the texts with the n-gram keys[i] are places[starts[i] : starts[i + 1]]
        self._keys, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
        self._places, self._starts = places[order], np.append(starts, len(places))
        self._weights, self._unknown = (np.log1p(len(texts) / number) ** 2 for number in (counts, 1))
        self._norms = np.sqrt(np.bincount(self._places, np.repeat(self._weights, counts)))

    def similar(self, text: str, count: int) -> list[Match]:
        ngrams = _ngrams(text)
        found = np.searchsorted(self._keys, ngrams).clip(max=len(self._keys) - 1)
        known = self._keys[found] == ngrams
        products = np.zeros(len(self._translations))
        for number in found[known]:
            products[self._places[self._starts[number] : self._starts[number + 1]]] += self._weights[number]
        norm = np.sqrt(np.where(known, self._weights[found], self._unknown).sum())
        cosines = products / (self._norms * norm)
        best = np.argsort(-cosines, kind="stable")[:count]
        return [Match(self._translations[place], float(cosines[place])) for place in best if cosines[place] > 0]


def _ngrams(text: str) -> NDArray[np.uint64]:
    """The distinct n-grams of a text, as hashes that are the same in every run, in ascending order."""
    codes = np.array([ord(each) for each in f" {' '.join(text.lower().split())} "], dtype=np.uint64)
    found = []
    for length in (each for each in NGRAMS if each <= len(codes)):
        windows = np.lib.stride_tricks.sliding_window_view(codes, length)
        hashes = np.full(len(windows), length, dtype=np.uint64)
        for column in windows.T:
            hashes = hashes * MULTIPLIER + column
        found.append(hashes)
    return np.unique(np.concatenate(found))


def _code(language: str | None) -> str | None:
    return None if language is None else language_code(language)
