"""Read the log of a run, as if the run had never been interrupted."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechcli.errors import InputError

Event = dict[str, Any]


@dataclass
class History:
    """The events of a run by kind, in order; steps repeated after an interruption count once."""

    starts: list[Event] = field(default_factory=list)
    steps: list[Event] = field(default_factory=list)
    evaluations: list[Event] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def step(self) -> int:
        """The last step that was logged."""
        return int(max((event["step"] for event in (*self.steps, *self.evaluations)), default=0))

    @property
    def best(self) -> Event | None:
        """The best evaluation; None without dev manifests."""
        return max(self.evaluations, key=lambda event: float(event["score"]), default=None)

    def losses(self, events: list[Event], name: str) -> list[tuple[float, float]]:
        """Return (step, value) of one part of the loss."""
        return [(event["step"], event["losses"][name]) for event in events if name in event["losses"]]

    def scores(self, pair: str, metric: str) -> list[tuple[float, float]]:
        """Return (step, value) of one score."""
        return [(e["step"], e["scores"][pair][metric]) for e in self.evaluations if metric in e["scores"].get(pair, {})]


def read_history(run: Path) -> History:
    """Read `log.jsonl` of a run.

    Raises:
        InputError: if there is none, or it holds no event.
    """
    path = run / "log.jsonl"
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        hint = "give the folder that `speechcli train -o` wrote"
        raise InputError(f"{path} cannot be read: {error.strerror or error}.", hint=hint) from error
    history = History()
    for event in filter(None, map(_event, lines)):
        _add(history, event)
    if not history.starts:
        raise InputError(f"A run's log begins with an event `started`, but {path} has none.")
    return history


def _event(line: str) -> Event | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None  # the process was killed while it wrote the line
    return event if isinstance(event, dict) else None


def _add(history: History, event: Event) -> None:
    kind = event.get("event")
    if kind == "started":
        history.starts.append(event)
        history.steps = [step for step in history.steps if step["step"] <= event["step"]]
        history.evaluations = [found for found in history.evaluations if found["step"] <= event["step"]]
    elif kind == "stepped":
        history.steps.append(event)
    elif kind == "evaluated":
        history.evaluations.append(event)
    elif kind == "warned":
        history.warnings.append(event["message"])
