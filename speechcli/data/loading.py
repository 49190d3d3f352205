"""One epoch of batches, read by worker processes ahead of the training step."""

import math
import signal
from collections.abc import Generator, Sequence
from typing import Protocol, TypeVar

from torch.utils.data import DataLoader, Dataset

from speechcli.data.batching import DurationBatches
from speechcli.data.manifest import Utterance
from speechcli.errors import UsageError

try:
    import resource
except ImportError:  # Windows, where tensors of workers need no open files
    resource = None  # type: ignore[assignment]

# Open files per worker: for the tensors of two prefetched batches, and for the connections to the worker.
HANDLES_PER_WORKER = 32

Item = TypeVar("Item", covariant=True)


class Collates(Protocol[Item]):
    """A collate function that can be sent to worker processes."""

    epoch: int

    def __call__(self, utterances: Sequence[Utterance], /) -> Item:
        """Collate a batch."""


class _Utterances(Dataset[Utterance]):
    """A data set for a sampler that yields utterances instead of indices."""

    def __getitem__(self, utterance: Utterance) -> Utterance:
        return utterance


def load_epoch(
    batches: DurationBatches, collate: Collates[Item], *, workers: int = 0, pin_memory: bool = False
) -> Generator[Item]:
    """Yield the batches of the current epoch, or the rest of them after a resume.

    Close this generator explicitly: this is the only safe way to end the workers, and the process cannot exit while
    they run. With workers, `batches` is ahead of the batches that were used, so a state that is saved within an epoch
    needs their number: `batches.state_dict(epoch=epoch, position=used)`.

    Args:
        batches: the plan; it moves on to the next epoch at the end.
        collate: makes the batches; its epoch is set here.
        workers: number of worker processes; 0 reads in this process.
        pin_memory: whether to use pinned memory, for faster copies to a GPU.

    Raises:
        UsageError: the system allows fewer open files than the workers need: they would wait forever.
    """
    _check_handles(workers)
    collate.epoch = batches.epoch
    loaded = iter(
        DataLoader(
            _Utterances(),
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=workers,
            pin_memory=pin_memory,
            worker_init_fn=_outlive_signals,
        )
    )
    try:
        yield from loaded
    finally:
        # Deleting the iterator also ends its workers, but an error that was raised in it keeps a reference to it.
        end_workers = getattr(loaded, "_shutdown_workers", None)
        if end_workers is not None:
            end_workers()


def _check_handles(workers: int) -> None:
    allowed = math.inf if workers == 0 or resource is None else resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    needed = HANDLES_PER_WORKER * (1 + workers)
    if 0 <= allowed < needed:
        raise UsageError(
            f"Reading ahead (workers: {workers}) needs {needed} open files, but the system allows {allowed}.",
            hint=f"Allow them with `ulimit -n {needed}`, or use no workers: --workers 0, in training batch.workers=0.",
        )


def _outlive_signals(worker: int) -> None:
    # A signal to the whole process group is for the training process, which finishes its step, saves, and then ends its
    # workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
