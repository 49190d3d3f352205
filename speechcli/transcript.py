"""Transcripts: the result of transcribe and translate."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

SCHEMA = 1

# Everything that `str.splitlines` or a spreadsheet treats as the end of a line or a cell.
_BREAKS = re.compile("[\t\n\x0b\x0c\r\x1c\x1d\x1e\x85\u2028\u2029]+")


@dataclass(frozen=True)
class Word:
    """A word with its times."""

    word: str
    """The text of the word, without the space before it."""
    start: float
    """Seconds from the start of the recording."""
    end: float
    """Seconds from the start of the recording."""
    probability: float
    """Probability of the word, from 0 to 1."""

    def later(self, seconds: float) -> "Word":
        """Return the word with its times shifted."""
        return replace(self, start=self.start + seconds, end=self.end + seconds)

    def to_dict(self) -> dict[str, Any]:
        """Return the word as a JSON object."""
        return {
            "word": self.word,
            "start": _seconds(self.start),
            "end": _seconds(self.end),
            "probability": _number(self.probability),
        }


@dataclass(frozen=True)
class Alternative:
    """Another text for a segment, from `--num-return`."""

    text: str
    """The text."""
    avg_logprob: float
    """Mean log-probability of its tokens."""

    def to_dict(self) -> dict[str, Any]:
        """Return the alternative as a JSON object."""
        return {"text": self.text, "avg_logprob": _number(self.avg_logprob)}


@dataclass(frozen=True)
class Segment:
    """A segment of a transcript."""

    id: int
    """Counted from 0 in each recording."""
    start: float
    """Seconds from the start of the recording."""
    end: float
    """Seconds from the start of the recording."""
    text: str
    """The text, in the target language."""
    tokens: tuple[int, ...] = ()
    """Token ids after the prompt."""
    avg_logprob: float = 0.0
    """Mean log-probability of the tokens."""
    compression_ratio: float = 0.0
    """Length of the text divided by its length after zlib compression; above 2.4 it is probably repetitive."""
    suspect: bool = False
    """Whether the text is repetitive, and probably hallucinated."""
    no_speech_prob: float | None = None
    """Probability that there is no speech, if the model predicts it; above 0.6, texts of low confidence are dropped."""
    words: tuple[Word, ...] | None = None
    """The words with times, if requested and available."""
    alternatives: tuple[Alternative, ...] = ()
    """Alternative texts, best first."""
    channel: int | None = None
    """Number of the channel, from 0, if channels are transcribed separately."""

    def to_dict(self) -> dict[str, Any]:
        """Return the segment as a JSON object; optional fields are left out if they are empty."""
        values: dict[str, Any] = {
            "id": self.id,
            "start": _seconds(self.start),
            "end": _seconds(self.end),
            "text": self.text,
            "tokens": list(self.tokens),
            "avg_logprob": _number(self.avg_logprob),
            "compression_ratio": _number(self.compression_ratio),
        }
        if self.channel is not None:
            values["channel"] = self.channel
        if self.suspect:
            values["suspect"] = True
        if self.no_speech_prob is not None:
            values["no_speech_prob"] = _number(self.no_speech_prob)
        if self.words is not None:
            values["words"] = [word.to_dict() for word in self.words]
        if self.alternatives:
            values["alternatives"] = [alternative.to_dict() for alternative in self.alternatives]
        return values


@dataclass(frozen=True)
class Transcript:
    """The transcript of one recording in one language."""

    path: str
    """The input as the user gave it; `-` for standard input."""
    text: str
    """All segments as one text."""
    language: str | None = None
    """Code of the spoken language, if known."""
    target_language: str | None = None
    """Code of the language of the text, if known."""
    duration: float = 0.0
    """Seconds of audio."""
    segments: tuple[Segment, ...] = ()
    """The segments, in order."""
    model: str = ""
    """Name of the model."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The options that are not at their defaults."""
    start: float = 0.0
    """Seconds of the recording before the audio that was transcribed."""

    def to_dict(self) -> dict[str, Any]:
        """Return the transcript as a JSON object, a superset of Whisper's."""
        return {
            "schema": SCHEMA,
            "path": self.path,
            "text": self.text,
            "language": self.language,
            "target_language": self.target_language,
            "duration": _seconds(self.duration),
            "segments": [segment.to_dict() for segment in self.segments],
            "model": self.model,
            "options": dict(self.options),
        }


def one_line(text: str) -> str:
    """Put a text on one line: line breaks and tabs of any script become one space."""
    return _BREAKS.sub(" ", text).strip()


def _seconds(value: float) -> float:
    return round(value, 3)


def _number(value: float) -> float | None:
    # JSON has no infinity: a forced token that is also suppressed has the log-probability -inf.
    return round(value, 4) if math.isfinite(value) else None
