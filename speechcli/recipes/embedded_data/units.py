"""Any sentence in the voice of the real prompts, put together from their phones.

    python -m speechcli.recipes.embedded_data.units --data RECORDINGS --catalogues CATALOGUES --out data

In: the training prompts, and the sentences that the synthesisers say (sentences.py). Out, below --out:
``train/units_<language>.tsv`` and the audio.

Unit selection (Hunt and Black 1996): of all recorded phones, those are taken whose neighbours, stress and place in the
word fit, and which join without a jump in the spectrum; phones that were said one after the other join for nothing, so
known words and phrases come out whole.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from speechcli.audio.read import read_audio
from speechcli.recipes.embedded_data.arguments import make_parser
from speechcli.recipes.embedded_data.manifest import (
    LANGUAGES,
    Row,
    held_out_manifests,
    held_out_texts,
    write_rows,
)
from speechcli.recipes.embedded_data.phones import HOP, PAUSE, Array, Numbers, Phone, align, cepstra, phones
from speechcli.recipes.embedded_data.real import real_rows
from speechcli.recipes.embedded_data.sentences import choose
from speechcli.recipes.embedded_data.speech import RATE, Line, faded, plan

HOURS = 7.0
"""Of speech, each language."""
CANDIDATES = 100
"""Of one phone, that are compared."""
JOIN, JUMP = 0.9, 3.0
"""Costs of a join, and of each squared deviation of the spectrum in it."""
MISFIT = np.array([0, 1.0, 1.0, 0.8, 0.3, 0.3, 0.5, 1.0], np.float32)
"""Costs where a phone differs from the wanted one: in its name, the names before and behind it, its stress, its place
in the word, and whether a pause comes before or behind it."""
UNFIT = 2.0
CHANCE = 0.4
"""So much may a phone cost more for no reason: the same sentence never sounds the same."""
SHORTEST, LONGEST_PAUSE = 4, RATE * 2 // 5 // HOP
"""Frames."""
FADE, LAG = RATE // 125, RATE // 160
"""Samples that two sides of a join overlap, and that the second one may come later to be in step."""


@dataclass(frozen=True)
class Voice:
    """All phones of one voice, in the order in which they were said."""

    recordings: list[Array]
    spans: list[tuple[int, int, int]]
    """Of each phone: recording, first sample, sample after the last."""
    places: dict[str, Numbers]
    """Name of a phone to its numbers."""
    traits: npt.NDArray[np.object_]
    """(phones, traits): see `_traits`."""
    unfit: npt.NDArray[np.bool_]
    """(phones,): too short to be right, or a long pause."""
    begins: Array
    """(phones, cepstra): the spectrum where each begins."""
    ends: Array

    @classmethod
    def of(cls, rows: Sequence[Row], language: str) -> "Voice":
        """Cuts recordings into phones."""
        sounds = [read_audio(row.path, sample_rate=RATE).samples for row in rows]
        frames = cepstra(sounds)
        aligned = align(frames, [phones(row.transcript, language) for row in rows])
        spans, traits, unfit, begins, ends = [], [], [], [], []
        for number, (frame, found) in enumerate(zip(frames, aligned, strict=True)):
            frame = np.pad(frame, ((1, 1), (0, 0)), "edge")
            traits += _traits([place.phone for place in found])
            for phone, start, end in found:
                spans.append((number, start * HOP, end * HOP))
                unfit.append(end - start < SHORTEST or (phone == PAUSE and end - start > LONGEST_PAUSE))
                begins.append(frame[start : start + 2].mean(0))
                ends.append(frame[end : end + 2].mean(0))
        places: dict[str, list[int]] = defaultdict(list)
        for number, (name, *_) in enumerate(traits):
            places[str(name)].append(number)
        return cls(
            recordings=sounds, spans=spans, places={name: np.array(own) for name, own in places.items()},
            traits=np.array(traits, dtype=object), unfit=np.array(unfit), begins=np.stack(begins), ends=np.stack(ends),
        )  # fmt: skip

    def select(self, wanted: Sequence[Phone], choice: np.random.Generator) -> list[int]:
        """Returns the numbers of the phones that say a sentence best; none where one was never said."""
        candidates, costs = [], []
        for target in _traits(wanted):
            found = self.places.get(str(target[0]))
            if found is None:
                return []
            differs = (self.traits[found] != np.array(target, dtype=object)).astype(np.float32)
            cost = differs @ MISFIT + UNFIT * self.unfit[found] + choice.uniform(0, CHANCE, len(found))
            best = np.argsort(cost)[:CANDIDATES]
            candidates.append(found[best])
            costs.append(cost[best])
        total, came = costs[0], []
        for (left, right), cost in zip(pairwise(candidates), costs[1:], strict=True):
            ways = total[:, None] + self._joins(left, right)
            came.append(ways.argmin(0))
            total = ways.min(0) + cost
        at = int(total.argmin())
        path = [int(candidates[-1][at])]
        for step, numbers in zip(reversed(came), reversed(candidates[:-1]), strict=True):
            at = int(step[at])
            path.append(int(numbers[at]))
        return path[::-1]

    def _joins(self, left: Numbers, right: Numbers) -> Array:
        """(left, right): nothing for phones said one after the other."""
        ends, starts = self.ends[left], self.begins[right]
        squares = np.square(ends).sum(1)[:, None] + np.square(starts).sum(1) - 2 * ends @ starts.T
        cost: Array = JOIN + JUMP * squares / ends.shape[1]
        return np.where(left[:, None] + 1 == right, np.float32(0), cost)

    def said(self, numbers: Sequence[int]) -> Array:
        """Joins the sound of phones, each run fading into the next where they are most in step."""
        runs: list[list[int]] = []
        for number in numbers:
            if runs and number == runs[-1][-1] + 1 and self.spans[number][0] == self.spans[runs[-1][-1]][0]:
                runs[-1].append(number)
            else:
                runs.append([number])
        joined = np.zeros(0, np.float32)
        for run in runs:
            recording, start, _ = self.spans[run[0]]
            joined = _join(joined, self.recordings[recording], start, self.spans[run[-1]][2])
        return joined


def _traits(said: Sequence[Phone]) -> list[tuple[str | bool, ...]]:
    """Of each phone: its name, the names before and behind it, and what else `MISFIT` weighs."""
    around = zip([PAUSE, *said], said, [*said[1:], PAUSE], strict=False)
    return [
        (own.name, before.name, behind.name, own.stressed, own.first, own.last, before == PAUSE, behind == PAUSE)
        for before, own, behind in around
    ]


def _join(joined: Array, recording: Array, start: int, end: int) -> Array:
    start = max(start - FADE // 2, 0)
    if len(joined) < FADE:
        return recording[start:end]
    window = recording[start : start + LAG + FADE]
    if len(window) > FADE:
        energy = np.sqrt(np.convolve(np.square(window), np.ones(FADE), "valid")) + 1e-4
        start += int((np.correlate(window, joined[-FADE:], "valid") / energy).argmax())
    piece = recording[start : end + FADE // 2]
    if len(piece) < FADE:
        return joined
    return faded(joined, piece, FADE)


def speak(voice: Voice, line: Line) -> Row | None:
    """Says one line and writes its audio; None for one that needs a phone that was never said."""
    text = line.texts[line.language]
    wanted = [PAUSE, *(phone for word in phones(text, line.language) for phone in word), PAUSE]
    numbers = voice.select(wanted, np.random.default_rng(list(line.seed.encode())))
    if not numbers:
        return None
    samples = voice.said(numbers)
    path = line.folder / line.language / f"{Path(line.id).name}.flac"
    soundfile.write(path, samples.clip(-1, 1), RATE, subtype="PCM_16")
    return Row(
        f"units/{path.stem}", path, len(samples) / RATE, f"units {line.language}", line.language, dict(line.texts)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the recordings."""
    parser = make_parser("speechcli.recipes.embedded_data.units", __doc__, "--data", "--catalogues", "--out")
    parser.add_argument("--hours", type=float, default=HOURS, help="of speech, each language")
    parser.add_argument("--language", action="append", choices=LANGUAGES, help="only these")
    options = parser.parse_args(arguments)
    rows = real_rows(options.data, "asterisk", "train")
    held_out = held_out_texts(held_out_manifests(options.data))
    folder = options.out.resolve() / "audio" / "units"
    lines = plan(choose(rows, options.catalogues, held_out).chosen, folder)
    for language in options.language or LANGUAGES:
        (folder / language).mkdir(parents=True, exist_ok=True)
        voice = Voice.of([row for row in rows if row.language == language], language)
        spoken = list(_until(voice, lines[language], options.hours * 3600))
        write_rows(options.out / "train" / f"units_{language}.tsv", spoken)


def _until(voice: Voice, lines: Sequence[Line], seconds: float) -> Iterator[Row]:
    for line in lines:
        row = None if line.spelled else speak(voice, line)
        if row is not None:
            yield row
            seconds -= row.seconds
        if seconds < 0:
            return


if __name__ == "__main__":
    main()
