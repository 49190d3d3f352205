"""Work in a thread while the caller works on what came before."""

import threading
from collections.abc import Generator, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")


class _End(Generic[Item]):
    """The thread is done."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def read_ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """Yield the same items; while the caller works on one, the next is made in a thread, and no more than that one.

    Raises:
        BaseException: whatever making an item raised.
    """
    made: SimpleQueue[Item | _End[Item]] = SimpleQueue()
    wanted = threading.Semaphore(1)
    stopped = threading.Event()

    def make() -> None:
        error = None
        try:
            for item in items:
                made.put(item)
                wanted.acquire()
                if stopped.is_set():
                    return
        except BaseException as raised:  # is raised where the items are used
            error = raised
        made.put(_End(error))

    # Not waited for at the end of the process: it may be reading a pipe that nobody writes to.
    threading.Thread(target=make, name="read ahead", daemon=True).start()
    try:
        while not isinstance(item := made.get(), _End):
            yield item
            wanted.release()
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        wanted.release()
