"""Turns SIGINT and SIGTERM into a flag, so that work can be finished and saved."""

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any


class StopSignals:
    """Remembers the first SIGINT or SIGTERM within a with-statement; a second one has its usual effect.

    Args:
        notify: called at the first signal.
        echoed: whether a process launcher repeats a Ctrl-C that the terminal has already sent to all processes; a
            second signal is then ignored.
    """

    def __init__(self, notify: Callable[[], None] = lambda: None, *, echoed: bool = False) -> None:
        self.received = False
        self._notify, self._echoed = notify, echoed
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():  # Python allows handlers only there
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            return
        self.received = True
        if not self._echoed:
            self._restore()
        with contextlib.suppress(RuntimeError):  # the signal interrupted another message
            self._notify()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
