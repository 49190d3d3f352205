"""The outcome of one input, and of a whole job."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from speechcli.errors import AllInputsFailed, OutOfMemory, SomeInputsFailed, SpeechCliError, Stopped
from speechcli.transcript import Transcript


class Failure(NamedTuple):
    """An input that could not be transcribed."""

    path: str
    """The input as the user gave it."""
    message: str
    """Why, in one sentence."""
    hint: str | None = None
    """What may help, if anything."""
    exit_code: int = 4
    """The exit code if this were the only input."""

    @classmethod
    def of(cls, path: str, error: SpeechCliError) -> "Failure":
        """Make a failure from an error."""
        return cls(path, error.message, error.hint, error.exit_code)


@dataclass(frozen=True)
class Outcome:
    """The outcome of one input."""

    index: int
    """Number of the input in the job, from 0."""
    transcripts: tuple[Transcript, ...]
    """One for each target language; none after a failure."""
    failure: Failure | None = None
    """Why there is no transcript."""


class Progress(NamedTuple):
    """Progress of a job."""

    done: int
    """Finished inputs, failed ones included."""
    total: int
    """Total number of inputs."""
    audio_seconds: float
    """Seconds of audio processed so far, including pauses."""
    expected_seconds: float | None = None
    """Estimated seconds of audio in all inputs, from headers and file sizes; None: unknown."""


class Warned(NamedTuple):
    """A warning for the user."""

    message: str
    """One sentence."""


class Loaded(NamedTuple):
    """The model is ready."""

    model: str
    """Its name."""
    device: str
    """Its device."""
    dtype: str
    """Its dtype."""


Event = Progress | Warned | Loaded | Failure
Report = Callable[[Event], None]


def silent(event: Event) -> None:
    """Ignore an event."""


def in_order(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """Yield outcomes in the order of their indices, each as early as possible."""
    waiting: dict[int, Outcome] = {}
    following = 0
    for outcome in outcomes:
        waiting[outcome.index] = outcome
        while following in waiting:
            yield waiting.pop(following)
            following += 1


@dataclass
class JobReport:
    """The outcome of a whole job."""

    done: int = 0
    """Inputs that were transcribed."""
    skipped: int = 0
    """Inputs that an earlier run had finished."""
    audio_seconds: float = 0.0
    """Seconds of audio in the transcribed inputs."""
    failures: list[Failure] = field(default_factory=list)
    """Inputs that could not be transcribed."""
    left: int = 0
    """Inputs left after a signal stopped the job."""

    def count(self, outcome: Outcome) -> None:
        """Count the outcome of one input."""
        if outcome.failure is not None:
            self.failures.append(outcome.failure)
        else:
            self.done += 1
            self.audio_seconds += outcome.transcripts[0].duration

    def check(self) -> None:
        """Raise the error for the exit code of the job, if there were failures.

        Raises:
            Stopped: a signal came, and another run can continue the job.
            OutOfMemory: one input or more did not fit into memory, even alone.
            AllInputsFailed: nothing was done.
            SomeInputsFailed: something was done.
        """
        if self.left:
            raise Stopped(
                f"A signal stopped the job with {self.left} of its inputs left.",
                hint="The same command continues from here.",
            )
        if not self.failures:
            return
        failed, total = len(self.failures), len(self.failures) + self.done + self.skipped
        if any(failure.exit_code == OutOfMemory.exit_code for failure in self.failures):
            raise OutOfMemory(
                f"Memory ran out, even for one piece of audio at a time; {failed} of {total} inputs failed.",
                hint="Try a smaller --max-segment or --beam-size, or --dtype bfloat16.",
            )
        if failed == total:
            raise AllInputsFailed("The input failed." if total == 1 else f"All {total} inputs failed.")
        raise SomeInputsFailed(f"{failed} of {total} inputs failed.")
