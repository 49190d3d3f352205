"""What the commands of this folder share: flags, messages and exit codes."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from speechcli.errors import SpeechCliError

_FLAGS = {
    "--data": "folder of the recordings",
    "--out": "folder to write",
    "--catalogues": "folder of unpacked packages with translations (catalogues.py)",
    "--model": "folder of a model with a CTC head",
}


def make_parser(command: str, description: str | None, *flags: str) -> argparse.ArgumentParser:
    """Makes a parser; a command adds what it alone has.

    Args:
        command: the module, such as "speechcli.recipes.embedded_data.crossed".
        description: its docstring.
        flags: some of ``--data --out --catalogues --model``; all but the catalogues must be given.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {command}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for flag in flags:
        parser.add_argument(flag, type=Path, required=flag != "--catalogues", help=_FLAGS[flag])
    return parser


def exit_code(work: Callable[[], None]) -> int:
    """Does the work of a command; returns 0, or says what is wrong and returns the error's exit code."""
    try:
        work()
    except SpeechCliError as error:
        say(f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))
        return error.exit_code
    return 0


def say(text: str) -> None:
    """Writes a line to standard error at once."""
    print(text, file=sys.stderr, flush=True)
