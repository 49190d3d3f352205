"""Turns the arguments of `train` into options, and the events of a run into lines of output."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from speechcli.cli.console import say
from speechcli.errors import UsageError
from speechcli.training.events import Evaluated, Event, Sample, Saved, Started, Stepped, Warned, event_to_dict
from speechcli.training.merge import RUN_OPTIONS, Merged, merge_options

if TYPE_CHECKING:
    from speechcli.pipelines.overfit import OverfitResult
    from speechcli.pipelines.train import TrainResult


def merge(given: Mapping[str, Any]) -> Merged:
    """Merge the arguments of `train` with its recipe and, when resuming, with the options of the run.

    Raises:
        UsageError: an option is unknown, wrong or missing.
    """
    keys = {"path": "model", "encoder": "encoder", "decoder": "decoder", "revision": "revision"}
    explicit = {f"model.{key}": given[name] for key, name in keys.items()}
    explicit |= {f"data.{name}": _texts(given[name]) for name in ("train", "dev")}
    explicit |= {"data.max_bad": given["max_bad"]}
    explicit |= {f"run.{name}": given[name] for name in ("device", "dtype", "threads", "seed")}
    run = given["output_dir"] if given["resume"] else None
    merged = merge_options(given["recipe"], given["assignments"] or (), explicit, run=run)
    if run is not None and not (run / RUN_OPTIONS).is_file() and not merged.options.data.train:
        raise UsageError(f"`--resume` continues a run, but {run} contains none.")
    if not merged.options.data.train:
        raise UsageError("A training manifest is missing.", hint="Give --train train.tsv.")
    return merged


class TrainingConsole:
    """Shows the events of a run on standard error.

    Args:
        progress: `json` for JSON lines, `none` for warnings and the result only, anything else for plain lines.
        quiet: print nothing but errors.
        verbose: show all samples of an evaluation, not only the first.
    """

    def __init__(self, progress: str, *, quiet: bool, verbose: bool) -> None:
        self._kind = "quiet" if quiet else progress
        self._verbose = verbose

    def report(self, event: Event) -> None:
        """Show an event."""
        if self._kind == "json":
            say(json.dumps(event_to_dict(event)))
        elif self._kind != "quiet" and (self._kind != "none" or isinstance(event, Warned)):
            for line in self._lines(event):
                say(line)

    def finish(self, result: "TrainResult") -> None:
        """Show the result of a run."""
        if self._kind in ("quiet", "json"):
            return
        if result.failures:
            say(f"warning: {len(result.failures)} training utterances could not be used; see log.jsonl")
        best = f", best {result.best}" if result.best is not None else ""
        if result.published is not None:
            say(f"published as {result.published}")
        say(
            f"done after {result.report.step} steps, {result.report.seconds / 60:.1f} minutes: last {result.last}{best}"
        )

    def finish_overfit(self, result: "OverfitResult") -> None:
        """Show the result of `--debug-overfit`."""
        if self._kind not in ("quiet", "json"):
            say(f"the model can learn: it overfitted {result.recordings} recordings in {result.steps} steps")

    def _lines(self, event: Event) -> list[str]:
        if isinstance(event, Started):
            return [_started(event)]
        if isinstance(event, Stepped):
            return [_stepped(event)]
        if isinstance(event, Evaluated):
            shown = event.samples if self._verbose else event.samples[:1]
            return [_evaluated(event), *(line for sample in shown for line in _sample(sample))]
        if isinstance(event, Saved):
            return [f"step {event.step}: saved {event.folder}"]
        return [f"warning: {event.message}"]


def _texts(paths: list[Any] | None) -> tuple[str, ...] | None:
    return None if not paths else tuple(str(path) for path in paths)


def _started(event: Started) -> str:
    languages = ", ".join(f"{name} {count}" for name, count in event.languages.items())
    return (
        f"{event.utterances} utterances, {event.hours:.2f} h ({languages}); {event.parameters:,} parameters, "
        f"{event.learning:,} trainable; {event.device}, {event.dtype}; from step {event.step}"
    )


def _stepped(event: Stepped) -> str:
    losses = ", ".join(f"{name} {value:.4f}" for name, value in event.losses.items()) or "nothing learned"
    return (
        f"step {event.step} ({event.done:.0%}): {losses}; learning rate {event.learning_rate:.2e}, "
        f"gradient {event.gradient_norm:.2f}, {event.audio_rate:.1f} × real time"
    )


def _evaluated(event: Evaluated) -> str:
    scores = "; ".join(
        f"{name} " + ", ".join(f"{metric} {value:.2f}" for metric, value in values.items())
        for name, values in event.scores.items()
    )
    return f"step {event.step}: {scores or 'no scores'}" + (" (best so far)" if event.best else "")


def _sample(sample: Sample) -> list[str]:
    return [
        f"  {sample.id} {sample.language}: {sample.reference}",
        f"  {'model':>{len(sample.id)}}: {sample.hypothesis}",
    ]
