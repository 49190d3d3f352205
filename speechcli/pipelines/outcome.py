"""What became of one input, and of a whole job."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from speechcli.errors import AllInputsFailed, OutOfMemory, SomeInputsFailed, SpeechCliError, Stopped
from speechcli.transcript import Transcript


class Failure(NamedTuple):
    """An input that gave no text."""

    path: str
    """The input as it was given."""
    message: str
    """Why, in one sentence."""
    hint: str | None = None
    """What may help."""
    exit_code: int = 4
    """The exit code if this were the only input."""

    @classmethod
    def of(cls, path: str, error: SpeechCliError) -> "Failure":
        """Return the failure that an error means for one input."""
        return cls(path, error.message, error.hint, error.exit_code)


@dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    index: int
    """Number of the input in the job, from 0."""
    transcripts: tuple[Transcript, ...]
    """One for each target language; none after a failure."""
    failure: Failure | None = None
    """Why there is no transcript."""


class Progress(NamedTuple):
    """How far a job is."""

    done: int
    """Inputs finished, well or not."""
    total: int
    """Inputs in all."""
    audio_seconds: float
    """Seconds of audio finished so far, pauses included."""
    expected_seconds: float | None = None
    """Seconds of audio in all inputs, as far as headers and sizes tell; None: unknown."""


class Warned(NamedTuple):
    """Something that the user should know and that stops nothing."""

    message: str
    """One sentence."""


class Loaded(NamedTuple):
    """The model is ready."""

    model: str
    """Its name."""
    device: str
    """Where it computes."""
    dtype: str
    """In which numbers."""


Event = Progress | Warned | Loaded | Failure
Report = Callable[[Event], None]


def silent(event: Event) -> None:
    """Report to nobody."""


def in_order(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """Yield outcomes by their index, each as soon as all before it are known."""
    waiting: dict[int, Outcome] = {}
    following = 0
    for outcome in outcomes:
        waiting[outcome.index] = outcome
        while following in waiting:
            yield waiting.pop(following)
            following += 1


@dataclass
class JobReport:
    """What became of all inputs."""

    done: int = 0
    """Inputs that gave text."""
    skipped: int = 0
    """Inputs that an earlier run had done."""
    audio_seconds: float = 0.0
    """Seconds of audio in the inputs that gave text."""
    failures: list[Failure] = field(default_factory=list)
    """Inputs that gave none."""
    left: int = 0
    """Inputs that a signal left for another run."""

    def count(self, outcome: Outcome) -> None:
        """Add what became of one input."""
        if outcome.failure is not None:
            self.failures.append(outcome.failure)
        else:
            self.done += 1
            self.audio_seconds += outcome.transcripts[0].duration

    def check(self) -> None:
        """Turn failures into the exit code of the job.

        Raises:
            Stopped: a signal came, and another run can go on.
            OutOfMemory: one input or more did not fit into memory, even alone.
            AllInputsFailed: nothing was done.
            SomeInputsFailed: something was done.
        """
        if self.left:
            raise Stopped(
                f"A signal stopped the job before {self.left} of its inputs.",
                hint="The same command goes on from here.",
            )
        if not self.failures:
            return
        failed, total = len(self.failures), len(self.failures) + self.done + self.skipped
        if any(failure.exit_code == OutOfMemory.exit_code for failure in self.failures):
            raise OutOfMemory(
                f"Memory ran out, even for one stretch of audio at a time; {failed} of {total} inputs failed.",
                hint="Try a smaller --max-segment or --beam-size, or --dtype bfloat16.",
            )
        if failed == total:
            raise AllInputsFailed("The input failed." if total == 1 else f"All {total} inputs failed.")
        raise SomeInputsFailed(f"{failed} of {total} inputs failed.")
