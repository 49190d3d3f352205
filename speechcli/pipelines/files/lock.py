"""A lock, so that only one process works on a job in an output folder."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from speechcli.errors import OutputError
from speechcli.pipelines.files.outputs import output_error

try:
    import fcntl
except ImportError:  # Windows: two processes there are not kept apart
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a file; it is created if necessary, and removed at the end if it is empty.

    Raises:
        OutputError: another process holds it, or it cannot be written.
    """
    try:
        file = path.open("ab")
    except OSError as error:
        raise output_error(path, error) from error
    with file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"The folder {path.parent} can be written by one job at a time, but another job is running.",
                hint="Wait for it, or divide the work: --shard 1/2 here and --shard 2/2 there.",
            ) from error
        except OSError:
            pass  # a file system without locks
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                if path.stat().st_size == 0:
                    path.unlink()
