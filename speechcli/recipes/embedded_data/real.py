"""Real recordings: the training manifests with absolute paths, and neighbours joined into new recordings.

A model that only hears whole prompts learns that a recording *is* one of the known prompts. Joined recordings of one
voice, two or three prompts or two to six digits with a short pause between, teach it to write what it hears instead.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechcli.recipes.embedded_data.manifest import DIGITS, LANGUAGES, Row, normalise, read_rows
from speechcli.recipes.embedded_data.voices import Samples

SETS = ("asterisk", "fsdd", "an4", "arabic_commands")
PROMPT_MINUTES = {"en": 12.0, "es": 7.0, "fr": 7.0, "it": 7.0, "ru": 7.0}
DIGIT_MINUTES = 25.0
SPELLING_MINUTES = 15.0


def real_rows(data: Path, name: str, split: str) -> list[Row]:
    """The rows of one set and split.

    Args:
        data: the folder that holds one folder for each set.
        name: the set.
        split: "train" or "dev".

    Returns:
        The rows; digits of fsdd carry their translation into every language.
    """
    rows = read_rows(data / name / f"{split}.tsv")
    return [with_digits(row) for row in rows] if name == "fsdd" else rows


def with_digits(row: Row) -> Row:
    """The row of an English digit, with its translation into every language."""
    digit = DIGITS["en"].index(row.transcript)
    texts = {language: DIGITS[language][digit] for language in LANGUAGES}
    return Row(row.id, row.path, row.seconds, row.speaker, row.language, texts)


def join_prompts(data: Path, out: Path, held_out: frozenset[str], seed: int = 0) -> Iterator[Row]:
    """Joins two or three telephone prompts of one language and of similar length.

    Args:
        data: the folder with the sets.
        out: where the audio is written.
        held_out: normalised texts that must not arise.
        seed: fixes the choice.

    Yields:
        One row for each recording written; a text exists in the languages that all its parts have.
    """
    rows = [row for row in real_rows(data, "asterisk", "train") if row.seconds <= 7 and "en" in row.texts]
    for language in LANGUAGES:
        choice = random.Random(f"{seed} {language}")
        own = sorted((row for row in rows if row.language == language), key=lambda row: row.seconds)
        groups = _neighbours(own, choice, reach=25, sizes=(2, 2, 3))
        yield from _joined(groups, out / "prompts", PROMPT_MINUTES[language], held_out, choice)


def join_digits(data: Path, out: Path, held_out: frozenset[str], seed: int = 0) -> Iterator[Row]:
    """Joins two to six digits of one voice of fsdd; arguments and rows as in `join_prompts`."""
    choice = random.Random(f"{seed} fsdd")
    speakers = _by_speaker(real_rows(data, "fsdd", "train"))
    groups = _one_voice(speakers, choice, sizes=(2, 3, 3, 4, 4, 5, 6))
    yield from _joined(groups, out / "digits", DIGIT_MINUTES, held_out, choice, pauses=(0.03, 0.3))


def join_spelling(data: Path, out: Path, held_out: frozenset[str], seed: int = 0) -> Iterator[Row]:
    """Joins two short an4 recordings of one voice; arguments and rows as in `join_prompts`."""
    choice = random.Random(f"{seed} an4")
    speakers = _by_speaker([row for row in real_rows(data, "an4", "train") if row.seconds <= 3.5])
    groups = _one_voice({name: rows for name, rows in speakers.items() if len(rows) > 2}, choice, sizes=(2,))
    yield from _joined(groups, out / "spelling", SPELLING_MINUTES, held_out, choice)


def _by_speaker(rows: Sequence[Row]) -> dict[str, list[Row]]:
    speakers: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        speakers[row.speaker].append(row)
    return speakers


def _neighbours(rows: Sequence[Row], choice: random.Random, *, reach: int, sizes: Sequence[int]) -> Iterator[list[Row]]:
    while True:
        start = choice.randrange(max(len(rows) - reach, 1))
        yield choice.sample(rows[start : start + reach], choice.choice(sizes))


def _one_voice(speakers: dict[str, list[Row]], choice: random.Random, *, sizes: Sequence[int]) -> Iterator[list[Row]]:
    names = sorted(speakers)
    while True:
        yield choice.sample(speakers[choice.choice(names)], choice.choice(sizes))


def _joined(
    groups: Iterator[list[Row]],
    folder: Path,
    minutes: float,
    held_out: frozenset[str],
    choice: random.Random,
    pauses: tuple[float, float] = (0.1, 0.5),
) -> Iterator[Row]:
    """Writes groups until there are enough minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    seen: set[tuple[str, ...]] = set()
    seconds = 0.0
    while seconds < minutes * 60:
        parts = next(groups)
        key = tuple(part.id for part in parts)
        texts = _joined_texts(parts)
        if key in seen or any(normalise(text) in held_out for text in texts.values()):
            continue
        seen.add(key)
        name = f"{parts[0].language}-{len(seen):05d}"
        row = Row(f"{folder.name}/{name}", folder / f"{name}.flac", 0.0, parts[0].speaker, parts[0].language, texts)
        length = _write_joined(parts, row.path, choice, pauses)
        seconds += length
        yield Row(row.id, row.path, length, row.speaker, row.language, texts)


def _joined_texts(parts: Sequence[Row]) -> dict[str, str]:
    common = set.intersection(*(set(part.texts) for part in parts))
    return {language: " ".join(part.texts[language] for part in parts) for language in sorted(common)}


def _write_joined(parts: Sequence[Row], path: Path, choice: random.Random, pauses: tuple[float, float]) -> float:
    """Joins the parts with pauses of their own background noise; returns the seconds."""
    import soundfile

    noise = np.random.default_rng(choice.getrandbits(32))
    pieces: list[Samples] = []
    rate = 0
    for part in parts:
        samples, rate = _read(soundfile, part.path)
        if pieces:
            pause = int(choice.uniform(*pauses) * rate)
            pieces.append((noise.standard_normal(pause) * _floor(samples, rate)).astype(np.float32))
        pieces.append(samples)
    joined = np.concatenate(pieces)
    soundfile.write(path, joined, rate, subtype="PCM_16")
    return len(joined) / rate


def _read(soundfile: Any, path: Path) -> tuple[Samples, int]:
    samples, rate = soundfile.read(path, dtype="float32")
    return samples, int(rate)


def _floor(samples: Samples, rate: int) -> float:
    """Root mean square of the quietest tenth of 10 ms frames."""
    size = rate // 100
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    return float(np.sqrt(np.quantile(np.square(frames).mean(axis=1), 0.1))) if len(frames) else 0.0
