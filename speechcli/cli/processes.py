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
        SpeechCliError: for all that came, or because another process is gone.
    """
    # a warning of DDP in each process, which looks for weights without a gradient on purpose
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        yield
    except SpeechCliError as error:
        _say_once(error)
    except RuntimeError as error:
        if not _lost_another(error):
            raise
        hint = "look for its message, or the system's if memory ran out; --resume continues the run"
        _say_once(SpeechCliError("Training needs all of its processes, but another one ended.", hint=hint))


def _say_once(error: SpeechCliError) -> None:
    if not _fails_first():
        raise SystemExit(error.exit_code) from error
    raise error


def _fails_first() -> bool:
    # before the processes have met, all fail alike
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_initialized():
        return is_first()
    try:
        return bool(torch.distributed.distributed_c10d._get_default_store().add("failed", 1) == 1)
    except RuntimeError:  # the process that held the store is gone, and has said why
        return False


def _lost_another(error: RuntimeError) -> bool:
    torch = sys.modules["torch"]
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)
