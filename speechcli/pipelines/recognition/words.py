"""Group tokens into words, with their probabilities and times."""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from speechcli.decoding.alignment import align
from speechcli.text.characters import Characters
from speechcli.transcript import Word

Decode = Callable[[Sequence[int]], str]
"""Ids to text."""


class Spelled(NamedTuple):
    """A word of a text, and the places of its tokens."""

    word: str
    places: tuple[int, ...]
    """Indices of its tokens in the text."""


def spell(decode: Decode, tokens: Sequence[int], *, spaced: bool = True) -> list[Spelled]:
    """Find the words of a text and their tokens, for any kind of vocabulary.

    Args:
        decode: turns tokens into text.
        tokens: the tokens of the text; special tokens belong to no word.
        spaced: whether words are separated by spaces; otherwise each token is a word.
    """
    text = decode(tokens)
    ends = [0]
    for count in range(1, len(tokens) + 1):
        # A character of several tokens is complete with the last of them; before, the texts differ there.
        same = os.path.commonprefix([decode(tokens[:count]), text])
        ends.append(max(ends[-1], len(same)))
    if not spaced:
        parts = [text[start:end].strip() for start, end in pairwise(ends)]
        return [Spelled(word, (place,)) for place, word in enumerate(parts) if word]
    found = []
    for match in re.finditer(r"\S+", text):
        first, last = match.span()
        places = [place for place in range(len(tokens)) if ends[place] < last and ends[place + 1] > first]
        found.append(Spelled(match[0], tuple(places)))
    return found


class WordAligner:
    """Aligns the words of a text to the frames of its recording, by the logits of a CTC head.

    Args:
        decode: turns tokens into text.
        blank: the CTC blank.
        silent: ids that the head never predicts, such as the end of a text.
        vocabulary: size of the head's vocabulary.
        characters: the head's vocabulary, if it is not that of the text.
    """

    def __init__(
        self, decode: Decode, *, blank: int, silent: set[int], vocabulary: int, characters: Characters | None = None
    ) -> None:
        self._decode, self._blank, self._characters = decode, blank, characters
        self._silent, self._vocabulary = silent | {blank}, vocabulary

    def align(
        self, logits: Tensor, tokens: Sequence[int], logprobs: Sequence[float], *, seconds: float, spaced: bool
    ) -> tuple[Word, ...] | None:
        """Return the words of one text with their times.

        Args:
            logits: (frames, vocabulary) of the recording.
            tokens: the tokens of the text.
            logprobs: log-probability of each token.
            seconds: length of the recording.
            spaced: whether words are separated by spaces.

        Returns:
            The words with times in seconds; None if the text is too long for the recording.
        """
        spelled = spell(self._decode, tokens, spaced=spaced)
        labels, owned = self._of_tokens(tokens)
        if self._characters is not None:
            labels, owned = _of_characters(self._characters, spelled, " " if spaced else "")
        spans = align(logits.float().log_softmax(dim=-1), labels, blank=self._blank)
        if spans is None:
            return None
        frame = seconds / max(1, logits.size(0))
        by_place = {place: (spans[own[0]].start * frame, spans[own[-1]].end * frame) for place, own in owned if own}
        return with_times(spelled, logprobs, by_place)

    def _of_tokens(self, tokens: Sequence[int]) -> tuple[list[int], list[tuple[int, range]]]:
        """Return the labels for the head, and for the place of each token the indices of its labels."""
        kept = [place for place, token in enumerate(tokens) if token < self._vocabulary and token not in self._silent]
        return [tokens[place] for place in kept], [(place, range(i, i + 1)) for i, place in enumerate(kept)]


def _of_characters(
    characters: Characters, words: Sequence[Spelled], space: str
) -> tuple[list[int], list[tuple[int, range]]]:
    """Return the labels of words and the spaces between them, and for the first place of each word their indices."""
    labels: list[int] = []
    owned: list[tuple[int, range]] = []
    for word, places in words:
        labels += characters.encode(space) if labels else []
        start = len(labels)
        labels += characters.encode(word)
        owned.append((places[0], range(start, len(labels))))
    return labels, owned


def with_times(
    spelled: Sequence[Spelled], logprobs: Sequence[float], spans: Mapping[int, tuple[float, float]]
) -> tuple[Word, ...]:
    """Return words with the times of their tokens; a word without times is placed at the end of the previous one.

    Args:
        spelled: the words.
        logprobs: log-probability of each token.
        spans: start and end of tokens in seconds, by their index.
    """
    words, end = [], 0.0
    for word, places in spelled:
        times = [spans[place] for place in places if place in spans] or [(end, end)]
        end = times[-1][1]
        words.append(Word(word, times[0][0], end, math.exp(mean([logprobs[place] for place in places]))))
    return tuple(words)


def mean(values: Sequence[float]) -> float:
    """Return the mean; 0 for no values."""
    return math.fsum(values) / len(values) if values else 0.0
