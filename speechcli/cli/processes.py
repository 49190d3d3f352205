"""With several training processes (torchrun, `accelerate launch`), only one of them prints errors."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from speechcli.errors import SpeechCliError


def is_first() -> bool:
    """Whether this process is the only one, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def one_voice() -> Iterator[None]:
    """Let only the first failing process print its error; the others exit silently with the same code.

    Raises:
        SpeechCliError: the error of this process, or another process ended.
    """
    # hide DDP's warning about looking for weights without a gradient, which is intended
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        yield
    except SpeechCliError as error:
        _say_once(error)
    except RuntimeError as error:
        if not _lost_another(error):
            raise
        hint = "look for its message, or for one of the system if memory ran out; --resume continues the run"
        _say_once(SpeechCliError("Training needs all of its processes, but another one ended.", hint=hint))


def _say_once(error: SpeechCliError) -> None:
    if not _fails_first():
        raise SystemExit(error.exit_code) from error
    raise error


def _fails_first() -> bool:
    # before the processes are connected, all fail with the same error
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_initialized():
        return is_first()
    try:
        return bool(torch.distributed.distributed_c10d._get_default_store().add("failed", 1) == 1)
    except RuntimeError:  # the process with the store has ended, and has printed its error
        return False


def _lost_another(error: RuntimeError) -> bool:
    torch = sys.modules["torch"]
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)
