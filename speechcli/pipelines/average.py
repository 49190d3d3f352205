"""Average the weights of several checkpoints of a run into one model."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from speechcli.checkpoints import folder as files
from speechcli.checkpoints.bundle import load, save
from speechcli.checkpoints.ctc import is_ctc
from speechcli.checkpoints.language_adapters import find_adapters, link_adapters
from speechcli.checkpoints.weights import assign
from speechcli.errors import InputError, UsageError
from speechcli.pipelines.compose_options import refuse_model
from speechcli.pipelines.training_run.history import read_history
from speechcli.text.vocabulary import FILE_NAMES
from speechcli.training.averaging import average_states
from speechcli.training.events import comparable_score
from speechcli.training.state import checkpoint_step, checkpoints


class AverageReport(NamedTuple):
    """The models that were averaged."""

    folders: tuple[Path, ...]


def average(
    sources: Sequence[Path],
    output: Path,
    *,
    last: int | None = None,
    best: int | None = None,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    overwrite: bool = False,
) -> AverageReport:
    """Write a model with the mean weights of other models; a single one is copied, possibly with another dtype.

    Everything except the weights is copied from the last model.

    Args:
        sources: model folders, or run folders with checkpoints.
        output: the folder to write.
        last: use only this many newest checkpoints; None: all.
        best: use only this many checkpoints with the best dev scores; None: all.
        dtype: dtype of the weights in the file.
        overwrite: replace a model in that folder.

    Raises:
        UsageError: if `last` or `best` is below 1, or both are given, or the folder contains a model already.
        InputError: if there is nothing to average.
        ModelError: if a model cannot be loaded, or their weights differ in names or shapes.
        OutputError: if the folder cannot be written.
    """
    for name, value in (("last", last), ("best", best)):
        if value is not None and value < 1:
            raise UsageError(f"`--{name}` must be at least 1, but is {value}.")
    if last is not None and best is not None:
        raise UsageError("Checkpoints are chosen by either `--last` or `--best`, but both are given.")
    folders = [folder for source in sources for folder in _models(source, best)]
    folders = folders if last is None else folders[-last:]
    refuse_model(output, folders, overwrite=overwrite)
    if not folders:
        raise InputError("An average needs at least one checkpoint, but there is none.")
    if is_ctc(files.read_config(folders[-1])):
        _average_heads(folders, output, getattr(torch, dtype))
        return AverageReport(tuple(folders))
    bundles = [load(folder) for folder in folders]  # mapped into memory
    mean = average_states([bundle.model.state_dict() for bundle in bundles])
    bundle = bundles[-1]
    assign(bundle.model, mean, tied=bundle.config.tied)
    bundle.model.to(getattr(torch, dtype))
    bundle.stored = {}  # `save` would write the types of the file that was loaded
    save(bundle, output)
    return AverageReport(tuple(folders))


def _average_heads(folders: Sequence[Path], output: Path, dtype: torch.dtype) -> None:
    """Average the weight files of speech encoders with only a CTC head; all other files are copied."""
    mean = average_states([files.read_weights(folder) for folder in folders])
    config = files.read_config(folders[-1]) | {"dtype": str(dtype).removeprefix("torch.")}
    with files.writing(output) as stage:
        files.write_weights(stage, {k: t.to(dtype) if t.is_floating_point() else t for k, t in mean.items()})
        for name in (files.PREPROCESSOR, files.PROCESSOR, *FILE_NAMES):
            if (folders[-1] / name).is_file():
                shutil.copyfile(folders[-1] / name, stage / name)
        link_adapters(find_adapters(folders[-1]), stage)
        files.write_json(stage / files.CONFIG, config)


def _models(source: Path, best: int | None) -> list[Path]:
    """Return the checkpoints of a run, oldest first, or a model folder itself."""
    folders = checkpoints(source)
    if not folders or best is None:
        return folders or [source]
    scores = {event.step: comparable_score(event.score) for event in read_history(source).evaluations}
    scored = [folder for folder in folders if checkpoint_step(folder) in scores]
    if not scored:
        raise InputError(f"`--best` needs checkpoints with scores, but {source} has none.")
    return sorted(sorted(scored, key=lambda folder: -scores[checkpoint_step(folder)])[:best])
