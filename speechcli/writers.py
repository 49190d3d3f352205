"""Output formats of transcripts: txt, json, jsonl, srt, vtt, tsv and manifest, as UTF-8 bytes.

The output does not depend on the locale, and texts are never interpreted as markup.
"""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from speechcli.subtitles import DEFAULT_SHAPE, CueShape, make_cues
from speechcli.transcript import Segment, Transcript, one_line

_NUMBER_LIST = re.compile(r"\[\n\s+-?\d+(?:,\n\s+-?\d+)*\n\s+\]")
_JSON_BREAKS = {ord(char): f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"}


class Writer(Protocol):
    """One format."""

    def write(self, transcript: Transcript) -> bytes:
        """Return the whole output of one recording."""
        ...


class TxtWriter:
    """One line of text."""

    def write(self, transcript: Transcript) -> bytes:
        """Return the text as one line."""
        return encode(one_line(transcript.text) + "\n")


class JsonWriter:
    """One indented JSON object, a superset of Whisper's."""

    def write(self, transcript: Transcript) -> bytes:
        """Return the object, followed by a line break."""
        return encode(indented(transcript.to_dict()) + "\n")


class JsonlWriter:
    """One JSON object on one line."""

    def write(self, transcript: Transcript) -> bytes:
        """Return the object, followed by a line break."""
        return json_line(transcript.to_dict())


@dataclass(frozen=True)
class SrtWriter:
    """SubRip subtitles; if channels are transcribed separately, each begins with the number of its channel."""

    shape: CueShape

    def write(self, transcript: Transcript) -> bytes:
        """Return the subtitles, numbered from 1."""
        cues = (
            f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n"
            + ("" if cue.channel is None else f"{cue.channel}: ")
            + "".join(line.replace("-->", "->") + "\n" for line in cue.lines)
            for number, cue in enumerate(make_cues(transcript, self.shape), start=1)
        )
        return encode("\n".join(cues))


@dataclass(frozen=True)
class VttWriter:
    """WebVTT subtitles; if channels are transcribed separately, each channel is a voice."""

    shape: CueShape

    def write(self, transcript: Transcript) -> bytes:
        """Return the subtitles."""
        cues = (
            f"\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n"
            + ("" if cue.channel is None else f"<v {cue.channel}>")
            + "".join(_escape(line) + "\n" for line in cue.lines)
            for cue in make_cues(transcript, self.shape)
        )
        return encode("WEBVTT\n" + "".join(cues))


class TsvWriter:
    """Whisper's table: start, end and text of each segment, in milliseconds."""

    def write(self, transcript: Transcript) -> bytes:
        """Return a header and a line for each segment."""
        rows = (
            f"{_milliseconds(segment.start)}\t{_milliseconds(segment.end)}\t{one_line(segment.text)}\n"
            for segment in transcript.segments
        )
        return encode("start\tend\ttext\n" + "".join(rows))


class ManifestWriter:
    """JSON lines for `speechcli train`: pseudo-labels with confidence."""

    def write(self, transcript: Transcript) -> bytes:
        """Return a line for each segment that has text."""
        return b"".join(
            json_line(
                {
                    "audio": os.path.abspath(transcript.path),
                    "start": round(segment.start, 3),
                    "end": round(segment.end, 3),
                    "src_lang": transcript.language,
                    "tgt_lang": transcript.target_language,
                    "text": segment.text,
                    "confidence": round(math.exp(segment.avg_logprob), 4),
                }
            )
            for segment in _spoken(transcript.segments)
        )


def indented(value: Mapping[str, Any]) -> str:
    """Return an indented JSON object, with each list of integers on one line."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2)
    # JSON strings never contain raw line breaks.
    return _NUMBER_LIST.sub(lambda match: re.sub(r"\s+", " ", match[0]).replace("[ ", "[").replace(" ]", "]"), text)


def json_line(value: Mapping[str, Any]) -> bytes:
    """Return a JSON object on one line; Unicode line separators are escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return encode(text.translate(_JSON_BREAKS) + "\n")


def encode(text: str) -> bytes:
    r"""Encode text as UTF-8; undecodable bytes of file names become `\udcXX`, as in JSON."""
    return text.encode("utf-8", "backslashreplace")


def _spoken(segments: Sequence[Segment]) -> list[Segment]:
    return [segment for segment in segments if one_line(segment.text)]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _clock(milliseconds: int, point: str) -> str:
    whole, rest = divmod(milliseconds, 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{rest:03d}"


def _escape(text: str) -> str:
    # A raw "-->" ends a cue; with ">" escaped it cannot occur.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def make_writers(shape: CueShape = DEFAULT_SHAPE) -> dict[str, Writer]:
    """Return a writer for each format; the shape is for subtitles."""
    return {
        "txt": TxtWriter(),
        "json": JsonWriter(),
        "jsonl": JsonlWriter(),
        "srt": SrtWriter(shape),
        "vtt": VttWriter(shape),
        "tsv": TsvWriter(),
        "manifest": ManifestWriter(),
    }
