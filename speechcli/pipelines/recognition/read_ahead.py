"""Prepare the next item in a thread while the caller works on the current one."""

import threading
from collections.abc import Callable, Generator, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")

# A process crashes if it exits while another thread is running torch, so the thread gets this time to stop. It may take
# longer if it is reading from a blocked pipe.
PATIENCE_SECONDS = 2.0


class _End(Generic[Item]):
    """Marks the end of the items, and carries the error that ended them."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def read_ahead(items: Callable[[Callable[[], bool]], Iterator[Item]]) -> Generator[Item, None, None]:
    """Yield the same items, prepared one item ahead in a thread.

    Args:
        items: makes the items; called with a function that returns whether to stop.

    Raises:
        BaseException: any error that was raised while preparing an item.
    """
    made: SimpleQueue[Item | _End[Item]] = SimpleQueue()
    wanted = threading.Semaphore(1)
    stopped = threading.Event()

    def make() -> None:
        error = None
        try:
            for item in items(stopped.is_set):
                made.put(item)
                wanted.acquire()
                if stopped.is_set():
                    return
        except BaseException as raised:  # is raised again in the thread that uses the items
            error = raised
        made.put(_End(error))

    # A daemon, so that the process can end while it is reading from a blocked pipe.
    thread = threading.Thread(target=make, name="read ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := made.get(), _End):
            yield item
            wanted.release()
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        wanted.release()
        thread.join(PATIENCE_SECONDS)
