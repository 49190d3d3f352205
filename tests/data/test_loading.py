import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from speechcli.data.batching import DurationBatches
from speechcli.data.loading import load_epoch
from speechcli.data.manifest import Utterance


class SendSignal:
    """Sends a signal to the process that makes the batch, as a launcher does to a whole process group."""

    def __init__(self, number: int) -> None:
        self.number, self.epoch = number, 0

    def __call__(self, utterances: Sequence[Utterance]) -> list[str]:
        os.kill(os.getpid(), self.number)
        return [utterance.id for utterance in utterances]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_outlive_signals_that_the_training_process_answers(number: int) -> None:
    utterances = [Utterance(name, Path(f"{name}.wav"), 1.0) for name in "abc"]
    batches = DurationBatches(utterances, max_seconds=1.0, seed=0)
    names = [name for batch in load_epoch(batches, SendSignal(number), workers=1) for name in batch]
    assert sorted(names) == ["a", "b", "c"]
