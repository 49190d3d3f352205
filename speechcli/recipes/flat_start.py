"""Finds when the letters of transcripts are spoken, without any model: labels of frames for random weights to learn.

    python -m speechcli.recipes.flat_start train.tsv --out aligned

With random weights, CTC and attention take long to find out which sounds are which letters, above all in small sets and
with pauses before and after the speech. Out: ``aligned/train.tsv``, the manifest with a column `teacher`, which
`--set objective.teacher_weight=0.7` uses: the letter of each frame, 25 a second.

As in the training of hidden Markov models (Rabiner 1989), the letters are first spread evenly over the speech, and a
small network learns them frame by frame; the most likely places of the letters, in their order, are what it learns
next, and so on. Case, accents, digits and punctuation are left out. Four hours take five minutes on one processor core.
"""

import argparse
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speechcli.audio.features import FilterbankFeatures
from speechcli.data.manifest import ManifestOptions, Utterance, read_manifest
from speechcli.data.waveform import read_waveform
from speechcli.data.write import manifest_bytes
from speechcli.errors import InputError
from speechcli.pipelines.files.outputs import refuse_replacing, write_atomically
from speechcli.recipes.embedded_data.arguments import exit_code, say

Frames = NDArray[np.int64]

SILENCE = 0
"""Label of a frame without a letter; the letters have the labels from 1."""
FEATURES = FilterbankFeatures(stride=4)
CONTEXT = 3
"""Frames before and after one that the network sees."""
WIDTH = 384
BATCH = 512
LOUDNESS = 0.4
"""Speech is louder than this share of the range between the 10th and the 95th percentile of a recording's frames."""
SHORTEST_PAUSE = 6
"""Frames; a shorter one in the speech gets letters, too, at first."""
PRIOR = 0.7
"""How much of the frequency of a label is divided out, without which all would be silence."""


