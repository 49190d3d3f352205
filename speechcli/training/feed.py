"""Endless training batches, in an order that a resumed run continues exactly."""

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from speechcli.data.batching import DurationBatches
from speechcli.data.collate import Batch, Collate
from speechcli.data.loading import load_epoch
from speechcli.errors import InputError

Failures = list[tuple[str, str]]
"""Utterances that could not be used: id and why."""


@dataclass
class Feed:
    """Training batches, epoch after epoch.

    The content of a batch depends on the seeds, the epoch and the index of the batch, but not on the worker that
    prepares it, so that a resumed run gets the same batches.

    Args:
        plan: this process's batches of utterances.
        collate: reads the audio and makes tensors.
        workers: processes that prepare batches; 0: in this process.
    """

    plan: DurationBatches
    collate: Collate
    workers: int = 0
    epoch: int = 0
    position: int = 0
    """Batches of this epoch that were used."""
    failures: dict[str, str] = field(default_factory=dict)
    """Utterances that could not be used: id -> why."""

    def __post_init__(self) -> None:
        self._length, self._reported = len(self.plan), 0

    def __iter__(self) -> Generator[Batch]:
        while True:
            self.plan.epoch, self.plan.position = self.epoch, self.position
            self._length = len(self.plan)
            whole, used = self.position == 0, 0
            pinned = torch.cuda.is_available()
            with closing(load_epoch(self.plan, self.collate, workers=self.workers, pin_memory=pinned)) as batches:
                for batch in batches:
                    self.position += 1
                    self.failures.update(batch.failures)
                    if len(batch.labels):
                        used += 1
                        yield batch
            if whole and not used:
                reason = next(iter(self.failures.values()), "the manifests are empty")
                raise InputError(f"Training needs at least one usable recording, but there is none: {reason}")
            self.epoch, self.position = self.epoch + 1, 0

    def share_failures(self, gather: Callable[[Failures], Failures]) -> Failures:
        """Return the failures of all processes since the last call; `gather` joins their lists."""
        new = gather(list(self.failures.items())[self._reported :])
        self.failures |= new
        self._reported = len(self.failures)
        return new

    def epochs_done(self) -> float:
        """Return the number of epochs done, including the fraction of the current one."""
        return self.epoch + self.position / max(self._length, 1)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `load_state_dict`, as JSON."""
        return self.plan.state_dict(epoch=self.epoch, position=self.position)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved position.

        Raises:
            UsageError: if the data or the batch options changed in the middle of an epoch.
        """
        self.plan.load_state_dict(state)
        self.epoch, self.position, self._length = self.plan.epoch, self.plan.position, len(self.plan)


def seed_all(numbers: Sequence[int]) -> None:
    """Seed torch, numpy and random from some numbers that identify a step of the run."""
    seed = int(np.random.SeedSequence([number % 2**32 for number in numbers]).generate_state(1)[0])
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
