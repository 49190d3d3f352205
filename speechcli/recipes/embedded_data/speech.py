"""Synthetic speech: every sentence of the plan, spoken, put into a little noise, and listed."""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from speechcli.recipes.embedded_data.manifest import HEADER, LANGUAGES, Row, read_rows, to_line
from speechcli.recipes.embedded_data.voices import Samples, check_installed, say

RATE = 16_000
HOURS = {"en": 5.0, "es": 4.0, "fr": 4.0, "it": 4.0, "ru": 4.0}
_AT_ONCE = 200
_LETTER_NAMES = dict(zip(
    "abcdefghijklmnopqrstuvwxyz",
    "ay bee see dee ee eff jee aitch eye jay kay ell em en oh pee cue ar ess tee you vee double-you ex why zee".split(),
    strict=True,
))  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One sentence to be spoken in one language; `seed` fixes voice, speed, pitch and level."""

    id: str
    language: str
    texts: Mapping[str, str]
    spelled: bool
    folder: Path
    seed: str


def plan(chosen: Sequence[tuple[str, Mapping[str, str]]], folder: Path, seed: int = 0) -> dict[str, list[Line]]:
    """Puts the sentences of each language in a random order.

    Args:
        chosen: (source, texts) pairs.
        folder: where the audio goes.
        seed: fixes order and voices.

    Returns:
        Language to its lines.
    """
    lines: dict[str, list[Line]] = {language: [] for language in LANGUAGES}
    for number, (source, texts) in enumerate(chosen):
        speakable = not any(re.search(r"[*#/@]", text) for text in texts.values())
        for language in texts if speakable else ():
            name = f"{language}-{number:05d}"
            lines[language].append(
                Line(f"synthetic/{name}", language, texts, source == "spelling", folder, f"{seed} {name}")
            )
    for language in LANGUAGES:
        random.Random(f"{seed} {language}").shuffle(lines[language])
    return lines


def speak(lines: Mapping[str, list[Line]], out: Path, hours: Mapping[str, float], processes: int = 2) -> Iterator[Row]:
    """Speaks the lines of each language until it has its hours, and appends each to ``synthetic_<language>.tsv``.

    A second run goes on where the first one stopped. The languages grow side by side, so that training may begin
    before the end.

    Args:
        lines: what `plan` returned.
        out: the folder of the manifests.
        hours: language to hours wanted; the lines may give less.
        processes: how many voices speak at once.

    Yields:
        Each row when it is written.

    Raises:
        UsageError: a synthesiser is not installed.
    """
    check_installed()
    have = {language: _begun(out / f"synthetic_{language}.tsv") for language in LANGUAGES}
    seconds = {language: sum(rows.values()) for language, rows in have.items()}
    shares = {language: len(lines[language]) for language in LANGUAGES}
    waiting = sorted(
        ((index / shares[line.language], line) for own in lines.values() for index, line in enumerate(own)),
        key=lambda entry: entry[0],
    )
    todo = [line for _, line in waiting if line.id not in have[line.language]]
    with Pool(processes) as pool:
        for start in range(0, len(todo), _AT_ONCE):
            batch = todo[start : start + _AT_ONCE]
            batch = [line for line in batch if seconds[line.language] < hours[line.language] * 3600]
            for row in pool.imap(_speak_line, batch):
                seconds[row.language] += row.seconds
                with (out / f"synthetic_{row.language}.tsv").open("a", encoding="utf-8") as file:
                    file.write(to_line(row) + "\n")
                yield row


def _begun(path: Path) -> dict[str, float]:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER + "\n", encoding="utf-8")
    return {row.id: row.seconds for row in read_rows(path)}


def _speak_line(line: Line) -> Row:
    import soundfile
    import soxr

    choice = random.Random(line.seed)
    text = line.texts[line.language]
    if line.spelled:
        words = [_LETTER_NAMES.get(word, word) for word in text.split()]
        text = (", " if choice.random() < 0.3 else " ").join(words)
    samples, rate, speaker = say(text, line.language, choice)
    samples = _finish(soxr.resample(samples, rate, RATE), choice)
    path = line.folder / line.language / f"{Path(line.id).name}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return Row(line.id, path, len(samples) / RATE, speaker, line.language, dict(line.texts))


def faded(left: Samples, right: Samples, overlap: int) -> Samples:
    """Joins two recordings, of which the last samples of one fade into the first of the other."""
    ramp = np.linspace(0, 1, overlap, dtype=np.float32)
    seam = left[-overlap:] * (1 - ramp) + right[:overlap] * ramp
    return np.concatenate([left[:-overlap], seam, right[overlap:]])


def _finish(samples: Samples, choice: random.Random) -> Samples:
    """Trims silence, puts a little faint noise around and below the speech, and sets a level."""
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    speech = samples[loud[0] : loud[-1] + 1]
    before, after = (int(choice.uniform(0.03, 0.3) * RATE) for _ in range(2))
    padded = np.pad(speech, (before, after)) * (choice.uniform(0.15, 0.9) / float(np.abs(speech).max()))
    noise = np.random.default_rng(choice.getrandbits(32)).standard_normal(len(padded)) * 10 ** choice.uniform(-4.5, -3)
    return (padded + noise).clip(-1, 1).astype(np.float32)
