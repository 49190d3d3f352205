"""Checkpoints of a run: written whole or not at all, checked when read.

A checkpoint is a model folder `checkpoints/step-00001000` with what a resumed run needs in its folder `training`. It is
written beside its place, flushed to the disk, marked by a file `COMPLETE` with the size and SHA-256 of every file, and
then renamed.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from speechcli.errors import InputError, ModelError, OutputError

MARKER = "COMPLETE"
STATE = "training"


class TrainState(NamedTuple):
    """What a resumed run goes on with, besides the model's weights."""

    progress: dict[str, Any]
    """JSON: step, position in the data, seconds trained, evaluations so far."""
    optimizer: dict[str, Any]
    """The optimizer's `state_dict`."""
    weights: dict[str, Tensor] | None
    """The weights that learn, where the saved model is their running mean."""


def save_checkpoint(folder: Path, save_model: Callable[[Path], None], state: TrainState) -> None:
    """Write a checkpoint so that it is either there and complete, or not there.

    Args:
        folder: where the checkpoint will be; something already there is replaced.
        save_model: writes the model into a folder.
        state: what a resumed run needs.

    Raises:
        OutputError: if the disk is full or the folder cannot be written.
    """
    with _atomic_folder(folder) as temporary:
        save_model(temporary)
        state_folder = temporary / STATE
        state_folder.mkdir()
        torch.save(state.optimizer, state_folder / "optimizer.pt")
        if state.weights is not None:
            torch.save(state.weights, state_folder / "weights.pt")
        (state_folder / "progress.json").write_text(json.dumps(state.progress, indent=1) + "\n", encoding="utf-8")


def load_checkpoint(folder: Path) -> TrainState:
    """Read what `save_checkpoint` wrote, after checking every file's checksum.

    Raises:
        ModelError: if the checkpoint is incomplete, damaged, or has no training state.
    """
    verify_checkpoint(folder)
    state_folder = folder / STATE
    if not (state_folder / "progress.json").is_file():
        raise ModelError(f"A run resumes from a checkpoint with training state, but {folder} has only the model.")
    weights = state_folder / "weights.pt"
    return TrainState(
        json.loads((state_folder / "progress.json").read_text(encoding="utf-8")),
        torch.load(state_folder / "optimizer.pt", map_location="cpu", weights_only=True),
        torch.load(weights, map_location="cpu", weights_only=True) if weights.is_file() else None,
    )


def verify_checkpoint(folder: Path) -> None:
    """Compare every file with the marker's sizes and checksums.

    Raises:
        ModelError: if the marker is absent, or a file is absent or differs.
    """
    marker = folder / MARKER
    if not marker.is_file():
        raise ModelError(f"A checkpoint has a file {MARKER}, but {folder} has none: it was not written to its end.")
    for name, expected in json.loads(marker.read_text(encoding="utf-8")).items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != expected["bytes"] or _sha256(path) != expected["sha256"]:
            raise ModelError(f"The checkpoint {folder} is damaged: {name} is not what was written.")


def checkpoints(run: Path) -> list[Path]:
    """Return the complete checkpoints of a run, oldest first."""
    return sorted(path.parent for path in (run / "checkpoints").glob(f"step-*/{MARKER}"))


def checkpoint_folder(run: Path, step: int) -> Path:
    """Return the place of a step's checkpoint."""
    return run / "checkpoints" / f"step-{step:08d}"


def latest_checkpoint(run: Path) -> Path:
    """Return the newest checkpoint that training can go on from.

    Raises:
        InputError: if the run has none.
    """
    for folder in reversed(checkpoints(run)):
        if (folder / STATE / "progress.json").is_file():
            return folder
    raise InputError(f"A run resumes from a checkpoint, but {run} has none.", hint="leave out --resume to start anew")


def prune_checkpoints(run: Path, *, keep: set[Path], newest: int) -> None:
    """Delete all checkpoints but those to keep and the newest few; only the newest keeps its training state.

    Call it only after a checkpoint is written: there is always one complete checkpoint to resume from.
    """
    folders = checkpoints(run)
    for folder in folders[:-1]:
        if folder not in keep and folder not in folders[-newest:]:
            (folder / MARKER).unlink()  # first: a half-deleted folder must not look complete
            shutil.rmtree(folder)
        elif (folder / STATE).is_dir():
            _drop_state(folder)


def publish(folder: Path, target: Path) -> None:
    """Make `target` a model folder with the checkpoint's files, without its training state; links where possible."""
    with _atomic_folder(target, marked=False) as temporary:
        for source in sorted(path for path in folder.iterdir() if path.is_file() and path.name != MARKER):
            try:
                os.link(source, temporary / source.name)
            except OSError:
                shutil.copy2(source, temporary / source.name)


def _drop_state(folder: Path) -> None:
    marker = folder / MARKER
    files = json.loads(marker.read_text(encoding="utf-8"))
    left = {name: value for name, value in files.items() if not name.startswith(f"{STATE}/")}
    temporary = folder / f".{MARKER}"
    temporary.write_text(json.dumps(left, indent=1), encoding="utf-8")
    temporary.replace(marker)
    shutil.rmtree(folder / STATE)


@contextmanager
def _atomic_folder(folder: Path, *, marked: bool = True) -> Iterator[Path]:
    temporary = folder.with_name(f".{folder.name}.writing")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        if marked:
            _write_marker(temporary)
        _flush(temporary)
        if folder.exists():
            old = folder.with_name(f".{folder.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
            temporary.rename(folder)
            shutil.rmtree(old)
        else:
            temporary.rename(folder)
        _flush_one(folder.parent)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_marker(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    entries = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in files
    }
    (folder / MARKER).write_text(json.dumps(entries, indent=1), encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        _flush_one(path)
    _flush_one(folder)


def _flush_one(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
