"""The events of a run, which are shown on the command line and written to its log."""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints


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
_EVENTS: dict[str, type[Event]] = {each.__name__.lower(): each for each in get_args(Event)}
Report = Callable[[Event], None]


def comparable_score(score: float) -> float:
    """Return a score for comparisons: no number is larger than NaN, so that it becomes less than all of them."""
    return -math.inf if math.isnan(score) else score


def event_to_dict(event: Event) -> dict[str, Any]:
    """Return an event as a JSON object with its name under `event`."""
    values = asdict(event)
    if isinstance(event, Saved):
        values["folder"] = str(event.folder)
    return {"event": type(event).__name__.lower(), **values}


def event_from_dict(values: Mapping[str, Any]) -> Event | None:
    """Return the event that `event_to_dict` made a JSON object of, without unknown keys; None: it is not an event.

    Raises:
        ValueError: if a value of the event is missing or of another type.
    """
    kind = _EVENTS.get(str(values.get("event")))
    event: Event | None = None if kind is None else _read(kind, values)
    return event


def _read(kind: Any, value: Any) -> Any:
    """Return a JSON value as the type of a field."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is float and type(value) is int:
        return float(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if origin is dict and isinstance(value, dict):
        return {key: _read(arguments[1], each) for key, each in value.items()}
    if origin is tuple and isinstance(value, list):
        return tuple(_read(arguments[0], each) for each in value)
    if kind in (Sample, *_EVENTS.values()) and isinstance(value, dict):
        types, given = get_type_hints(kind), [each for each in fields(kind) if each.name in value]
        needed = {each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING}
        if missing := needed - value.keys():
            raise ValueError(f"it lacks {', '.join(f'`{name}`' for name in sorted(missing))}")
        return kind(**{each.name: _read(types[each.name], value[each.name]) for each in given})
    if type(value) is not kind:
        raise ValueError(f"{value!r:.80} is no {(origin or kind).__name__}")
    return value
