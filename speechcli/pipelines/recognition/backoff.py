"""Retry with smaller batches when memory runs out."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from speechcli.errors import OutOfMemory

Item = TypeVar("Item")
Result = TypeVar("Result")


class BackOff:
    """Runs work in batches; halves the batch size for good when memory runs out."""

    def __init__(self) -> None:
        self._largest: int | None = None

    def run(
        self, work: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item]
    ) -> Iterator[tuple[Sequence[Item], Sequence[Result] | OutOfMemory]]:
        """Do the work at once if it fits into memory, else in parts.

        Yields:
            Some of the items with their results, or a single item that does not fit into memory with the error.
        """
        waiting = [items]
        while waiting:
            part = waiting.pop()
            if self._largest is not None and len(part) > self._largest:
                waiting += [part[self._largest :], part[: self._largest]]
                continue
            results = _attempt(work, part)
            if isinstance(results, OutOfMemory) and len(part) > 1:
                self._largest = len(part) // 2
                waiting.append(part)
            else:
                yield part, results


def _attempt(
    work: Callable[[Sequence[Item]], Sequence[Result]], part: Sequence[Item]
) -> Sequence[Result] | OutOfMemory:
    try:
        return work(part)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
    # Outside the handler, whose traceback would keep the failed attempt's tensors alive.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return OutOfMemory("Memory ran out.", hint="Try a smaller --max-segment or --beam-size, or --dtype bfloat16.")


def _is_out_of_memory(error: BaseException) -> bool:
    # torch has no error class for CPUs without memory.
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)
