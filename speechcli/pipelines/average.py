"""Average the weights of several checkpoints of a run into one model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from speechcli.checkpoints.bundle import load, save
from speechcli.errors import InputError, UsageError
from speechcli.training.averaging import average_states
from speechcli.training.state import checkpoints


class AverageReport(NamedTuple):
    """What was averaged."""

    folders: tuple[Path, ...]


def average(
    sources: Sequence[Path],
    output: Path,
    *,
    last: int | None = None,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
) -> AverageReport:
    """Write a model whose weights are the mean of others' (of one: its copy in another dtype).

    Everything but the weights is the last one's.

    Args:
        sources: model folders, or one run folder whose checkpoints are meant.
        output: the folder to write.
        last: use only the newest so many checkpoints; None: all.
        dtype: of the weights in the file.

    Raises:
        UsageError: if `last` is below 1.
        InputError: if there is nothing to average.
        ModelError: if a model cannot be loaded, or their weights differ in names or shapes.
        OutputError: if the folder cannot be written.
    """
    if last is not None and last < 1:
        raise UsageError(f"`--last` must be at least 1, but is {last}.")
    folders = [folder for source in sources for folder in (checkpoints(source) or [source])]
    folders = folders if last is None else folders[-last:]
    if not folders:
        raise InputError("An average needs at least one checkpoint, but there is none.")
    states = (load(folder).model.state_dict() for folder in folders)
    mean = average_states(states)
    bundle = load(folders[-1])
    bundle.model.load_state_dict(mean, assign=True)
    bundle.model.to(getattr(torch, dtype))
    save(bundle, output)
    return AverageReport(tuple(folders))
