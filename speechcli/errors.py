"""Errors for the user: each has a message, perhaps a hint, and an exit code.

The command line catches `SpeechCliError` in one place (`speechcli.cli.app`) and prints ``error: …`` and ``hint: …``.
"""

import errno
import os


class SpeechCliError(Exception):
    """An error that is reported to the user in one sentence.

    Args:
        message: subject, rule and actual value.
        hint: what to do next, if known.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        few_handles = any(os.strerror(number) in message for number in (errno.EMFILE, errno.ENFILE))
        self.hint = "Allow more open files: `ulimit -n 1024`." if few_handles else hint


class UsageError(SpeechCliError):
    """Wrong usage: a flag, a language or an output name."""

    exit_code = 2


class ModelError(SpeechCliError):
    """A model, its files or its configuration cannot be used."""

    exit_code = 3


class InputError(SpeechCliError):
    """Audio, a manifest or another input cannot be used."""

    exit_code = 4


class SomeInputsFailed(SpeechCliError):
    """Some inputs failed; the others are written."""

    exit_code = 5


class AllInputsFailed(SpeechCliError):
    """Every input failed."""

    exit_code = 6


class OutOfMemory(SpeechCliError):
    """Memory ran out even with the smallest batch."""

    exit_code = 7


class OutputError(SpeechCliError):
    """The disk is full or an output cannot be written."""

    exit_code = 8


class TrainingDiverged(SpeechCliError):
    """The loss or the gradients stopped being finite."""

    exit_code = 9


class Stopped(SpeechCliError):
    """A signal stopped the work, and its state can be resumed."""

    exit_code = 75
