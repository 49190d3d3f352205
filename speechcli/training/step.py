"""One step of training: forward, backward, clip, update."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from speechcli.data.collate import Batch
from speechcli.errors import OutOfMemory
from speechcli.training.feed import seed_all
from speechcli.training.freezing import train_mode
from speechcli.training.learner import Learner
from speechcli.training.objective import PARTS, Counts, Objective, detached
from speechcli.training.optimizer import clip_gradients
from speechcli.training.precision import autocast, chosen_dtype
from speechcli.training.progress import Progress
from speechcli.training.train_options import TrainOptions


class StepResult(NamedTuple):
    """The result of a step."""

    sums: Tensor
    """Summed parts of the losses of this process, see `objective.detached`."""
    norm: float
    """Norm of the gradient before clipping."""


class Stepper:
    """Updates a model's weights, one step at a time.

    With float16, the loss is scaled dynamically so that small gradients do not vanish (Micikevicius et al. 2018). When
    the device runs out of memory, the step is repeated with its batches split in halves, as are all later steps; the
    results are the same except for rounding and dropout.

    Args:
        learner: the model and its optimizer.
        objective: the loss.
        options: sections `run`, `batch` and `optimizer` are read.
        accelerator: device and processes.
        progress: the state of the run; `pieces` and `scaler` are updated here.
    """

    def __init__(
        self,
        learner: Learner,
        objective: Objective,
        options: TrainOptions,
        accelerator: Accelerator,
        progress: Progress,
    ) -> None:
        self._learner, self._objective, self._optimizer = learner, objective, learner.optimizer
        self._options, self._accelerator, self._progress = options, accelerator, progress
        half = chosen_dtype(accelerator.device, options.run.dtype) == "float16"
        self._scaler = torch.amp.GradScaler(accelerator.device.type, enabled=half)
        if half and progress.scaler:
            self._scaler.load_state_dict(progress.scaler)

    def step(self, group: Sequence[Batch], *, dropout: bool = True) -> StepResult | None:
        """Update the weights from the batches of one step; None if the loss or gradient was not finite in a process.

        Args:
            group: the batches.
            dropout: whether to use dropout, masks and LayerDrop.

        Raises:
            OutOfMemory: if not even single recordings fit into the device's memory.
        """
        train_mode(self._learner.module, dropout=dropout)
        sums = self._fitting_gradients(group)
        self._scaler.unscale_(self._optimizer)
        norm = clip_gradients(self._learner.weights, self._options.optimizer.clip)
        finite = self._all_agree(math.isfinite(norm) and bool(torch.isfinite(sums).all()))
        if finite:
            self._scaler.step(self._optimizer)
        self._scaler.update()
        self._progress.scaler = self._scaler.state_dict()
        self._optimizer.zero_grad(set_to_none=True)
        return StepResult(sums, norm) if finite else None

    def _fitting_gradients(self, group: Sequence[Batch]) -> Tensor:
        """Compute the gradients, in pieces as large as memory allows."""
        progress = self._progress
        while True:
            # the random numbers of a step (dropout, masks) do not depend on earlier steps, so no state has to be saved
            seed_all((self._options.run.seed, progress.step, self._accelerator.process_index))
            try:
                return self._gradients([piece for batch in group for piece in cut(batch, progress.pieces)])
            except torch.OutOfMemoryError as error:
                divisible = max(len(batch) for batch in group) > progress.pieces
                if not divisible or self._accelerator.num_processes > 1:  # other processes would wait for this one
                    raise _too_large(self._options) from error
            self._optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            progress.pieces *= 2

    def _gradients(self, group: Sequence[Batch]) -> Tensor:
        """Accumulate the gradients of the mean loss of the step; return the summed parts of this process."""
        accelerator, objective = self._accelerator, self._objective
        counts = self._counts(group)
        sums = torch.zeros(2 * PARTS, dtype=torch.float64)
        for place, batch in enumerate(group):
            batch = batch.to(accelerator.device)
            with self._learner.accumulate(last=place == len(group) - 1):
                with autocast(accelerator.device, self._options.run.dtype):
                    output = self._learner.module(batch.inputs, batch.lengths, batch.decoder_input_ids, batch.rows)
                losses = objective.losses(
                    output.logits,
                    batch.labels,
                    output.ctc_logits,
                    output.frame_lengths,
                    batch.ctc_labels,
                    teacher_logits=output.teacher_logits,
                    teacher_labels=batch.teacher_labels,
                )
                # DDP averages over processes, but the counts are already those of all processes
                self._scaler.scale(objective.total(losses, counts) * accelerator.num_processes).backward()
            sums += detached(losses)
        return sums

    def _all_agree(self, holds: bool) -> bool:
        """Return whether something holds in all processes: the weights of one that skips a step would differ."""
        if self._accelerator.num_processes == 1:
            return holds
        agreeing = self._accelerator.reduce(torch.tensor(int(holds), device=self._accelerator.device), "sum")
        return bool(agreeing == self._accelerator.num_processes)

    def _counts(self, group: Sequence[Batch]) -> Counts:
        """Count the targets of the step, over all batches and processes."""
        each = [self._objective.counts(batch.labels, batch.ctc_labels, batch.teacher_labels) for batch in group]
        counted = torch.tensor(each).sum(dim=0)
        if self._accelerator.num_processes > 1:
            counted = self._accelerator.reduce(counted.to(self._accelerator.device), "sum")
        return Counts(*counted.tolist())


def cut(batch: Batch, pieces: int) -> list[Batch]:
    """Split a batch into at most this many pieces with about the same number of recordings."""
    count = len(batch.utterances)
    edges = sorted({round(count * piece / pieces) for piece in range(pieces + 1)})
    if len(edges) <= 2:
        return [batch]
    return [_slice(batch, start, end) for start, end in zip(edges[:-1], edges[1:], strict=True)]


def _slice(batch: Batch, start: int, end: int) -> Batch:
    """Return the recordings from `start` to `end` of a batch, with their texts."""
    inside = (batch.rows >= start) & (batch.rows < end)
    return replace(
        batch,
        inputs=batch.inputs[start:end],
        lengths=None if batch.lengths is None else batch.lengths[start:end],
        rows=batch.rows[inside] - start,
        decoder_input_ids=batch.decoder_input_ids[inside],
        labels=batch.labels[inside],
        ctc_labels=None if batch.ctc_labels is None else batch.ctc_labels[start:end],
        teacher_labels=None if batch.teacher_labels is None else batch.teacher_labels[start:end],
        utterances=batch.utterances[start:end],
    )


def _too_large(options: TrainOptions) -> OutOfMemory:
    return OutOfMemory(
        f"The device's memory ran out with single recordings of at most {options.batch.max_seconds:g} s.",
        hint="lower data.max_seconds and batch.max_seconds, set run.gradient_checkpointing=true, or use a smaller "
        "model",
    )
