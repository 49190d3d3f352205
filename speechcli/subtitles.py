"""Readable subtitles from segments: limited lines, line lengths and reading speed."""

import itertools
import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from speechcli.transcript import Segment, Transcript, one_line

# Punctuation at the end of sentences and clauses, in all scripts.
_ENDS = frozenset(".!?…,;:。！？，、；：؟،؛।")
_JOINER = "\u200d"


@dataclass(frozen=True)
class CueShape:
    """The shape of subtitles."""

    max_chars: int = 42
    """Maximum characters per line."""
    max_lines: int = 2
    """Maximum lines per subtitle."""
    max_cps: float = 21.0
    """Maximum characters per second, as far as pauses leave room."""


DEFAULT_SHAPE = CueShape()


@dataclass(frozen=True)
class Cue:
    """One subtitle."""

    start: int
    """In milliseconds."""
    end: int
    """In milliseconds, after the start and not after the start of the next of its channel."""
    lines: tuple[str, ...]
    channel: int | None = None
    """Number of the channel, if channels are transcribed separately."""


def make_cues(transcript: Transcript, shape: CueShape) -> list[Cue]:
    """Cut the text of a recording into subtitles.

    A subtitle has the times of its words if they are known, otherwise a share of the segment by number of characters.
    Subtitles with more characters per second than the limit stay on screen in the following pause.
    """
    spoken = [segment for segment in transcript.segments if one_line(segment.text)]
    last = max([transcript.start + transcript.duration, *(segment.end for segment in spoken)])
    channels = dict.fromkeys(segment.channel for segment in spoken)
    cues = [
        cue
        for channel in channels
        for cue in _of_channel([segment for segment in spoken if segment.channel == channel], last, shape)
    ]
    return sorted(cues, key=lambda cue: cue.start)


def _of_channel(spoken: Sequence[Segment], last: float, shape: CueShape) -> list[Cue]:
    """Return the subtitles of successive segments; those of other channels may overlap."""
    limits = [*(segment.start for segment in spoken[1:]), last]
    timed = [part for segment, limit in zip(spoken, limits, strict=True) for part in _timed(segment, limit, shape)]
    cues: list[Cue] = []
    for number, (start, end, lines) in enumerate(timed):
        limit = timed[number + 1][0] if number + 1 < len(timed) else last
        end = max(end, min(start + _characters(lines) / shape.max_cps, limit))
        first = max(round(start * 1000), cues[-1].end if cues else 0)
        cues.append(Cue(first, max(round(end * 1000), first + 1), lines, spoken[0].channel))
    return cues


def _timed(segment: Segment, limit: float, shape: CueShape) -> Iterator[tuple[float, float, tuple[str, ...]]]:
    """Yield start, end and lines of each subtitle of a segment, whose last one may end at the limit."""
    lines = [
        _balanced(group, shape.max_chars) for group in _grouped(_tokens(one_line(segment.text), shape.max_chars), shape)
    ]
    if times := _times(segment):
        lasts = list(itertools.accumulate(len(_unspaced("".join(each))) for each in lines))
        for first, last, each in zip([0, *lasts], lasts, lines, strict=False):
            yield times[first][0], times[last - 1][1], each
        return
    read = list(itertools.accumulate(_characters(each) for each in lines))
    seconds = max(segment.end, min(segment.start + read[-1] / shape.max_cps, limit)) - segment.start
    ends = [segment.start + seconds * characters / read[-1] for characters in read]
    yield from zip([segment.start, *ends], ends, lines, strict=False)


def _times(segment: Segment) -> list[tuple[float, float]]:
    """Return start and end of each character apart from spaces, if the segment has the times of its words."""
    times = []
    for word in segment.words or ():
        letters = len(_unspaced(word.word))
        edges = [word.start + (word.end - word.start) * number / letters for number in range(letters + 1)]
        times += list(itertools.pairwise(edges))
    spelled = "".join(word.word for word in segment.words or ())
    return times if _unspaced(spelled) == _unspaced(segment.text) else []


def _unspaced(text: str) -> str:
    return "".join(text.split())


def _tokens(text: str, longest: int) -> list[str]:
    """Return the unbreakable parts of a text: words with the space before them, or the parts of very long words."""
    tokens = []
    for word in filter(None, text.split(" ")):
        first, *others = [word] if len(word) <= longest else _parts(word, longest)
        tokens += [" " + first, *others]
    return tokens


def _parts(word: str, longest: int) -> list[str]:
    """Split text without spaces, such as Japanese, between characters; not before combining marks and punctuation."""
    parts = [word[0]]
    for before, char in itertools.pairwise(word):
        joined = unicodedata.category(char).startswith("M") or _JOINER in (before, char) or char in _ENDS
        latin = before.isascii() and before.isalnum() and char.isascii() and char.isalnum()
        if (joined or latin) and len(parts[-1]) < longest:
            parts[-1] += char
        else:
            parts.append(char)
    return parts


def _grouped(tokens: Sequence[str], shape: CueShape) -> Iterator[Sequence[str]]:
    """Yield the tokens of each subtitle: as many as fit, preferably up to the end of a clause."""
    while tokens:
        count = _fitting(tokens, shape)
        if count < len(tokens):
            ends = [n for n in range(count // 2 + 1, count + 1) if tokens[n - 1][-1] in _ENDS]
            count = max(ends, default=count)
        yield tokens[:count]
        tokens = tokens[count:]


def _fitting(tokens: Sequence[str], shape: CueShape) -> int:
    for count in range(1, len(tokens)):
        if len(_wrapped(tokens[: count + 1], shape.max_chars)) > shape.max_lines:
            return count
    return len(tokens)


def _wrapped(tokens: Sequence[str], width: int) -> tuple[str, ...]:
    lines = [""]
    for token in tokens:
        longer = (lines[-1] + token).strip(" ")
        if len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(token.strip(" "))
    return tuple(line for line in lines if line)


def _balanced(tokens: Sequence[str], width: int) -> tuple[str, ...]:
    """Return as few lines as possible, of similar length."""
    fewest = _wrapped(tokens, width)
    narrowest = math.ceil(_characters(fewest) / len(fewest))
    choices = (_wrapped(tokens, narrow) for narrow in range(narrowest, width + 1))
    return next(lines for lines in choices if len(lines) == len(fewest) and max(map(len, lines)) <= width)


def _characters(lines: Sequence[str]) -> int:
    return sum(map(len, lines))
