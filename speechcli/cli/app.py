"""The command `speechcli`: registers all commands, and turns errors into messages and exit codes in one place."""

import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from types import FrameType
from typing import Annotated

import typer

from speechcli import __version__
from speechcli.cli import console
from speechcli.cli.average import average
from speechcli.cli.data import data
from speechcli.cli.evaluate import evaluate
from speechcli.cli.info import info
from speechcli.cli.init import init
from speechcli.cli.report import report
from speechcli.cli.train import train
from speechcli.cli.transcribe import transcribe
from speechcli.cli.translate import translate
from speechcli.cli.warm_start import warm_start
from speechcli.errors import OutOfMemory, SpeechCliError, UsageError

INTERRUPTED = 130
TERMINATED = 143

app = typer.Typer(
    name="speechcli",
    help="Speech recognition and translation: any pretrained speech encoder with any pretrained text decoder.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"speechcli {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Speech recognition and translation: any pretrained speech encoder with any pretrained text decoder."""


app.command("init")(init)
app.command("warm-start")(warm_start)
app.command("train")(train)
app.command("transcribe")(transcribe)
app.command("translate")(translate)
app.command("evaluate")(evaluate)
app.command("info")(info)
app.command("average")(average)
app.command("report")(report)
app.add_typer(data, name="data")


class _Terminated(BaseException):
    """SIGTERM came."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: command-line arguments; None: those of the process.

    Returns:
        the exit code
    """
    console.replace_closed_stderr()
    # torch then requests large pages from the system, which halves the time for filling large tensors.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with _sigterm_raises():
            _refuse_empty(given)
            code = app(args=given, prog_name="speechcli", standalone_mode=False)
            if sys.stdout is not None:
                sys.stdout.flush()
    except BaseException as error:  # every way out of the program ends here
        return _report(error)
    return code if isinstance(code, int) else 0


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse empty arguments, because an empty path means the current folder."""
    for before, argument in pairwise(["speechcli", *arguments]):
        if re.fullmatch("(--[a-z-]+=)?", argument):
            raise UsageError(
                f"The argument after `{argument or before}` must not be empty.",
                hint="Is a shell variable not set?",
            )


def _report(error: BaseException) -> int:
    """Print a message for an error, and return its exit code."""
    # Typer turns a closed pipe into SystemExit(1).
    if isinstance(error, BrokenPipeError) or (
        isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError)
    ):
        console.silence_stdout()  # `| head -1` has read enough
        return 0
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, _Terminated):
        return TERMINATED
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if os.environ.get("SPEECHCLI_DEBUG") == "1":
        traceback.print_exception(error)
    if isinstance(error, typer.TyperException):
        return _report_usage(error)
    known = error if isinstance(error, SpeechCliError) else _explained(error)
    console.say_error(known)
    return known.exit_code


def _report_usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    path = "speechcli" if context is None else context.command_path
    console.say_error(SpeechCliError(error.format_message(), hint=f"`{path} -h` shows all flags."))
    return error.exit_code


def _explained(error: BaseException) -> SpeechCliError:
    """Return a readable error for an exception of another library, or an unexpected one."""
    text = str(error)
    # torch has no error class for CPUs without memory
    memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if memory or "can't allocate memory" in text:
        return OutOfMemory("Memory ran out.", hint="Try a smaller model, or --dtype bfloat16.")
    if isinstance(error, (ImportError, OSError, RuntimeError)) and _is_torchaudio_mismatch(text):
        return SpeechCliError(
            f"torchaudio does not fit the installed torch: {text.strip().splitlines()[0]}",
            hint="Install torch and torchaudio again, both from the same index; "
            "without a GPU, both from PyTorch's CPU wheel index.",
        )
    if isinstance(error, OSError) and error.strerror:
        return SpeechCliError(f"{error.filename or 'A file'} cannot be used: {error.strerror}.")
    sentence = text.strip().splitlines()[0] if text.strip() else "no message"
    return SpeechCliError(
        f"{type(error).__name__}: {sentence}",
        hint="This is a bug in speechcli; SPEECHCLI_DEBUG=1 shows where it happened.",
    )


def _is_torchaudio_mismatch(text: str) -> bool:
    marks = ("torchaudio", "libc10", "libtorch", "libcudart", "CUDA version", "different CUDA versions")
    return any(mark in text for mark in marks)


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Make SIGTERM raise an exception, so that no half-written files are left behind."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
