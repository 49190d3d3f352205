"""Read the log of a run, as if the run had never been interrupted."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speechcli.errors import InputError
from speechcli.training.events import Evaluated, Event, Started, Stepped, Warned, comparable_score, event_from_dict


@dataclass
class History:
    """The events of a run by kind, in order; steps repeated after an interruption count once."""

    starts: list[Started] = field(default_factory=list)
    steps: list[Stepped] = field(default_factory=list)
    evaluations: list[Evaluated] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def step(self) -> int:
        """The last step that was logged."""
        return max([*(event.step for event in self.steps), *(event.step for event in self.evaluations)], default=0)

    @property
    def best(self) -> Evaluated | None:
        """The best evaluation; None without dev manifests."""
        return max(self.evaluations, key=lambda event: comparable_score(event.score), default=None)

    def losses(self, events: Sequence[Stepped | Evaluated], name: str) -> list[tuple[float, float]]:
        """Return (step, value) of one part of the loss."""
        return [(event.step, event.losses[name]) for event in events if name in event.losses]

    def scores(self, pair: str, metric: str) -> list[tuple[float, float]]:
        """Return (step, value) of one score."""
        return [
            (each.step, each.scores[pair][metric]) for each in self.evaluations if metric in each.scores.get(pair, {})
        ]


def read_history(run: Path) -> History:
    """Read `log.jsonl` of a run.

    Raises:
        InputError: if there is none, or it has no event, or an event without its values.
    """
    path = run / "log.jsonl"
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        hint = "give the folder that `speechcli train -o` wrote"
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", hint=hint) from error
    history = History()
    for number, line in enumerate(lines, start=1):
        try:
            event = _event(line)
        except ValueError as error:
            raise InputError(f"Line {number} of {path} is not an event of a run: {error}.") from error
        if event is not None:
            _add(history, event)
    if not history.starts:
        raise InputError(f"A run's log begins with an event `started`, but {path} has none.")
    return history


def _event(line: str) -> Event | None:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None  # the process was killed while it wrote the line
    return event_from_dict(values) if isinstance(values, dict) else None


def _add(history: History, event: Event) -> None:
    if isinstance(event, Started):
        history.starts.append(event)
        history.steps = [found for found in history.steps if found.step <= event.step]
        history.evaluations = [found for found in history.evaluations if found.step <= event.step]
    elif isinstance(event, Stepped):
        history.steps.append(event)
    elif isinstance(event, Evaluated):
        history.evaluations.append(event)
    elif isinstance(event, Warned):
        history.warnings.append(event.message)
