"""Cut recordings into pieces that are decoded separately; a recording is never whole in memory."""

import io
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import takewhile
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from speechcli.audio.activity import make_detector
from speechcli.audio.inside import outer_file
from speechcli.audio.read import SILENT_PEAK, RawFormat, Sound, open_audio
from speechcli.audio.segments import AudioSegment, cut
from speechcli.audio.url import Url
from speechcli.errors import InputError, OutOfMemory, SpeechCliError
from speechcli.pipelines.files.inputs import Source
from speechcli.pipelines.outcome import Failure
from speechcli.pipelines.speech_options import InputOptions, SpeechOptions


@dataclass(frozen=True)
class Piece:
    """A part of a recording that is decoded at once."""

    index: int
    """Number of the recording in the job, from 0."""
    number: int
    """Number of the piece in the recording, from 0."""
    start: float
    """Start in seconds, from where reading the recording began."""
    samples: NDArray[np.float32]
    """(samples,) at the model's rate."""
    covers: float
    """Seconds of the recording since the end of the previous piece."""
    channel: int | None = None
    """Number of its channel, if channels are transcribed separately."""


@dataclass(frozen=True)
class End:
    """The end of a recording, or the failure to read it."""

    index: int
    """Number of the recording in the job, from 0."""
    pieces: int
    """Number of its pieces."""
    seconds: float
    """Length of the recording in seconds."""
    covers: float
    """Seconds of the recording since the end of the last piece."""
    truncated: bool = False
    """Whether the recording is shorter than its header says."""
    no_speech: bool = False
    """Whether no speech was found although the audio is not silent."""
    failure: Failure | None = None
    """Why it could not be read; its pieces are then discarded."""


class Reader:
    """Reads recordings one after the other, and estimates their total length.

    Args:
        options: how to read and to cut.
        sample_rate: sample rate of the model in Hz.
        max_seconds: the model's limit for a piece, which overrides a larger one in the options.

    Raises:
        UsageError: the voice activity detector is not available.
    """

    def __init__(self, options: SpeechOptions, sample_rate: int, max_seconds: float = math.inf) -> None:
        self._options = options
        self._sample_rate = sample_rate
        self._max_seconds = min(max_seconds, options.decoding.max_segment)
        self._sizes: list[int] = []
        self._known_bytes = 0
        self._known_seconds = 0.0
        make_detector(options.decoding.vad, sample_rate)  # raises an error before any recording is read

    @property
    def expected_seconds(self) -> float | None:
        """Estimated length of all recordings, from headers and file sizes; None: unknown."""
        if self._known_bytes == 0:
            return None
        return self._known_seconds * sum(self._sizes) / self._known_bytes

    def read(self, sources: Sequence[Source], stopped: Callable[[], bool] = lambda: False) -> Iterator[Piece | End]:
        """Yield the pieces of each recording, then its end; after a stop, the items are invalid."""
        self._sizes = [_size(source) for source in sources]
        for index, source in enumerate(sources):
            if stopped():
                return
            try:
                yield from self._read(index, source, stopped)
            except SpeechCliError as error:
                yield End(index, 0, 0.0, 0.0, failure=Failure.of(source.name, error))
            except MemoryError:
                failure = Failure(source.name, "The recording does not fit into memory.", None, OutOfMemory.exit_code)
                yield End(index, 0, 0.0, 0.0, failure=failure)

    def _read(self, index: int, source: Source, stopped: Callable[[], bool]) -> Iterator[Piece | End]:
        if isinstance(source.path, Url) and self._options.model.offline:
            raise InputError(f"{source.name} is on the web, but --offline forbids network access.")
        with open_source(source, self._options.inputs, self._sample_rate) as sound:
            chosen = self._options.inputs.channel
            channels = range(sound.channels) if chosen == "split" else (None,)
            if sound.expected_seconds is not None:
                self._known_bytes += self._sizes[index]
                self._known_seconds += len(channels) * sound.expected_seconds
            pieces, peak = 0, 0.0
            read = covered = 0.0  # seconds of all channels, one after the other
            for channel in channels:
                read_blocks = sound.blocks(chosen if channel is None else str(channel))
                blocks = _PeakMeter(takewhile(lambda _: not stopped(), read_blocks))
                for segment in self._cut(blocks):
                    end = read + segment.end / self._sample_rate
                    start = segment.start / self._sample_rate
                    yield Piece(index, pieces, start, segment.samples, end - covered, channel)
                    pieces, covered = pieces + 1, end
                peak = max(peak, blocks.peak)
                read += sound.seconds
            no_speech = pieces == 0 and peak > SILENT_PEAK
            yield End(index, pieces, sound.seconds, max(0.0, read - covered), sound.truncated, no_speech)

    def _cut(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[AudioSegment]:
        vad = self._options.decoding.vad
        return cut(
            blocks,
            self._sample_rate,
            detector=make_detector(vad, self._sample_rate),
            max_seconds=self._max_seconds,
            # By default, pauses are kept in recordings that need no cut, except in split channels, where they are long.
            whole_if_short=vad == "auto" and self._options.inputs.channel != "split",
        )


class _PeakMeter:
    """Iterates over blocks of samples, and remembers the peak."""

    def __init__(self, blocks: Iterator[NDArray[np.float32]]) -> None:
        self._blocks = blocks
        self.peak = 0.0

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for block in self._blocks:
            self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
            yield block


def stretch(source: Source, options: InputOptions) -> tuple[float | None, float | None]:
    """Return where reading starts and ends, in seconds: that of the manifest's row takes precedence over the flags."""
    own = source.start is not None or source.end is not None
    return (source.start, source.end) if own else (options.start, options.end)


def open_source(source: Source, options: InputOptions, sample_rate: int) -> AbstractContextManager[Sound]:
    """Open a recording with the given options.

    Raises:
        InputError: it cannot be read.
    """
    raw = None if options.raw is None else RawFormat(options.raw, options.rate, options.channels)
    start, end = stretch(source, options)
    return open_audio(
        cast(BinaryIO, _StandardInput()) if source.path is None else source.path,
        sample_rate=sample_rate,
        start=start,
        end=end,
        backend=options.audio_backend,
        raw=raw,
    )


class _StandardInput(io.RawIOBase):
    """Standard input as a pipe, even if it is a file, because the caller may have read from it already."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if sys.stdin is None:  # `<&-`
            raise InputError("Standard input is closed.", hint="Pipe a recording into it, or name a file.")
        return sys.stdin.buffer.read(size)


def _size(source: Source) -> int:
    try:
        return 0 if source.path is None or isinstance(source.path, Url) else os.stat(outer_file(source.path)).st_size
    except OSError:
        return 0
