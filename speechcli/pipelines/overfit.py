"""`train --debug-overfit`: check that a model can learn at all, by overfitting it on a few recordings."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from speechcli.data.batching import DurationBatches
from speechcli.data.collate import Batch, Collate
from speechcli.data.manifest import Utterance
from speechcli.errors import InputError, TrainingDiverged, UsageError
from speechcli.pipelines.scoring import make_collate
from speechcli.pipelines.speech_options import ANONYMOUS, HubAccess
from speechcli.pipelines.training_run.data import read_manifests, spread
from speechcli.pipelines.training_run.model import load_or_compose, prepare_model, started
from speechcli.pipelines.training_run.objective import make_objective
from speechcli.pipelines.training_run.processes import meet
from speechcli.training.events import Report, Stepped
from speechcli.training.freezing import freeze
from speechcli.training.learner import Learner
from speechcli.training.merge import Merged
from speechcli.training.objective import means
from speechcli.training.optimizer import set_learning_rate
from speechcli.training.progress import Progress, now
from speechcli.training.step import Stepper, StepResult
from speechcli.training.train_options import TrainOptions

MAX_STEPS = 500
WARMUP_STEPS = 10
SHOWN_EVERY = 20


class OverfitResult(NamedTuple):
    """The result of overfitting."""

    recordings: int
    steps: int
    seconds: float


def overfit(merged: Merged, count: int, *, hub: HubAccess = ANONYMOUS, report: Report) -> OverfitResult:
    """Overfit a few recordings: without dropout, masks and augmentation, every next token must become right.

    Nothing is written. The encoder is trained from the first step, unless it is always frozen.

    Args:
        merged: the options of the intended run.
        count: number of recordings, spread evenly over the training manifests.
        hub: how to access the Hub.
        report: receives events.

    Raises:
        UsageError: if `count` is below 1.
        InputError: if none of the recordings can be used.
        TrainingDiverged: if the model cannot learn them.
    """
    if count < 1:
        raise UsageError(f"`--debug-overfit` must be at least 1, but is {count}.")
    options = merged.options
    accelerator = meet(options.run)
    bundle = load_or_compose(options, hub, report)
    utterances = spread([one for _, one in read_manifests(options.data.train, options, report, learn=True)], count)
    prepare_model(bundle, options, accelerator.device, utterances)
    collate = make_collate(bundle, ctc=options.objective.ctc_weight > 0)
    batches = _batches(collate, utterances, options)
    # with several texts per recording, the language of a text without a tag cannot be predicted
    named = all(target.language is not None for one in utterances for target in one.targets)
    section = replace(options.objective, learn_language=not named)
    objective = make_objective(bundle, section, collate.prompts, utterances)
    freeze(bundle.model, options.model.freeze, learn=options.model.learn)
    report(started(bundle, utterances, options, accelerator))
    learner = Learner(bundle.model, options, accelerator)
    stepper = Stepper(learner, objective, options, accelerator, Progress())

    def step(number: int) -> StepResult | None:
        set_learning_rate(learner.optimizer, options.optimizer.learning_rate * min(1.0, (number + 1) / WARMUP_STEPS))
        return stepper.step(batches, dropout=False)

    steps, seconds = _learn(step, sum(batch.seconds for batch in batches), options, report)
    return OverfitResult(sum(map(len, batches)), steps, seconds)


def _learn(
    step: Callable[[int], StepResult | None], audio_seconds: float, options: TrainOptions, report: Report
) -> tuple[int, float]:
    """Train until every token is right; return the number of steps and seconds."""
    started_at, accuracy = now(), 0.0
    for number in range(MAX_STEPS):
        result = step(number)
        if result is None:
            continue
        losses = means(result.sums)
        accuracy = losses["accuracy"]
        seconds, done = now() - started_at, accuracy == 1.0
        if done or number % SHOWN_EVERY == 0:
            rate = options.optimizer.learning_rate * min(1.0, (number + 1) / WARMUP_STEPS)
            speed = audio_seconds * (number + 1) / max(seconds, 1e-9)
            share = (number + 1) / MAX_STEPS
            report(Stepped(number + 1, number + 1.0, losses, rate, result.norm, speed, seconds, share, skipped=0))
        if done:
            return number + 1, seconds
    raise TrainingDiverged(
        f"The model must be able to overfit a few recordings, but after {MAX_STEPS} steps only {accuracy:.0%} of their "
        "tokens are right.",
        hint="check the texts and the recordings; try a higher optimizer.learning_rate, or freeze less (model.freeze)",
    )


def _batches(collate: Collate, utterances: Sequence[Utterance], options: TrainOptions) -> list[Batch]:
    """Read the recordings into as few batches as the options allow."""
    plan = DurationBatches(
        utterances, max_seconds=options.batch.max_seconds, max_items=options.batch.max_items, buckets=1, shuffle=False
    )
    batches = [collate(together) for together in plan]
    usable = [batch for batch in batches if len(batch.labels)]
    if not usable:
        reason = batches[0].failed[0].reason if batches[0].failed else "they have no texts"
        raise InputError(f"`--debug-overfit` needs usable recordings, but there are none: {reason}")
    return usable
