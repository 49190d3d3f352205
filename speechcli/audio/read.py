"""Reading audio: a file, a stream or raw PCM -> mono float32 samples at the model's sample rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import BinaryIO, NamedTuple

import numpy as np
import soxr

from speechcli.audio.decoders import CutShort, Decoder, open_decoder
from speechcli.audio.inside import AudioFile
from speechcli.audio.raw import RawFormat
from speechcli.audio.source import name_of, open_bytes
from speechcli.audio.url import Url
from speechcli.errors import InputError, UsageError

__all__ = [
    "AUDIO_BACKENDS",
    "AUDIO_EXTENSIONS",
    "SILENT_PEAK",
    "Audio",
    "RawFormat",
    "Sound",
    "audio_rate",
    "audio_seconds",
    "open_audio",
    "read_audio",
]

AUDIO_BACKENDS = ("auto", "soundfile", "av")

AUDIO_EXTENSIONS = frozenset(
    ".aif .aifc .aiff .au .caf .flac .mp3 .oga .ogg .opus .rf64 .snd .sph .w64 .wav .wave "  # libsndfile
    ".3gp .aac .amr .m4a .m4b .mka .mkv .mov .mp4 .mpeg .mpga .webm .wma".split()  # FFmpeg, by the extra `av`
)
"""Lower-case suffixes of audio files in folders."""

SILENT_PEAK = 0.5 / 2**15
"""Below half a step of 16-bit audio there is only digital silence."""

# Longer files without samples have an incomplete header.
MAX_BYTES_WITHOUT_SAMPLES = 4096


class Audio(NamedTuple):
    """Decoded audio of one channel."""

    samples: np.ndarray
    """(samples,) float32, full scale is 1.0."""
    sample_rate: int
    """Sample rate of ``samples`` in Hz."""
    seconds: float
    """Length, measured before resampling."""
    truncated: bool
    """Whether the source ends or is damaged before the length in its header."""


class Sound:
    """An open source that yields blocks of one channel at the model's sample rate.

    Args:
        decoder: decoder of the source.
        name: name of the source in messages.
        size: size of the source in bytes.
        sample_rate: sample rate of the result in Hz.
        start: start in seconds.
        end: end in seconds.
    """

    def __init__(self, decoder: Decoder, name: str, size: int, *, sample_rate: int, start: float, end: float) -> None:
        self.sample_rate = sample_rate
        self.channels = decoder.channels
        self.seconds = 0.0
        """Seconds read so far, measured before resampling."""
        self.truncated = False
        """After the last block: whether the source ends or is damaged before the length in its header."""
        self._decoder, self._name, self._size = decoder, name, size
        self._start, self._end = start, end

    @property
    def expected_seconds(self) -> float | None:
        """Length according to the header; None if unknown."""
        if self._decoder.frames is None:
            return None
        return max(0.0, min(self._decoder.frames / self._decoder.sample_rate, self._end) - self._start)

    def blocks(self, channel: str = "mix") -> Iterator[np.ndarray]:
        """Yield samples (samples,) float32, full scale is 1.0; each call starts again.

        Args:
            channel: ``mix`` for the mean of all channels, or the number of one, from 0.

        Raises:
            InputError: the source lacks the channel, a sample is not finite, or there are no samples although the file
                is not empty.
        """
        rate = self._decoder.sample_rate
        stream = None
        if rate != self.sample_rate:
            stream = soxr.ResampleStream(rate, self.sample_rate, 1, dtype="float32")
        frames = 0
        try:
            for block in self._decoded(channel):
                frames += len(block)
                self.seconds = frames / rate
                yield block if stream is None else stream.resample_chunk(block)
        except CutShort:
            self.truncated = True
        if frames == 0:
            _check_empty(self._name, self._size, self._start, self.truncated)
        elif stream is not None:
            yield stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)

    def _decoded(self, channel: str) -> Iterator[np.ndarray]:
        """Yield samples at the sample rate of the source."""
        if channel != "mix" and int(channel) >= self.channels:
            have = "has one channel, number 0" if self.channels == 1 else f"has the channels 0 to {self.channels - 1}"
            raise InputError(f"`{self._name}` {have}, but channel {channel} was requested.")
        rate = self._decoder.sample_rate
        position = round(self._start * rate)
        stop = self._end if math.isinf(self._end) else round(self._end * rate)
        for block in self._decoder.blocks(position):
            # (frames, channels) -> (frames,)
            mono = block.mean(axis=1, dtype=np.float32) if channel == "mix" else block[:, int(channel)]
            if position + len(mono) >= stop:
                mono = mono[: int(stop) - position]
            finite = np.isfinite(mono)
            if not finite.all():
                at = (position + int(finite.argmin())) / rate
                raise InputError(
                    f"The samples of `{self._name}` must be finite, but at {at:.3f} s one is NaN or infinite."
                )
            yield np.ascontiguousarray(mono)
            position += len(mono)
            if position >= stop:
                return


@contextmanager
def open_audio(
    source: AudioFile | Url | BinaryIO,
    *,
    sample_rate: int,
    start: float | None = None,
    end: float | None = None,
    backend: str = "auto",
    raw: RawFormat | None = None,
) -> Iterator[Sound]:
    """Open a source for reading in blocks.

    Args:
        source: file, or binary stream at any position; a pipe is first copied to a temporary file.
        sample_rate: sample rate of the result in Hz.
        start: start in seconds.
        end: end in seconds; may exceed the length of the recording.
        backend: ``auto``, ``soundfile`` or ``av``.
        raw: format of headerless PCM.

    Raises:
        InputError: the source cannot be read or decoded, its sample rate or number of channels is out of range, or it
            ends before ``start``.
        UsageError: a time or the backend is invalid.
    """
    _check_request(start, end, backend)
    name = name_of(source)
    with ExitStack() as stack:
        opened, size = open_bytes(source, name, stack)
        decoder = stack.enter_context(closing(open_decoder(opened, name, backend, raw)))
        yield Sound(
            decoder, name, size, sample_rate=sample_rate, start=start or 0.0, end=math.inf if end is None else end
        )


def read_audio(
    source: AudioFile | Url | BinaryIO,
    *,
    sample_rate: int,
    channel: str = "mix",
    start: float | None = None,
    end: float | None = None,
    backend: str = "auto",
    raw: RawFormat | None = None,
) -> Audio:
    """Read one channel of audio at a given sample rate; arguments are those of `open_audio` and `Sound.blocks`.

    A source without samples is not an error: the result is empty. For a truncated source, the result is what can be
    decoded, and ``truncated`` is true.

    Raises:
        InputError: as in `open_audio` and `Sound.blocks`.
        UsageError: as in `open_audio`, or the channel is invalid.
    """
    if channel != "mix" and not (channel.isascii() and channel.isdigit()):
        raise UsageError(f"The channel must be `mix` or a number from 0, but is `{channel}`.")
    with open_audio(source, sample_rate=sample_rate, start=start, end=end, backend=backend, raw=raw) as sound:
        parts = list(sound.blocks(channel))
    samples = np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
    return Audio(samples, sample_rate, sound.seconds, sound.truncated)


def audio_seconds(file: AudioFile | Url) -> float:
    """Return the length of an audio file in seconds, from its header if possible.

    Raises:
        InputError: the file cannot be read or decoded.
    """
    with _header(file) as decoder:
        frames = decoder.frames
        if frames is None:
            frames = 0
            with suppress(CutShort):
                for block in decoder.blocks(0):
                    frames += len(block)
        return frames / decoder.sample_rate


def audio_rate(file: AudioFile | Url) -> int:
    """Return the sample rate of an audio file in Hz.

    Raises:
        InputError: the file cannot be read or decoded.
    """
    with _header(file) as decoder:
        return decoder.sample_rate


@contextmanager
def _header(file: AudioFile | Url) -> Iterator[Decoder]:
    name = name_of(file)
    with ExitStack() as stack:
        opened, _ = open_bytes(file, name, stack)
        yield stack.enter_context(closing(open_decoder(opened, name, "auto", None)))


def _check_request(start: float | None, end: float | None, backend: str) -> None:
    if backend not in AUDIO_BACKENDS:
        raise UsageError(f"The audio backend must be one of {', '.join(AUDIO_BACKENDS)}, but is `{backend}`.")
    if start is not None and not 0 <= start < math.inf:
        raise UsageError(f"The start must be 0 seconds or later, but is {start}.")
    if end is not None and not (start or 0.0) < end:
        raise UsageError(f"The end must be later than the start ({start or 0.0} s), but is {end} s.")


def _check_empty(name: str, size: int, start: float, truncated: bool) -> None:
    if start > 0:
        raise InputError(f"`{name}` ends before the requested start, {start} s.")
    if truncated:
        raise InputError(f"`{name}` cannot be decoded: it is cut off or damaged before its first sample.")
    if size > MAX_BYTES_WITHOUT_SAMPLES:
        raise InputError(
            f"The header of `{name}` says that it contains no samples, but it is {size} bytes long: "
            "its recording was perhaps interrupted.",
            hint="sox --ignore-length IN.wav OUT.wav",
        )
