"""Where each phone of a recording is said: phones by espeak-ng, their places by hidden Markov models.

One model a phone, three states, one Gaussian of mel cepstra each, trained on the very recordings that are aligned
(flat start, then Viterbi training: Rabiner 1989, section VI). For one voice in a quiet room that is enough.
"""

import re
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torchaudio

from speechcli.recipes.embedded_data.speech import RATE

HOP = 128
"""Samples from one frame to the next."""
STATES = 3
"""Of a phone; a pause has one."""
ROUNDS = 14
ESPEAK = {"en": "en-us", "es": "es-419", "fr": "fr-fr", "it": "it", "ru": "ru"}
Array = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


class Phone(NamedTuple):
    """A phone of a sentence."""

    name: str
    stressed: bool
    first: bool
    """Whether a word begins with it."""
    last: bool
    """Whether a word ends with it."""


class Place(NamedTuple):
    """A phone and the frames in which it is said; silence is a phone too."""

    phone: Phone
    start: int
    end: int


PAUSE = Phone("_", False, True, True)


def phones(text: str, language: str) -> list[list[Phone]]:
    """Reads a text as espeak-ng does.

    Args:
        text: one sentence.
        language: one of the keys of `ESPEAK`.

    Returns:
        The phones of each word; `[PAUSE]` between two clauses.
    """
    command = ["espeak-ng", "-v", ESPEAK[language], "-q", "-x", "--sep=_", "--", text]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    words: list[list[Phone]] = []
    for clause in said.splitlines():
        words += [[PAUSE]] if words else []
        words += [word for written in clause.split() if (word := _word(written))]
    return words


def _word(written: str) -> list[Phone]:
    """One word of espeak-ng's mnemonics, such as ``n_'V_m_b_3``."""
    spoken: list[tuple[str, bool]] = []
    for mark in written.split("_"):
        # what is spoken weaker or longer is the same phone
        name = re.sub(r"[',|%=!?]|(?<=.)[2-]", "", mark)
        if name == ";" and spoken:
            spoken[-1] = (spoken[-1][0] + ";", spoken[-1][1])
        elif re.search(r"[\w@]", name):
            spoken.append((name, "'" in mark))
    last = len(spoken) - 1
    return [Phone(*each, number == 0, number == last) for number, each in enumerate(spoken)]


