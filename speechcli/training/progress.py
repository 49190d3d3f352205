"""The progress of a run, and the means for its log."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from speechcli.training.feed import Feed
from speechcli.training.objective import PARTS, means
from speechcli.training.train_options import RunSection


@dataclass
class Progress:
    """The state of a run apart from weights and optimizer; saved with every checkpoint."""

    step: int = 0
    done: float = 0.0
    """Finished share of the run, 0 to 1."""
    seconds: float = 0.0
    """Time spent in steps, including the time before a resume."""
    feed: dict[str, Any] = field(default_factory=dict)
    """The feed's `state_dict`."""
    other_feeds: list[dict[str, Any]] = field(default_factory=list)
    """Those of the other processes, which may differ, because a process skips batches that it cannot read."""
    warmup_share: float = 0.0
    """Share of the run taken by the warm-up."""
    skipped: int = 0
    """Steps whose loss or gradient was not finite."""
    skipped_in_row: int = 0
    """Skipped steps in a row up to now."""
    saved: int = -1
    """Step of the newest checkpoint; -1: none."""
    evaluated: int = -1
    """Step of the newest evaluation; -1: none."""
    since_best: int = 0
    """Evaluations since the best one."""
    pieces: int = 1
    """Number of pieces that batches are split into to fit into memory."""
    scaler: dict[str, Any] = field(default_factory=dict)
    """With float16: the loss scale's `state_dict`."""
    best: list[list[float]] = field(default_factory=list)
    """[score, step] of the best evaluations, best first."""


def share_done(run: RunSection, progress: Progress, feed: Feed) -> float:
    """Return the finished share of the run, 0 to 1, by the limit that is closest."""
    shares = [0.0]
    if run.max_steps:
        shares.append(progress.step / run.max_steps)
    if run.max_epochs:
        shares.append(feed.epochs_done() / run.max_epochs)
    if run.max_minutes:
        shares.append(progress.seconds / (60.0 * run.max_minutes))
    return min(max(shares), 1.0)


class Meter:
    """Sums since the last line of the log.

    Attributes:
        steps: number of steps in them, including skipped ones.
    """

    def __init__(self) -> None:
        self._clear()

    def add(self, sums: Tensor, norm: float) -> None:
        """Add the summed losses and the gradient's norm of one step."""
        self.sums += sums
        self.norms.append(norm)

    def time(self, audio_seconds: float, seconds: float) -> None:
        """Add the audio seconds and the duration of one step."""
        self.steps += 1
        self.audio_seconds += audio_seconds
        self.seconds += seconds

    def means(self, accelerator: Accelerator) -> tuple[dict[str, float], float, float]:
        """Return mean losses, mean gradient norm and seconds of audio per second, and reset."""
        numbers = torch.cat([self.sums, torch.tensor([self.audio_seconds], dtype=torch.float64)])
        if accelerator.num_processes > 1:
            numbers = accelerator.reduce(numbers.float().to(accelerator.device), "sum").double().cpu()
        norm = sum(self.norms) / max(len(self.norms), 1)
        result = means(numbers[:-1]), norm, float(numbers[-1]) / max(self.seconds, 1e-9)
        self._clear()
        return result

    def _clear(self) -> None:
        self.sums = torch.zeros(2 * PARTS, dtype=torch.float64)
        self.norms: list[float] = []
        self.steps = 0
        self.audio_seconds = 0.0
        self.seconds = 0.0


def now() -> float:
    """Return the seconds of a monotonic clock."""
    return time.monotonic()
