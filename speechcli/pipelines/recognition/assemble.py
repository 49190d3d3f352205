"""Assemble the segments and the text of a recording from its decoded pieces."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from speechcli.pipelines.recognition.phrases import Phrase
from speechcli.pipelines.recognition.recognizer import Decoded
from speechcli.text.languages import has_spaces
from speechcli.transcript import Segment


class DecodedPiece(NamedTuple):
    """A decoded piece, without its audio."""

    start: float
    """In seconds, from the first sample that was read."""
    end: float
    """In seconds, from the first sample that was read."""
    channel: int | None
    decoded: tuple[Decoded, ...]
    """One per target language."""


def segments_of(pieces: Sequence[DecodedPiece], target: int, offset: float) -> tuple[Segment, ...]:
    """Return the segments of a recording, in order of time.

    Args:
        pieces: all pieces of the recording; channels one after the other, although their times overlap.
        target: index of the target language.
        offset: seconds before the first sample that was read.
    """
    segments = [segment for piece in pieces for segment in _of_piece(piece, piece.decoded[target], offset)]
    segments.sort(key=lambda segment: segment.start)
    return tuple(replace(segment, id=number) for number, segment in enumerate(segments))


def _of_piece(piece: DecodedPiece, decoded: Decoded, offset: float) -> Iterator[Segment]:
    begin = offset + piece.start
    whole = Phrase(0.0, piece.end - piece.start, decoded.tokens, decoded.text, decoded.words)
    for phrase in decoded.phrases or (whole,):
        yield Segment(
            id=0,
            start=begin + phrase.start,
            end=begin + phrase.end,
            text=phrase.text,
            tokens=phrase.tokens,
            avg_logprob=decoded.avg_logprob,
            compression_ratio=decoded.compression_ratio,
            suspect=decoded.suspect,
            no_speech_prob=decoded.no_speech_prob,
            words=phrase.words and tuple(word.later(begin) for word in phrase.words),
            alternatives=decoded.alternatives,
            channel=piece.channel,
        )


def join(texts: Sequence[str], language: str | None) -> str:
    """Join the texts of segments, with spaces if the language has them."""
    between = " " if has_spaces(language) else ""
    return between.join(text for text in texts if text)


def most_common_language(languages: Iterable[tuple[str | None, int]]) -> str | None:
    """Return the language with the most tokens; silence does not count."""
    totals: dict[str, int] = {}
    for language, tokens in languages:
        if language is not None:
            totals[language] = totals.get(language, 0) + tokens
    return max(totals, key=lambda language: totals[language], default=None)