def cepstra(sounds: Sequence[Array]) -> list[Array]:
    """Listens to recordings of one voice.

    Args:
        sounds: (samples,) at 16 kHz, each.

    Returns:
        13 mel cepstra with their changes (frames, 26) of each, with mean 0 and deviation 1 over all of them.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the faint noise that is added against silence without any
        frames = [_cepstra(sound) for sound in sounds]
    everything = np.concatenate(frames)
    mean, deviation = everything.mean(0), everything.std(0)
    return [(frame - mean) / deviation for frame in frames]


def _cepstra(samples: Array) -> Array:
    wave = torch.from_numpy(samples * np.float32(32768))[None]
    plain = torchaudio.compliance.kaldi.mfcc(
        wave, sample_frequency=RATE, frame_shift=1000 * HOP / RATE, num_ceps=13, snip_edges=False, dither=1.0
    )
    change = torchaudio.functional.compute_deltas(plain.T).T
    return torch.cat([plain, change], dim=1).numpy()


def align(sounds: Sequence[Array], texts: Sequence[list[list[Phone]]]) -> list[list[Place]]:
    """Finds the phones of recordings of one voice.

    Args:
        sounds: what `cepstra` returned.
        texts: the words of each.

    Returns:
        The places of each recording, in order and without gaps, pauses included; empty for a recording that is shorter
        than its text.
    """
    chains = [_chain(words) for words in texts]
    names = {name: number for number, name in enumerate(sorted({state for chain in chains for state, _, _ in chain}))}
    numbers = [np.array([names[state] for state, _, _ in chain]) for chain in chains]
    paths = [_flat(sound, chain) for sound, chain in zip(sounds, chains, strict=True)]
    for _ in range(ROUNDS):
        means, variances = _estimate(sounds, numbers, paths, len(names))
        paths = [
            _best_path(_log_likelihoods(sound, means, variances)[:, own], chain) if len(path) else path
            for sound, own, chain, path in zip(sounds, numbers, chains, paths, strict=True)
        ]
    return [_places(path, chain) for path, chain in zip(paths, chains, strict=True)]


State = tuple[str, Phone, int]
"""The Gaussian's name, the phone, and the phone's number in its chain."""


def _chain(words: list[list[Phone]]) -> list[State]:
    """The states of a sentence; one of silence around each word."""
    spoken = [PAUSE]
    for word in words:
        spoken += [*word, PAUSE] if word != [PAUSE] else []
    return [
        (f"{phone.name} {state}", phone, number)
        for number, phone in enumerate(spoken)
        for state in range(1 if phone == PAUSE else STATES)
    ]


def _flat(sound: Array, chain: list[State]) -> Numbers:
    """Speech in equal parts over the states that are no silence, and silence where it is quiet at the ends."""
    spoken = np.array([number for number, (_, phone, _) in enumerate(chain) if phone != PAUSE])
    loud = np.flatnonzero(sound[:, 0] > np.quantile(sound[:, 0], 0.9) - 1.5)
    first, end = int(loud[0]), int(loud[-1]) + 1
    if end - first < len(spoken):
        return np.zeros(0, np.int64)
    path = np.zeros(len(sound), np.int64)
    path[first:end] = spoken[np.arange(end - first) * len(spoken) // (end - first)]
    path[end:] = len(chain) - 1
    return path


def _estimate(
    sounds: Sequence[Array],
    numbers: Sequence[Numbers],
    paths: Sequence[Numbers],
    count: int,
) -> tuple[Array, Array]:
    """Means and variances (states, cepstra) of what the paths say."""
    frames = np.concatenate([sound for sound, path in zip(sounds, paths, strict=True) if len(path)])
    states = np.concatenate([own[path] for own, path in zip(numbers, paths, strict=True) if len(path)])
    total = np.bincount(states, minlength=count)[:, None] + 2.0
    means, squares = np.zeros((count, frames.shape[1])), np.ones((count, frames.shape[1])) * 2.0
    np.add.at(means, states, frames)
    np.add.at(squares, states, np.square(frames))
    means /= total
    return means.astype(np.float32), np.maximum(squares / total - np.square(means), 0.02).astype(np.float32)


def _log_likelihoods(sound: Array, means: Array, variances: Array) -> Array:
    """(frames, states)."""
    precise = 1 / variances
    squares = np.square(sound) @ precise.T - 2 * sound @ (means * precise).T + (np.square(means) * precise).sum(1)
    found: Array = -0.5 * (squares + np.log(variances).sum(1))
    return found


def _best_path(likelihoods: Array, chain: list[State]) -> Numbers:
    """The state of each frame (frames,): each stays or goes on by one; silence between words may be left out."""
    count = len(chain)
    silent = np.array([phone == PAUSE for _, phone, _ in chain])
    may_skip = np.zeros(count, bool)
    may_skip[2:] = silent[1:-1]
    best = np.full(count, -np.inf, np.float32)
    best[:2] = likelihoods[0, :2]
    came = np.zeros((len(likelihoods), count), np.int8)
    skip = np.where(may_skip, 0, -np.inf).astype(np.float32)[2:]
    before = np.full(count + 2, -np.inf, np.float32)
    for frame in range(1, len(likelihoods)):
        before[2:] = best
        by_one, by_two = before[1:-1] > best, before[:-2].copy()
        by_two[2:] += skip
        stepped = np.maximum(best, before[1:-1])
        leapt = by_two > stepped
        came[frame] = np.where(leapt, 2, by_one)
        best = np.maximum(stepped, by_two) + likelihoods[frame]
    path = np.zeros(len(likelihoods), np.int64)
    path[-1] = count - 1 if best[-1] >= best[-2] else count - 2
    for frame in range(len(likelihoods) - 1, 0, -1):
        path[frame - 1] = path[frame] - came[frame, path[frame]]
    return path


def _places(path: Numbers, chain: list[State]) -> list[Place]:
    if not len(path):
        return []
    number = np.array([chain[state][2] for state in path])
    starts = [0, *(np.flatnonzero(np.diff(number)) + 1)]
    return [
        Place(chain[path[start]][1], int(start), int(end))
        for start, end in zip(starts, [*starts[1:], len(path)], strict=True)
    ]
