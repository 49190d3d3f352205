"""The training loop: steps, evaluations and checkpoints, until the run ends or a signal arrives."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from speechcli.data.collate import Batch
from speechcli.errors import InputError, Stopped, TrainingDiverged, UsageError
from speechcli.training.events import Evaluated, Report, Sample, Saved, Stepped, Warned, comparable_score
from speechcli.training.feed import Feed
from speechcli.training.learner import Learner
from speechcli.training.objective import Objective
from speechcli.training.optimizer import current_learning_rate, learning_rate, set_learning_rate
from speechcli.training.progress import Meter, Progress, now, share_done
from speechcli.training.signals import StopSignals
from speechcli.training.state import TrainState, checkpoint_folder, prune_checkpoints, save_checkpoint
from speechcli.training.step import Stepper
from speechcli.training.train_options import TrainOptions


class Evaluation(NamedTuple):
    """The result of `validate`."""

    losses: dict[str, float]
    scores: dict[str, dict[str, float]]
    score: float
    """Higher is better."""
    samples: tuple[Sample, ...] = ()
    signatures: dict[str, str] = {}
    """`spoken->target` -> signature of its metrics."""


@dataclass(frozen=True)
class TrainReport:
    """How a run ended."""

    step: int
    seconds: float
    best_step: int | None
    best_score: float | None
    skipped: int


@dataclass
class Trainer:
    """One training run.

    Args:
        model: called as `model(inputs, lengths, decoder_input_ids, rows)`.
        feed: the training batches.
        objective: the loss.
        options: sections `run`, `batch`, `optimizer` and `model.freeze…` are read here.
        accelerator: device and processes.
        folder: the run folder.
        save: writes the model into a folder.
        validate: evaluates the model on the dev manifests; None: there are none.
        report: receives every event.
        frozen: parts that are always frozen, see `freezing`.
        progress: the state of the run.
        meter: sums for the next line of the log.
    """

    model: nn.Module
    feed: Feed
    objective: Objective
    options: TrainOptions
    accelerator: Accelerator
    folder: Path
    save: Callable[[Path], None]
    validate: Callable[[], Evaluation] | None
    report: Report
    frozen: tuple[str, ...] = ()
    progress: Progress = field(default_factory=Progress)
    meter: Meter = field(default_factory=Meter)

    def run(self, resume: TrainState | None = None, *, begin: Callable[[], None] = lambda: None) -> TrainReport:
        """Train until the run ends or a signal arrives.

        Args:
            resume: the state to resume from; the model already has its weights.
            begin: called before the first step, after the options and the state have been checked.

        Raises:
            Stopped: at SIGINT or SIGTERM, after saving.
            InputError: if no recording of one of the splits can be read; the steps before an evaluation are saved.
            TrainingDiverged: if too many steps in a row are not finite.
            OutOfMemory: if single recordings do not fit into the device's memory.
            UsageError: if the run has no end, or resumes with parameters in other groups of the optimizer.
        """
        self._check_end()
        self.learner = Learner(self.model, self.options, self.accelerator, self.frozen)
        if resume is not None:
            self._resume_from(resume)
        self.stepper = Stepper(self.learner, self.objective, self.options, self.accelerator, self.progress)
        every = self.options.run
        begin()
        with StopSignals(echoed=self.accelerator.num_processes > 1) as signals, closing(iter(self.feed)) as batches:
            ended = self._done() or self._out_of_patience()
            while not ended:
                if self._agreed(signals.received) > 0:
                    self._stop()
                self._step(batches)
                done = self._done()
                if done or self.progress.step % every.log_every == 0:
                    self._log()
                if done or self.progress.step % every.eval_every == 0:
                    self._evaluate()
                ended = done or self._out_of_patience()
                if ended:
                    self._log()
                if ended or self.progress.step % every.save_every == 0:
                    self._save()
        score, step = self.progress.best[0] if self.progress.best else (None, None)
        return TrainReport(
            self.progress.step, self.progress.seconds, None if step is None else int(step), score, self.progress.skipped
        )

    def _step(self, batches: Iterator[Batch]) -> None:
        """Make one step: set the learning rate, read the batches, update the weights."""
        started = now()
        progress, options = self.progress, self.options
        if progress.step <= options.optimizer.warmup_steps:
            progress.warmup_share = progress.done
        rate = learning_rate(options.optimizer, progress.step, progress.done, warmup_share=progress.warmup_share)
        set_learning_rate(self.learner.optimizer, rate)
        self._freeze_or_unfreeze()
        group = [next(batches) for _ in range(options.batch.accumulation)]
        result = self.stepper.step(group)
        if result is None:
            self._skip()
        else:
            self.learner.update_mean(progress.step)
            progress.skipped_in_row = 0
            self.meter.add(result.sums, result.norm)
        progress.step += 1
        progress.seconds += now() - started
        self.meter.time(sum(batch.seconds for batch in group), now() - started)

    def _skip(self) -> None:
        progress = self.progress
        progress.skipped += 1
        progress.skipped_in_row += 1
        if progress.skipped_in_row > self.options.run.max_nonfinite:
            raise TrainingDiverged(
                f"Losses and gradients must be finite, but {progress.skipped_in_row} steps in a row up to step "
                f"{progress.step} were not.",
                hint="lower optimizer.learning_rate, lengthen optimizer.warmup_steps, or use run.dtype=float32",
            )

    def _freeze_or_unfreeze(self) -> None:
        """Freeze the encoder at the start or after a resume, and unfreeze it after `freeze_encoder_steps`."""
        steps = self.options.model.freeze_encoder_steps
        if steps and (self.progress.step in (0, steps) or self.progress.step == self.progress.saved):
            self.learner.freeze(encoder_frozen=self.progress.step < steps)

    def _log(self) -> None:
        """Report failures, and the means over the steps since the last time, if there were any."""
        if self.meter.steps == 0:
            return
        for name, reason in self.feed.share_failures(gather_object):
            self._emit(Warned(f"{name} is left out: {reason}"))
        progress = self.progress
        losses, norm, audio_rate = self.meter.means(self.accelerator)
        self._emit(
            Stepped(
                progress.step,
                self.feed.epochs_done(),
                losses,
                current_learning_rate(self.learner.optimizer),
                norm,
                audio_rate,
                progress.seconds,
                progress.done,
                progress.skipped,
            )
        )

    def _evaluate(self) -> None:
        """Evaluate on the dev manifests in all processes together, and save a checkpoint if it is among the best.

        Raises:
            InputError: if no dev recording can be read; the state is saved.
        """
        progress, run = self.progress, self.options.run
        if self.validate is None or progress.evaluated == progress.step:
            return
        try:
            with self.learner.final_weights():
                result = self.validate()
        except InputError:  # in all processes together: their recordings can no longer be read
            self._save()
            raise
        progress.evaluated = progress.step
        score = comparable_score(result.score)
        entry = [score, progress.step]
        best = not progress.best or score > progress.best[0][0]
        progress.best = sorted([*progress.best, entry], key=lambda item: -item[0])[: max(run.keep_best, 1)]
        progress.since_best = 0 if best else progress.since_best + 1
        self._emit(
            Evaluated(progress.step, result.losses, result.scores, score, best, result.samples, result.signatures)
        )
        if entry in progress.best and run.keep_best > 0:
            self._save()

    def _save(self) -> None:
        """Write a checkpoint of this step, unless there is one, and delete those that are no longer needed."""
        progress, run = self.progress, self.options.run
        if progress.saved == progress.step:
            return
        progress.saved = progress.step
        progress.feed, *progress.other_feeds = gather_object([self.feed.state_dict()])
        optimizer, weights = self.learner.state()
        with self.learner.final_weights():
            if self.accelerator.is_main_process:
                folder = checkpoint_folder(self.folder, progress.step)
                save_checkpoint(folder, self.save, TrainState(asdict(progress), optimizer, weights))
                wanted = {checkpoint_folder(self.folder, int(step)) for _, step in progress.best[: run.keep_best]}
                prune_checkpoints(self.folder, keep=wanted, newest=run.keep_last)
                self._emit(Saved(progress.step, folder))
        self.accelerator.wait_for_everyone()

    def _stop(self) -> None:
        self._log()
        self._save()
        raise Stopped(
            f"Training was stopped by a signal at step {self.progress.step}; the state is saved.",
            hint=f"continue with: speechcli train --resume -o {self.folder}",
        )

    def _out_of_patience(self) -> bool:
        """Whether there was no new best for too many evaluations."""
        patience = self.options.run.patience
        return patience > 0 and self.progress.since_best >= patience

    def _done(self) -> bool:
        self.progress.done = self._agreed(share_done(self.options.run, self.progress, self.feed))
        return self.progress.done >= 1.0

    def _agreed(self, value: float) -> float:
        """Return the mean over all processes, in which clocks, signals and unreadable recordings differ."""
        if self.accelerator.num_processes == 1:
            return value
        values = torch.tensor([value], dtype=torch.float64, device=self.accelerator.device)
        return float(self.accelerator.reduce(values, "mean").item())

    def _resume_from(self, state: TrainState) -> None:
        self.progress = Progress(**state.progress)
        self.progress.saved = self.progress.step
        self.learner.load_state(state.optimizer, state.weights)
        feeds = (self.progress.feed, *self.progress.other_feeds)
        self.feed.load_state_dict(feeds[self.accelerator.process_index % len(feeds)])
        before = self.progress.done
        self._done()
        if before > 0:  # the warm-up is a smaller share of a run that was made longer
            self.progress.warmup_share *= self.progress.done / before

    def _emit(self, event: Stepped | Evaluated | Saved | Warned) -> None:
        if self.accelerator.is_main_process:
            self.report(event)

    def _check_end(self) -> None:
        run = self.options.run
        if not (run.max_steps or run.max_epochs or run.max_minutes):
            raise UsageError(
                "A run needs an end, but neither run.max_steps, run.max_epochs nor run.max_minutes is set.",
                hint="--set run.max_epochs=10",
            )
