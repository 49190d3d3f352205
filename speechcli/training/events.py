"""The events of a run, which are shown on the command line and written to its log."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Started:
    """The run starts or resumes."""

    step: int
    utterances: int
    hours: float
    languages: dict[str, int]
    """`spoken->target` -> number of targets."""
    parameters: int
    learning: int
    """Number of trainable parameters."""
    device: str
    dtype: str


@dataclass(frozen=True)
class Stepped:
    """Means over the steps since the last event of this kind."""

    step: int
    epoch: float
    losses: dict[str, float]
    learning_rate: float
    gradient_norm: float
    audio_rate: float
    """Seconds of audio per second."""
    seconds: float
    """Training time in seconds, including the time before a resume."""
    done: float
    """Finished share of the run, 0 to 1."""
    skipped: int
    """Steps skipped so far because the loss or gradient was not finite."""


@dataclass(frozen=True)
class Sample:
    """A reference and the model's hypothesis."""

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
    """One number to compare checkpoints by; higher is better."""
    best: bool
    samples: tuple[Sample, ...] = ()
    signatures: dict[str, str] = field(default_factory=dict)
    """`spoken->target` -> signature of its metrics."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint was written."""

    step: int
    folder: Path


@dataclass(frozen=True)
class Warned:
    """A warning for the user, in one sentence."""

    message: str


Event = Started | Stepped | Evaluated | Saved | Warned
Report = Callable[[Event], None]


def event_to_dict(event: Event) -> dict[str, Any]:
    """Return an event as a JSON object with its name under `event`."""
    values = asdict(event)
    if isinstance(event, Saved):
        values["folder"] = str(event.folder)
    return {"event": type(event).__name__.lower(), **values}