class Spoken(NamedTuple):
    """A recording and what is said in it."""

    frames: Tensor
    """(frames, mel bins) in float16, normalized."""
    states: Frames
    """Labels in the order in which they are said; between words and around them a silence, which may be left out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the manifest and the labels; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m speechcli.recipes.flat_start",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("manifest", type=Path, help="recordings with transcripts")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--rounds", type=int, default=9, help="how often the letters are placed anew")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    return exit_code(lambda: _write(options.manifest, options.out.resolve(), options.rounds, options.seed))


def _write(manifest: Path, out: Path, rounds: int, seed: int) -> None:
    target = out / manifest.name
    refuse_replacing([target], [manifest])
    utterances = read_manifest(manifest, options=ManifestOptions(need_targets=False)).utterances
    letters = sorted({letter for each in utterances for letter in _letters(each.transcript or "") if letter != " "})
    if not letters:
        raise InputError(f"{manifest} must have transcripts with letters, but has none.")
    labels = {letter: number for number, letter in enumerate(letters, start=1)}
    spoken = [_spoken(utterance, labels) for utterance in utterances]
    places = [place for place, each in enumerate(spoken) if fits(each)]
    if not places:
        raise InputError(f"{manifest} must have recordings longer than their transcripts, but has none.")
    say(f"{len(places)} of {len(utterances)} recordings, {len(letters)} letters")
    torch.manual_seed(seed)
    found = align([spoken[place] for place in places], len(letters) + 1, rounds=rounds)
    taught = list(utterances)
    folder = out / "labels"
    folder.mkdir(parents=True, exist_ok=True)
    for number, (place, alignment) in enumerate(zip(places, found, strict=True)):
        path = folder / f"{number:05d}.npy"
        np.save(path, alignment.astype(np.int16))
        taught[place] = replace(taught[place], teacher=path)
    write_atomically(target, manifest_bytes(taught, target))


def _letters(text: str) -> str:
    """Small letters without accents, and spaces between words."""
    apart = unicodedata.normalize("NFD", text.lower())
    kept = "".join(each for each in apart if each.isalpha() or each.isspace())
    return " ".join(kept.split())


def _spoken(utterance: Utterance, labels: dict[str, int]) -> Spoken:
    frames = FEATURES([read_waveform(utterance, FEATURES.sampling_rate)]).values[0]
    states = [SILENCE]
    for word in _letters(utterance.transcript or "").split():
        states += [*(labels[letter] for letter in word), SILENCE]
    return Spoken(frames.half(), np.array(states))


def fits(spoken: Spoken) -> bool:
    """Whether there is a letter, and a frame of speech for each."""
    return 0 < int(np.count_nonzero(spoken.states)) <= len(_speech(spoken.frames))


def _speech(frames: Tensor) -> Frames:
    """The places of the frames that are speech, by their loudness."""
    loudness = frames.float().mean(dim=1).numpy()
    low, high = np.percentile(loudness, [10, 95])
    places = np.flatnonzero(loudness > low + LOUDNESS * (high - low))
    gaps = [
        range(one, other) for one, other in zip(places[:-1], places[1:], strict=True) if other - one < SHORTEST_PAUSE
    ]
    return np.array(sorted({*places.tolist(), *(place for gap in gaps for place in gap)}), dtype=np.int64)


def align(spoken: Sequence[Spoken], classes: int, *, rounds: int) -> list[Frames]:
    """Places the letters of all recordings.

    Args:
        spoken: recordings that `fits` accepts.
        classes: number of labels, silence included.
        rounds: how often the letters are placed anew.

    Returns:
        For each recording the labels of its frames (frames,).
    """
    found = [_spread(each) for each in spoken]
    net = _Net(FEATURES.num_mel_bins * FEATURES.stride, classes)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    silence = torch.zeros(CONTEXT, spoken[0].frames.size(1), dtype=torch.half)
    frames = torch.cat([part for each in spoken for part in (silence, each.frames)] + [silence])
    lengths = [len(each.frames) for each in spoken]
    starts = np.cumsum([CONTEXT, *(length + CONTEXT for length in lengths[:-1])])
    places = torch.cat([torch.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)])
    for turn in range(rounds):
        labels = torch.from_numpy(np.concatenate(found))
        loss = _learn(net, optimizer, frames, places, labels, epochs=2 if turn == 0 else 1)
        prior = torch.bincount(labels, minlength=classes) / len(labels)
        scores = _scores(net, frames, places) - PRIOR * prior.clamp(min=1e-8).log()
        split = torch.split(scores, lengths)
        found = [best_path(part.numpy(), each.states) for part, each in zip(split, spoken, strict=True)]
        changed = (torch.from_numpy(np.concatenate(found)) != labels).float().mean().item()
        say(f"round {turn + 1}: loss {loss:.3f}, {changed:.1%} of the frames changed")
    return found


def _spread(spoken: Spoken) -> Frames:
    """The letters in their order, evenly over the frames of speech."""
    letters, speech = spoken.states[spoken.states != SILENCE], _speech(spoken.frames)
    labels = np.full(len(spoken.frames), SILENCE)
    labels[speech] = letters[np.arange(len(speech)) * len(letters) // len(speech)]
    return labels


class _Net(nn.Module):
    """Log-probabilities of the labels of a frame, from the frames around it."""

    def __init__(self, bins: int, classes: int) -> None:
        super().__init__()
        layers = [nn.Linear(bins * (2 * CONTEXT + 1), WIDTH), nn.ReLU(), nn.Dropout(0.1)]
        layers += [nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Dropout(0.1), nn.Linear(WIDTH, classes)]
        self.layers = nn.Sequential(*layers)

    def forward(self, frames: Tensor, places: Tensor) -> Tensor:
        """(all frames, bins), (batch,) -> (batch, classes)."""
        around = places[:, None] + torch.arange(-CONTEXT, CONTEXT + 1)
        return self.layers(frames[around].float().flatten(1)).log_softmax(dim=-1)  # type: ignore[no-any-return]


def _learn(
    net: _Net, optimizer: torch.optim.Optimizer, frames: Tensor, places: Tensor, labels: Tensor, *, epochs: int
) -> float:
    """Learns all frames once for each epoch; returns the mean loss."""
    net.train()
    losses = []
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(labels)), BATCH):
            loss = nn.functional.nll_loss(net(frames, places[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
    return sum(losses) / len(losses)


@torch.inference_mode()
def _scores(net: _Net, frames: Tensor, places: Tensor) -> Tensor:
    net.eval()
    return torch.cat([net(frames, part) for part in torch.split(places, 8 * BATCH)])


def best_path(scores: NDArray[np.float32], states: Frames) -> Frames:
    """The most likely labels of frames if states are passed in their order, silences perhaps not (Viterbi 1967).

    Args:
        scores: (frames, labels) log-probabilities; as many frames as letters, at least.
        states: (states,) labels; the first, the last and no two neighbors are silences.

    Returns:
        (frames,) labels.
    """
    said = scores[:, states]
    impossible = np.full(2, -np.inf)
    skips = np.concatenate([[False, False], states[1:-1] == SILENCE])
    best = np.concatenate([said[0, :2], np.full(len(states) - 2, -np.inf)])
    steps = np.zeros(said.shape, dtype=np.int64)
    for frame in range(1, len(said)):
        before = np.concatenate([impossible, best])
        ways = np.stack([best, before[1:-1], np.where(skips, before[:-2], -np.inf)])
        steps[frame] = ways.argmax(axis=0)
        best = ways.max(axis=0) + said[frame]
    state = len(states) - 1 if best[-1] > best[-2] else len(states) - 2
    path = []
    for frame in range(len(said) - 1, -1, -1):
        path.append(states[state])
        state -= steps[frame, state]
    return np.array(path[::-1])


if __name__ == "__main__":
    sys.exit(main())
