"""The only module that prints: results to standard output as bytes, everything else to standard error."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

from speechcli.errors import OutputError, SpeechCliError
from speechcli.pipelines.outcome import Event, Failure, JobReport, Loaded, Progress, Warned

PLAIN_SECONDS = 10.0


def write_data(data: bytes) -> None:
    """Write bytes to standard output and flush it, in any locale.

    Raises:
        BrokenPipeError: the reader has closed the pipe.
        OutputError: it cannot be written, for example because the disk is full.
    """
    if sys.stdout is None:  # `>&-`
        raise OutputError("Standard output is closed.", hint="Write files with -o DIR.")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence_stdout()
        raise OutputError(f"Standard output cannot be written: {error.strerror or error}.") from error


def replace_closed_stderr() -> None:
    """Redirect messages to the null device if the caller closed standard error (`2>&-`)."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (for as long as the process runs)


def silence_stdout() -> None:
    """Redirect standard output to the null device, so that the process does not write to a closed pipe at its end."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass  # a stream without a file, as in tests


def say(text: str) -> None:
    """Write a line to standard error; characters that its encoding lacks are escaped."""
    with contextlib.suppress(BrokenPipeError):  # the reader has closed the pipe
        print(text, file=sys.stderr, flush=True)


def say_error(error: SpeechCliError) -> None:
    """Write an error and its hint to standard error."""
    say(f"error: {error.message}")
    if error.hint:
        say(f"hint: {error.hint}")


class Console:
    """Shows the progress of a job.

    Args:
        progress: `auto`, `bar`, `plain`, `json` or `none`; auto is a bar on a terminal, otherwise occasional lines.
        quiet: print nothing but errors.
        verbose: print more details.
        clock: returns seconds since any point in time.
    """

    def __init__(
        self,
        progress: str = "auto",
        *,
        quiet: bool = False,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if progress == "auto":
            progress = "none" if quiet else "bar" if sys.stderr.isatty() else "plain"
        self._kind = progress
        self._quiet = quiet
        self._verbose = verbose
        self._clock = clock
        self._began = self._shown = clock()
        self._bar = _Bar() if progress == "bar" else None

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Hide the bar."""
        if self._bar is not None:
            self._bar.hide()

    def data(self, data: bytes) -> None:
        """Write results to standard output."""
        if self._bar is not None:
            self._bar.hide()
        write_data(data)

    def report(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, Loaded):
            self._began = self._shown = self._clock()
        if isinstance(event, Progress):
            self._show_progress(event)
        elif self._kind == "json":
            self._say_json({Failure: "failure", Warned: "warning", Loaded: "loaded"}[type(event)], event)
        elif isinstance(event, Failure):
            where = "" if event.path in event.message else f"{event.path}: "
            self._say(f"error: {where}{event.message}" + (f"\nhint: {event.hint}" if event.hint else ""))
        elif isinstance(event, Warned) and not self._quiet:
            self._say(f"warning: {event.message}")
        elif isinstance(event, Loaded) and self._verbose:
            self._say(f"model: {event.model} on {event.device} in {event.dtype}")

    def summary(self, report: JobReport) -> None:
        """Show the outcome of the job."""
        if self._quiet:
            return
        if self._kind == "json":
            values = {"done": report.done, "skipped": report.skipped, "failed": len(report.failures)}
            self._say(json.dumps({"event": "summary", **values, "audio_seconds": round(report.audio_seconds, 3)}))
            return
        seconds = self._clock() - self._began
        counts = [f"{report.done} done"]
        counts += [f"{report.skipped} skipped (done before)"] if report.skipped else []
        counts += [f"{len(report.failures)} failed"] if report.failures else []
        speed = f", {report.audio_seconds / seconds:.1f} × real time" if seconds > 0 and report.done else ""
        self._say(f"{', '.join(counts)}; {report.audio_seconds:.1f} s of audio in {seconds:.1f} s{speed}")

    def _show_progress(self, event: Progress) -> None:
        now = self._clock()
        if self._bar is not None:
            self._bar.show(event, now - self._began)
        elif self._kind == "json":
            pace = _Pace.of(event, now - self._began)
            values = {**event._asdict(), **pace._asdict()}
            rounded = {name: value if value is None else round(value, 3) for name, value in values.items()}
            self._say(json.dumps({"event": "progress", **rounded}))
        elif self._kind == "plain" and now - self._shown >= PLAIN_SECONDS:
            self._shown = now
            self._say(_Pace.of(event, now - self._began).sentence(event))

    def _say_json(self, name: str, event: Any) -> None:
        self._say(json.dumps({"event": name, **event._asdict()}, ensure_ascii=True))

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.hide()
        say(text)


class _Bar:
    """A progress bar on standard error that is hidden while text is printed."""

    def __init__(self) -> None:
        import rich.console
        import rich.progress

        self._progress = rich.progress.Progress(
            rich.progress.BarColumn(),
            rich.progress.TaskProgressColumn(),
            rich.progress.TextColumn("{task.description}", markup=False),
            console=rich.console.Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("", total=None)
        self._shown = False

    def show(self, event: Progress, seconds: float) -> None:
        if not self._shown:
            self._progress.start()
            self._shown = True
        done, total = float(event.done), float(event.total)
        if event.expected_seconds:
            done, total = event.audio_seconds, max(event.expected_seconds, event.audio_seconds)
        sentence = _Pace.of(event, seconds).sentence(event)
        self._progress.update(self._task, completed=done, total=total, description=sentence)

    def hide(self) -> None:
        if self._shown:
            self._progress.stop()
            self._shown = False


class _Pace(NamedTuple):
    """The speed of a job."""

    seconds: float
    """Seconds since the model was loaded."""
    speed: float | None
    """Seconds of audio per second."""
    seconds_left: float | None
    """None: unknown."""

    @classmethod
    def of(cls, event: Progress, seconds: float) -> "_Pace":
        speed = event.audio_seconds / seconds if seconds > 0 and event.audio_seconds > 0 else None
        if speed is None or event.expected_seconds is None:
            return cls(seconds, speed, None)
        return cls(seconds, speed, max(0.0, event.expected_seconds - event.audio_seconds) / speed)

    def sentence(self, event: Progress) -> str:
        inputs = f"{event.done}/{event.total} inputs"
        if self.speed is None:
            return f"{inputs}, {self.seconds:.0f} s"
        expected = event.expected_seconds
        of = "" if expected is None else f" of about {max(expected, event.audio_seconds):.0f}"
        left = "" if self.seconds_left is None else f", about {_clock(self.seconds_left)} left"
        return f"{inputs}, {event.audio_seconds:.0f}{of} s of audio ({self.speed:.1f} × real time){left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
