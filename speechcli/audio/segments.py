"""Long audio as stretches that a model can take: cut where it is quietest, nothing lost, nothing doubled."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAME_SECONDS = 0.02
# A pause between words lasts 0.1 to 0.3 s; the mean over this much sound keeps a cut out of the closure of a plosive.
PAUSE_SECONDS = 0.2


class Stretch(NamedTuple):
    """A stretch of samples, `start` counted in, `end` not."""

    start: int
    end: int


def cut(samples: NDArray[np.float32], sample_rate: int, *, max_seconds: float = 30.0) -> list[Stretch]:
    """Cut audio into stretches of at most `max_seconds`, at the quietest points.

    The stretches follow each other without a gap or an overlap. Each cut lies in the second half of the longest
    stretch possible; audio that is short enough is one stretch, and empty audio is none.

    Args:
        samples: mono audio, (samples,).
        sample_rate: in Hz.
        max_seconds: the longest stretch.

    Raises:
        ValueError: if `max_seconds` holds fewer than two frames of 20 ms.
    """
    frame = max(1, round(FRAME_SECONDS * sample_rate))
    longest = int(max_seconds * sample_rate)
    if longest < 2 * frame:
        raise ValueError(f"`max_seconds` must be at least {2 * FRAME_SECONDS}, but is {max_seconds}.")
    stretches = []
    start = 0
    while len(samples) - start > longest:
        end = start + _quietest(samples[start : start + longest], frame)
        stretches.append(Stretch(start, end))
        start = end
    if len(samples) > start:
        stretches.append(Stretch(start, len(samples)))
    return stretches


def _quietest(samples: NDArray[np.float32], frame: int) -> int:
    """Return the sample in the second half around which the sound is weakest."""
    first = len(samples) // 2
    half = samples[first:].astype(np.float64)
    frames = half[: len(half) // frame * frame].reshape(-1, frame)  # (samples,) -> (frames, samples in a frame)
    if len(frames) == 0:
        return len(samples)
    power = np.square(frames).mean(axis=1)
    around = min(len(power), round(PAUSE_SECONDS / FRAME_SECONDS))
    smooth = np.convolve(power, np.ones(around) / around, mode="valid")
    # Of equally quiet places the last: fewer, longer stretches.
    best = len(smooth) - 1 - int(np.argmin(smooth[::-1]))
    return first + (best + around // 2) * frame
