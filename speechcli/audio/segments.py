"""Cut recordings at pauses into segments that fit a model, without losing or repeating speech."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechcli.audio.activity import Detector, frame_power

# Longer pauses end a segment, since another sentence follows.
PAUSE_SECONDS = 1.0
# Part of a pause that is kept on each side of the speech: detectors react late to soft consonants.
MARGIN_SECONDS = 0.3
# Pauses between words last 0.1 to 0.3 s; averaging over this time avoids cuts in the closure of a plosive.
DIP_SECONDS = 0.2
BLOCK_SAMPLES = 1 << 15


class AudioSegment(NamedTuple):
    """Consecutive samples of a recording."""

    start: int
    """Number of the first sample in the recording."""
    samples: NDArray[np.float32]
    """(samples,)"""

    @property
    def end(self) -> int:
        """Number of the sample after the last."""
        return self.start + len(self.samples)


def cut(
    blocks: Iterable[NDArray[np.float32]],
    sample_rate: int,
    *,
    detector: Detector,
    max_seconds: float = 30.0,
    whole_if_short: bool = False,
) -> Iterator[AudioSegment]:
    """Cut a recording into segments of at most `max_seconds`, with at most one of them and a block in memory.

    Every frame of speech is in exactly one segment. A pause of more than a second ends a segment and is removed except
    for 0.3 s on each side. Speech without such a pause is cut at the quietest place in the second half of the longest
    possible segment, in a pause if there is one.

    Args:
        blocks: blocks of mono audio, each (samples,).
        sample_rate: sample rate in Hz.
        detector: voice activity detector.
        max_seconds: maximum length of a segment.
        whole_if_short: keep recordings that fit into one segment unchanged, including pauses.

    Raises:
        ValueError: `max_seconds` is shorter than two frames.
    """
    buffer = _Buffer(blocks, detector)
    longest = int(max_seconds * sample_rate) // detector.frame_samples
    if longest < 2:
        raise ValueError(f"`max_seconds` must be at least two frames, but is {max_seconds}.")
    # The last frame may be incomplete.
    if whole_if_short and buffer.fill(longest + 1) and 0 < buffer.samples <= max_seconds * sample_rate:
        yield buffer.take(len(buffer.speech))
        return
    rule = _Rule(
        pause=_frames(PAUSE_SECONDS, sample_rate, detector),
        margin=_frames(MARGIN_SECONDS, sample_rate, detector),
        dip=_frames(DIP_SECONDS, sample_rate, detector),
    )
    complete = False
    while not (complete and len(buffer.speech) == 0):
        complete = buffer.fill(longest)
        skipped, length = rule.next_segment(buffer.speech[:longest], buffer, complete)
        buffer.take(skipped)
        if length:
            yield buffer.take(length)


class _Buffer:
    """Samples that were read but not yet taken, and which of their frames are speech."""

    def __init__(self, blocks: Iterable[NDArray[np.float32]], detector: Detector) -> None:
        self._blocks, self._detector = _gathered(blocks), detector
        self._samples = np.zeros(0, dtype=np.float32)
        self._start = 0
        self.speech = np.zeros(0, dtype=bool)
        """(frames,); the last frame of the recording may be incomplete."""

    def fill(self, frames: int) -> bool:
        """Read until there are more than this many frames; return whether the recording ended before."""
        size = self._detector.frame_samples
        while len(self.speech) <= frames:
            block = next(self._blocks, None)
            if block is None:
                rest = len(self._samples) - len(self.speech) * size
                if rest > 0:
                    last = np.pad(self._samples[-rest:], (0, size - rest))
                    self.speech = np.concatenate([self.speech, self._detector(last)])
                return len(self.speech) <= frames
            self._samples = np.concatenate([self._samples, block])
            known = len(self.speech) * size
            whole = len(self._samples) // size * size
            if whole > known:
                self.speech = np.concatenate([self.speech, self._detector(self._samples[known:whole])])
        return False

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self._samples)

    def power(self, frames: int) -> NDArray[np.float64]:
        """Return the power of the first complete frames, (frames,)."""
        size = self._detector.frame_samples
        return frame_power(self._samples[: frames * size], size)

    def take(self, frames: int) -> AudioSegment:
        """Remove frames from the front."""
        count = min(frames * self._detector.frame_samples, len(self._samples))
        taken = AudioSegment(self._start, self._samples[:count].copy())
        self._start += count
        self._samples, self.speech = self._samples[count:], self.speech[frames:]
        return taken


class _Rule(NamedTuple):
    """Rule for start and end of a segment; all lengths are in frames."""

    pause: int
    margin: int
    dip: int

    def next_segment(self, speech: NDArray[np.bool_], buffer: _Buffer, complete: bool) -> tuple[int, int]:
        """Return the number of frames to skip, and the length of the segment after them (0: none)."""
        sounding = np.flatnonzero(speech)
        if len(sounding) == 0:
            return len(speech) if complete else max(1, len(speech) - self.margin), 0
        skipped = max(0, int(sounding[0]) - self.margin)
        if skipped:
            return skipped, 0
        # The frame of speech after each one; the end of the recording counts as a long pause.
        follows = np.append(sounding[1:], len(speech) + (self.pause if complete else 0))
        pauses = np.flatnonzero(follows - sounding > self.pause)
        if len(pauses):
            return 0, min(int(sounding[pauses[0]]) + 1 + self.margin, len(speech))
        return 0, self._quietest(buffer.power(len(speech)), speech)

    def _quietest(self, power: NDArray[np.float64], speech: NDArray[np.bool_]) -> int:
        """Return the quietest frame of the second half, in a pause if there is one."""
        first = len(power) // 2
        kernel = np.ones(min(len(power) - first, self.dip))
        smooth = np.convolve(power[first:], kernel / len(kernel), mode="valid")
        spoken = np.convolve(speech[first:], kernel, mode="valid")
        smooth[spoken > spoken.min()] = np.inf
        # The last of equally quiet frames, for fewer and longer segments.
        best = len(smooth) - 1 - int(np.argmin(smooth[::-1]))
        return first + best + len(kernel) // 2


def _gathered(blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Join short blocks, such as the packets of a video, since each block costs a copy of the buffer."""
    waiting: list[NDArray[np.float32]] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= BLOCK_SAMPLES:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _frames(seconds: float, sample_rate: int, detector: Detector) -> int:
    return max(1, round(seconds * sample_rate / detector.frame_samples))
