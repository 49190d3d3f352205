"""Checkpoints of a run: written atomically, and verified when read.

A checkpoint is a model folder `checkpoints/step-00001000` with a subfolder `training` for the state of the run. It is
written under a temporary name, flushed to the disk, marked by a file `COMPLETE` with the size and SHA-256 of every
file, and then renamed.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from speechcli.errors import InputError, ModelError, OutputError

MARKER = "COMPLETE"
STATE = "training"
STATE_FILE = "state.json"


class TrainState(NamedTuple):
    """The state of a run, apart from the weights of the model folder."""

    progress: dict[str, Any]
    """JSON: step, position in the data, seconds trained, evaluations so far."""
    optimizer: dict[str, Any]
    """The optimizer's `state_dict`."""
    weights: dict[str, Tensor] | None
    """The trained weights, if the saved model contains their average instead."""


def save_checkpoint(folder: Path, save_model: Callable[[Path], None], state: TrainState) -> None:
    """Write a checkpoint atomically.

    Args:
        folder: where to write the checkpoint; existing content is replaced.
        save_model: writes the model into a folder.
        state: the state of the run.

    Raises:
        OutputError: if the disk is full or the folder cannot be written.
    """
    with _atomic_folder(folder) as temporary:
        save_model(temporary)
        state_folder = temporary / STATE
        state_folder.mkdir()
        moments = {
            f"{number}.{name}": tensor
            for number, tensors in state.optimizer["state"].items()
            for name, tensor in tensors.items()
        }
        _write_tensors(state_folder / "optimizer.safetensors", moments)
        if state.weights is not None:
            _write_tensors(state_folder / "weights.safetensors", state.weights)
        record = {"progress": state.progress, "param_groups": state.optimizer["param_groups"]}
        (state_folder / STATE_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def load_checkpoint(folder: Path) -> TrainState:
    """Read the state of a run: tensors and JSON, no executable content.

    Args:
        folder: a complete checkpoint, as found by `latest_checkpoint`.

    Raises:
        ModelError: if the checkpoint has no training state.
    """
    state_folder = folder / STATE
    if not (state_folder / STATE_FILE).is_file():
        raise ModelError(f"A run resumes from a checkpoint with training state, but {folder} has only the model.")
    record = json.loads((state_folder / STATE_FILE).read_text(encoding="utf-8"))
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in load_file(state_folder / "optimizer.safetensors").items():
        number, _, name = key.partition(".")
        moments.setdefault(int(number), {})[name] = tensor
    weights = state_folder / "weights.safetensors"
    return TrainState(
        record["progress"],
        {"state": moments, "param_groups": record["param_groups"]},
        load_file(weights) if weights.is_file() else None,
    )


def verify_checkpoint(folder: Path) -> None:
    """Compare every file with the marker's sizes and checksums.

    Raises:
        ModelError: if the marker or a file is missing, or a file differs.
    """
    marker = folder / MARKER
    if not marker.is_file():
        raise ModelError(f"A checkpoint has a file {MARKER}, but {folder} has none: it was not written completely.")
    try:
        listed = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"The checkpoint {folder} is damaged: {MARKER} is not JSON.") from error
    for name, expected in listed.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != expected["bytes"] or _sha256(path) != expected["sha256"]:
            raise ModelError(f"The checkpoint {folder} is damaged: {name} is not what was written.")


def checkpoints(run: Path) -> list[Path]:
    """Return the complete checkpoints of a run, oldest first."""
    return sorted(path.parent for path in (run / "checkpoints").glob(f"step-*/{MARKER}"))


def checkpoint_folder(run: Path, step: int) -> Path:
    """Return the place of a step's checkpoint."""
    return run / "checkpoints" / f"step-{step:08d}"


def checkpoint_step(folder: Path) -> int:
    """Return the step of a checkpoint."""
    return int(folder.name.removeprefix("step-"))


def latest_checkpoint(run: Path) -> Path:
    """Return the newest complete checkpoint that training can resume from.

    Raises:
        InputError: if the run has none.
        ModelError: if all checkpoints are damaged.
    """
    damaged: ModelError | None = None
    for folder in reversed(checkpoints(run)):
        if not (folder / STATE / STATE_FILE).is_file():
            continue
        try:
            verify_checkpoint(folder)
            return folder
        except ModelError as error:
            damaged = damaged or error
    if damaged is not None:
        raise damaged
    raise InputError(f"A run resumes from a checkpoint, but {run} has none.", hint="start a new run in another folder")


def prune_checkpoints(run: Path, *, keep: set[Path], newest: int) -> None:
    """Delete old checkpoints; only the newest one keeps its training state.

    Remains of an interrupted save or deletion are deleted too. Call this only after a checkpoint is written, so that
    there is always a complete one to resume from.
    """
    folders = checkpoints(run)
    for folder in folders[:-1]:
        if folder not in keep and folder not in folders[-newest:]:
            (folder / MARKER).unlink()  # first: a half-deleted folder must not look complete
            shutil.rmtree(folder)
        elif (folder / STATE).is_dir():
            _drop_state(folder)
    for remains in set((run / "checkpoints").iterdir()) - set(folders):
        shutil.rmtree(remains, ignore_errors=True)


def publish(folder: Path, target: Path, texts: Mapping[str, str]) -> None:
    """Make `target` a model folder with the files of a checkpoint, as hard links where possible.

    Args:
        folder: the checkpoint.
        target: where to write; existing content is replaced.
        texts: additional files to write, by name.

    Raises:
        OutputError: if the folder cannot be written.
    """
    with _atomic_folder(target, marked=False) as temporary:
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf-8")
        for source in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARKER):
            place = temporary / source.relative_to(folder)
            if STATE in place.relative_to(temporary).parts:
                continue
            place.parent.mkdir(exist_ok=True)
            try:
                os.link(source, place)
            except OSError:
                shutil.copy2(source, place)


def _drop_state(folder: Path) -> None:
    marker = folder / MARKER
    files = json.loads(marker.read_text(encoding="utf-8"))
    kept = {name: value for name, value in files.items() if not name.startswith(f"{STATE}/")}
    temporary = folder / f".{MARKER}"
    temporary.write_text(json.dumps(kept, indent=1), encoding="utf-8")
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
        raise OutputError(
            f"{folder} cannot be written: {error.strerror or error}.",
            hint="free some space; --resume continues from the newest checkpoint",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:
        raise OSError(str(error).split(": ", 1)[-1]) from error


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
