"""What a run tells while it goes on; the command line shows it, the log keeps it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Started:
    """The run begins, or goes on."""

    step: int
    utterances: int
    hours: float
    languages: dict[str, int]
    """`spoken->target` -> how many targets."""
    parameters: int
    learning: int
    """Parameters that learn."""
    device: str
    dtype: str


@dataclass(frozen=True)
class Stepped:
    """Means over the steps since the last such event."""

    step: int
    epoch: float
    losses: dict[str, float]
    learning_rate: float
    gradient_norm: float
    audio_rate: float
    """Seconds of audio learned in one second."""
    seconds: float
    """Seconds trained, over all resumed parts."""
    done: float
    """Share of the run, 0 to 1."""
    skipped: int
    """Steps skipped so far because something was not finite."""


@dataclass(frozen=True)
class Sample:
    """One reference beside what the model said."""

    id: str
    language: str
    reference: str
    hypothesis: str


@dataclass(frozen=True)
class Evaluated:
    """Scores on the dev manifests."""

    step: int
    losses: dict[str, float]
    scores: dict[str, dict[str, float]]
    """`spoken->target` -> metric -> value."""
    score: float
    """One number to compare by; higher is better."""
    best: bool
    samples: tuple[Sample, ...] = ()
    signatures: dict[str, str] = field(default_factory=dict)
    """`spoken->target` -> how its scores were counted."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written."""

    step: int
    folder: Path


@dataclass(frozen=True)
class Warned:
    """Something the user should know, in one sentence."""

    message: str


Event = Started | Stepped | Evaluated | Saved | Warned
Report = Callable[[Event], None]


def event_to_dict(event: Event) -> dict[str, Any]:
    """Return an event as a JSON object with its name under `event`."""
    values = asdict(event)
    if isinstance(event, Saved):
        values["folder"] = str(event.folder)
    return {"event": type(event).__name__.lower(), **values}
