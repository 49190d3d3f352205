"""Lets a Whisper encoder say what it makes of recordings, as classes of their frames for a smaller encoder to learn.

    python -m speechcli.recipes.embedded_data.teacher --whisper WHISPER-BASE --out taught train/fsdd.tsv train/an4.tsv

In: manifests of this recipe. Out, below --out: a manifest of the same name with a column `teacher`, and the classes, 25
a second. Frames of all recordings fall into classes by k-means, as in HuBERT (Hsu et al. 2021); what a voice or a room
has in all its frames is taken off first, a set and language at a time.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechcli.audio.log_mel import LogMelFeatures
from speechcli.audio.read import read_audio
from speechcli.checkpoints.bundle import Bundle, load
from speechcli.errors import ModelError
from speechcli.nn.frontend import WindowFrontend
from speechcli.recipes.embedded_data.arguments import make_parser
from speechcli.recipes.embedded_data.manifest import Row, read_rows

CLASSES = 256
FRAMES_PER_SECOND = 25
DIRECTIONS = 96
"""Of the frames that tell most of them apart; the others are noise to k-means."""
ROUNDS = 25
SPARE_SECONDS = 1
"""Of silence after a recording, which Whisper is used to hear; not its whole 30 seconds, which cost too much."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the classes."""
    parser = make_parser("speechcli.recipes.embedded_data.teacher", __doc__, "--out")
    parser.add_argument("manifests", type=Path, nargs="+")
    parser.add_argument("--whisper", type=Path, required=True, help="folder of the Whisper model")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    bundle = load(options.whisper)
    rows = [(path, row) for path in options.manifests for row in read_rows(path)]
    heard = [hear(bundle, row) for _, row in rows]
    found = classes(heard, [f"{path.stem} {row.language}" for path, row in rows])
    for number, each in enumerate(found):
        place = options.out.resolve() / "classes" / f"{number:05d}.npy"
        place.parent.mkdir(parents=True, exist_ok=True)
        np.save(place, each.numpy().astype(np.int16))
    written = (options.out.resolve() / "classes" / f"{number:05d}.npy" for number in range(len(found)))
    for path in options.manifests:
        write_with_teacher(path, options.out / path.name, written)


@torch.inference_mode()
def hear(bundle: Bundle, row: Row) -> Tensor:
    """Returns what the encoder makes of a recording, (frames, width), 25 a second.

    Raises:
        ModelError: the model is no Whisper.
        InputError: the recording cannot be read.
    """
    features, frontend = bundle.features, bundle.model.encoder.frontend
    if not isinstance(features, LogMelFeatures) or not isinstance(frontend, WindowFrontend):
        raise ModelError(f"The teacher must be a Whisper model, but {bundle.name} is none.")
    samples = read_audio(row.path, sample_rate=features.sampling_rate).samples
    seconds = min(features.chunk_length, int(len(samples) / features.sampling_rate) + 1 + SPARE_SECONDS)
    window = replace(features, chunk_length=seconds)([samples]).values
    frontend.window = window.size(1)
    frames, _ = bundle.model.encoder.frames(window)
    count = max(1, min(round(row.seconds * FRAMES_PER_SECOND), frames.size(1) // 2))
    # (1, 2 * count, width) -> (count, width)
    return frames[0, : 2 * count].view(count, 2, -1).mean(1)


def classes(heard: Sequence[Tensor], groups: Sequence[str], *, count: int = CLASSES) -> list[Tensor]:
    """Sorts frames into classes.

    Args:
        heard: (frames, width) of each recording.
        groups: of each recording; what a group has in common tells no classes apart.
        count: of classes.

    Returns:
        (frames,) classes of each recording
    """
    lengths = [len(frames) for frames in heard]
    x = torch.nn.functional.layer_norm(torch.cat(list(heard)), heard[0].shape[1:])
    of_frames = np.repeat(np.asarray(groups), lengths)
    for group in sorted(set(groups)):
        places = torch.from_numpy(np.flatnonzero(of_frames == group))
        x[places] -= x[places].mean(0)
    x /= x.std(0) + 1e-3
    strength, direction = torch.linalg.eigh(x.T @ x / len(x))
    # half whitened: the strongest directions still count more
    x = x @ direction[:, -DIRECTIONS:] / strength[-DIRECTIONS:].clamp(min=1e-6) ** 0.25
    return list(torch.split(k_means(x, min(count, len(x))), lengths))


def k_means(x: Tensor, count: int) -> Tensor:
    """Returns the class (points,) of each point (points, width); an empty class begins anew at a random point."""
    centres = x[torch.randperm(len(x))[:count]].clone()
    for _ in range(ROUNDS):
        nearest = torch.cat([torch.cdist(part, centres).argmin(1) for part in torch.split(x, 20_000)])
        sizes = torch.bincount(nearest, minlength=count)[:, None]
        sums = torch.zeros_like(centres).index_add_(0, nearest, x)
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), x[torch.randint(len(x), (count,))])
    return nearest


def write_with_teacher(source: Path, target: Path, teachers: Iterator[Path]) -> None:
    """Writes a manifest once more, each row with the next teacher, and with paths that hold from anywhere."""
    with source.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    place = header.index("path")
    lines = ["\t".join([*header, "teacher"])]
    for row in rows:
        row[place] = str((source.parent / row[place]).resolve())
        lines.append("\t".join([*row, str(next(teachers))]))
    target.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
