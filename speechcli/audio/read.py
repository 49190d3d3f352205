"""Reading sound: a file, a stream or raw PCM -> mono float32 samples at the rate of the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
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
"""Lower-case suffixes that a folder scan takes for audio."""

# A file this long that holds no samples is one whose header was never completed.
MAX_BYTES_WITHOUT_SAMPLES = 4096


class Audio(NamedTuple):
    """Decoded sound, one channel."""

    samples: np.ndarray
    """(samples,) float32, full scale is 1.0."""
    sample_rate: int
    """Of ``samples``, in Hz."""
    seconds: float
    """Length, measured before resampling."""
    truncated: bool
    """Whether the source ends or is damaged before the length in its header."""


class Sound:
    """An opened source, read in blocks of one channel at the model's rate.

    Args:
        decoder: of the source.
        blocks: one channel of what it decodes.
        sample_rate: rate of the result, in Hz.
        expected_seconds: length by the header; None where it does not say.
        check_empty: raises if it is wrong that there are no samples; told whether the source is cut short.
    """

    def __init__(
        self,
        decoder: Decoder,
        blocks: Iterator[np.ndarray],
        *,
        sample_rate: int,
        expected_seconds: float | None,
        check_empty: Callable[[bool], None],
    ) -> None:
        self.sample_rate = sample_rate
        self.expected_seconds = expected_seconds
        self.seconds = 0.0
        """Length of what was read so far, measured before resampling."""
        self.truncated = False
        """After the last block: whether the source ends, or is damaged, before the length that its header promises."""
        self._decoder, self._blocks, self._check_empty = decoder, blocks, check_empty

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield samples (samples,) float32, full scale is 1.0.

        Raises:
            InputError: a sample is no finite number, or the source holds none where it should.
        """
        rate = self._decoder.sample_rate
        stream = None
        if rate != self.sample_rate:
            stream = soxr.ResampleStream(rate, self.sample_rate, 1, dtype="float32")
        frames = 0
        try:
            for block in self._blocks:
                frames += len(block)
                self.seconds = frames / rate
                yield block if stream is None else stream.resample_chunk(block)
        except CutShort:
            self.truncated = True
        if frames == 0:
            self._check_empty(self.truncated)
        elif stream is not None:
            yield stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


@contextmanager
def open_audio(
    source: AudioFile | Url | BinaryIO,
    *,
    sample_rate: int,
    channel: str = "mix",
    start: float | None = None,
    end: float | None = None,
    backend: str = "auto",
    raw: RawFormat | None = None,
) -> Iterator[Sound]:
    """Open one channel of sound, to be read in blocks.

    Args:
        source: file, or binary stream at any position; a pipe is first copied to a temporary file.
        sample_rate: rate of the result, in Hz.
        channel: ``mix`` for the mean of all channels, or the number of one, from 0.
        start: where to begin, in seconds.
        end: where to stop, in seconds; beyond the end of the sound it has no effect.
        backend: ``auto``, ``soundfile`` or ``av``.
        raw: what the source is, if it is headerless PCM.

    Raises:
        InputError: when the source cannot be read or decoded, its rate or channel count is out of range, it lacks the
            channel, or it ends before ``start``.
        UsageError: for a channel, a time or a backend that makes no sense.
    """
    _check_request(channel, start, end, backend)
    name = name_of(source)
    with ExitStack() as stack:
        opened, size = open_bytes(source, name, stack)
        decoder = stack.enter_context(closing(open_decoder(opened, name, backend, raw)))
        expected = None
        if decoder.frames is not None:
            expected = max(0.0, min(decoder.frames / decoder.sample_rate, end or math.inf) - (start or 0.0))
        yield Sound(
            decoder,
            _one_channel(decoder, name, channel, start or 0.0, end),
            sample_rate=sample_rate,
            expected_seconds=expected,
            check_empty=partial(_check_empty, name, size, start or 0.0),
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
    """Read one channel of sound at a given rate; the arguments are those of `open_audio`.

    Zero samples are no error: the result is empty. A source that is cut short gives what can be decoded, with
    ``truncated`` set.

    Raises:
        InputError: as `open_audio` says, or when the source holds samples that are no finite numbers.
        UsageError: as `open_audio` says.
    """
    with open_audio(
        source, sample_rate=sample_rate, channel=channel, start=start, end=end, backend=backend, raw=raw
    ) as sound:
        parts = list(sound.blocks())
    samples = np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
    return Audio(samples, sample_rate, sound.seconds, sound.truncated)


def audio_seconds(file: AudioFile | Url) -> float:
    """Return the length of a sound file in seconds, from its header where that says it.

    Raises:
        InputError: when the file cannot be read or decoded.
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
    """Return the sample rate of a sound file in Hz.

    Raises:
        InputError: when the file cannot be read or decoded.
    """
    with _header(file) as decoder:
        return decoder.sample_rate


@contextmanager
def _header(file: AudioFile | Url) -> Iterator[Decoder]:
    name = name_of(file)
    with ExitStack() as stack:
        opened, _ = open_bytes(file, name, stack)
        yield stack.enter_context(closing(open_decoder(opened, name, "auto", None)))


def _one_channel(decoder: Decoder, name: str, channel: str, start: float, end: float | None) -> Iterator[np.ndarray]:
    if channel != "mix" and int(channel) >= decoder.channels:
        have = "has one channel, number 0" if decoder.channels == 1 else f"has the channels 0 to {decoder.channels - 1}"
        raise InputError(f"`{name}` {have}, but channel {channel} was requested.")
    position = round(start * decoder.sample_rate)
    stop = math.inf if end is None else round(end * decoder.sample_rate)
    for block in decoder.blocks(position):
        # (frames, channels) -> (frames,)
        mono = block.mean(axis=1, dtype=np.float32) if channel == "mix" else block[:, int(channel)]
        if position + len(mono) >= stop:
            mono = mono[: int(stop) - position]
        finite = np.isfinite(mono)
        if not finite.all():
            seconds = (position + int(finite.argmin())) / decoder.sample_rate
            raise InputError(f"The samples of `{name}` must be finite, but at {seconds:.3f} s one is NaN or infinite.")
        yield np.ascontiguousarray(mono)
        position += len(mono)
        if position >= stop:
            return


def _check_request(channel: str, start: float | None, end: float | None, backend: str) -> None:
    if channel != "mix" and not (channel.isascii() and channel.isdigit()):
        raise UsageError(f"The channel must be `mix` or a number from 0, but is `{channel}`.")
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
            f"The header of `{name}` says that it holds no samples, but it is {size} bytes long: "
            "its recording was perhaps interrupted.",
            hint="sox --ignore-length IN.wav OUT.wav",
        )
