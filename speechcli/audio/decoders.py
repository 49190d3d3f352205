"""Decoders: a sound file or stream -> blocks of samples, by libsndfile (soundfile) or FFmpeg (PyAV, an extra)."""

from __future__ import annotations

import codecs
import importlib
import importlib.util
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Protocol

import numpy as np
import soundfile

from speechcli.audio.raw import MAX_CHANNELS, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE, RAW_ENCODINGS, RawFormat
from speechcli.errors import InputError, UsageError

# Number of frames decoded at a time, so that headers with an excessive length cost no memory.
BLOCK_FRAMES = 1 << 16


class CutShort(Exception):
    """The data ends or is damaged before the length in its header."""


class Decoder(Protocol):
    """An open audio source."""

    sample_rate: int
    """Sample rate of the source in Hz."""
    channels: int
    frames: int | None
    """Length according to the header; None if unknown."""

    def blocks(self, start: int) -> Iterator[np.ndarray]:
        """Yield the samples from frame ``start`` as float32 (frames, channels); each call starts again.

        Raises:
            CutShort: after the last decoded block, if the header says that there is more.
        """

    def close(self) -> None:
        """Close the source."""


class _LenientSeek:
    """A stream for libsndfile's callbacks, in which an exception would only print a traceback on standard error."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.read = stream.read
        self.tell = stream.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek; invalid positions in damaged data are ignored."""
        with suppress(ValueError, OSError, OverflowError):
            self._stream.seek(offset, whence)
        return self._stream.tell()


class SoundfileDecoder:
    """Decode with libsndfile.

    Raises:
        soundfile.LibsndfileError: libsndfile does not support the format.
    """

    def __init__(self, source: Path | BinaryIO, raw: RawFormat | None) -> None:
        # As bytes, because soundfile does not accept names that are not valid UTF-8 as str.
        fs_name = os.fsencode if os.name == "posix" else str
        self._target: Any = fs_name(source) if isinstance(source, Path) else _LenientSeek(source)
        self._raw = raw
        self._file = self._open()
        self.sample_rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        # libsndfile returns SF_COUNT_MAX for an unknown length (a FLAC file that was written to a pipe).
        self.frames: int | None = self._file.frames if self._file.frames < 1 << 62 else None
        self._started = False

    def _open(self) -> soundfile.SoundFile:
        if isinstance(self._target, _LenientSeek):
            self._target.seek(0)
        if self._raw is None:
            return soundfile.SoundFile(self._target)
        subtype, endian = RAW_ENCODINGS[self._raw.encoding]
        return soundfile.SoundFile(
            self._target,
            samplerate=self._raw.rate,
            channels=self._raw.channels,
            format="RAW",
            subtype=subtype,
            endian=endian,
        )

    def blocks(self, start: int) -> Iterator[np.ndarray]:
        """Yield blocks until the end of the file."""
        first = start if self.frames is None else min(start, self.frames)
        # libsndfile cannot seek in GSM 6.10 and similar telephone codecs, which are decoded from the beginning.
        position = first if self._file.seekable() else 0
        try:
            if self._started:  # libsndfile cannot seek back after damaged data
                self._file.close()
                self._file = self._open()
            if position > 0:
                self._file.seek(position)
        except soundfile.SoundFileError as error:
            raise CutShort from error
        self._started = True
        buffer = np.empty((BLOCK_FRAMES, self.channels), dtype=np.float32)
        count = BLOCK_FRAMES
        while count == BLOCK_FRAMES:
            count = self._fill(buffer)
            block = buffer[max(0, first - position) : count]
            if len(block):
                yield block.copy()
            position += count
        # The length of an MP3 without a Xing header is an estimate.
        promised = int((self.frames or 0) * (0.95 if self._file.format == "MP3" else 1))
        if position < promised or self._header_promises_more():
            raise CutShort

    def _fill(self, buffer: np.ndarray) -> int:
        # At damaged data, and at the end of a FLAC file of unknown length, soundfile fills a part of the buffer and
        # raises an error without its size: all values that are not NaN were written.
        buffer.fill(np.nan)
        try:
            return len(self._file.read(out=buffer))
        except soundfile.SoundFileError:
            unwritten = np.isnan(buffer[:, -1])
            # A full buffer would mean that there is more: its last frame is dropped.
            return int(unwritten.argmax()) if unwritten.any() else len(buffer) - 1

    def _header_promises_more(self) -> bool:
        # libsndfile corrects the length of a truncated WAV or AIFF file and only mentions it in its log. Programs that
        # write to a pipe do not know the length and write 2 GiB or more.
        found = re.search(r"^ ?(?:data|SSND) : (\d+) \(should be (\d+)\)", self._file.extra_info, re.MULTILINE)
        return found is not None and int(found[2]) < int(found[1]) < 0x7FFF_0000

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class PyAvDecoder:
    """Decode the first audio stream of a container with FFmpeg.

    Raises:
        ValueError: the container has no audio stream.
    """

    def __init__(self, source: Path | BinaryIO, av: ModuleType) -> None:
        self._av = av
        # As an absolute path, because FFmpeg takes `12:30.m4a` for an address with the protocol `12`.
        self._container = av.open(os.path.abspath(source) if isinstance(source, Path) else source)
        try:
            if not self._container.streams.audio:
                raise ValueError("it has no audio stream")
            self._stream: Any = self._container.streams.audio[0]
            self.sample_rate = int(self._stream.rate)
            self.channels = int(self._stream.channels)
            seconds = self._container.duration
            self.frames: int | None = None if seconds is None else round(seconds * self.sample_rate / av.time_base)
            self._started = False
        except BaseException:
            self._container.close()
            raise

    def blocks(self, start: int) -> Iterator[np.ndarray]:
        """Yield blocks with the length of the packets."""
        # Seeking in a compressed stream is inexact: decode from the beginning and drop samples.
        decoded = 0
        try:
            if self._started:
                self._container.seek(0)
            self._started = True
            for block in self._decoded():
                decoded += len(block)
                if decoded > start:
                    yield block[max(0, len(block) - (decoded - start)) :]
        # PyAV maps FFmpeg's error codes to many exceptions (OSError, ValueError, EOFError, UnicodeDecodeError, ...).
        except Exception as error:
            raise CutShort from error
        # FFmpeg's length of a container may differ by the codec's delay.
        if decoded < 0.95 * (self.frames or 0):
            raise CutShort

    def _decoded(self) -> Iterator[np.ndarray]:
        planar = self._av.AudioResampler(format="fltp", layout=self._stream.layout, rate=self.sample_rate)
        for frame in self._container.decode(self._stream):
            for part in planar.resample(frame):
                # (channels, frames) -> (frames, channels)
                yield part.to_ndarray().T
        for part in planar.resample(None):
            yield part.to_ndarray().T

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def open_decoder(source: Path | BinaryIO, name: str, backend: str, raw: RawFormat | None) -> Decoder:
    """Open a regular file or a seekable stream and check its header.

    Args:
        source: path, or binary stream at any position.
        name: name of the source in messages.
        backend: ``soundfile``, ``av``, or ``auto`` (soundfile, then PyAV if it is installed).
        raw: format of headerless PCM, which is always decoded with soundfile.

    Raises:
        InputError: the source cannot be decoded, or its sample rate or number of channels is out of range.
        UsageError: ``av`` is requested, but PyAV is not installed.
    """
    decoder = _open(source, name, backend, raw)
    try:
        if not MIN_SAMPLE_RATE <= decoder.sample_rate <= MAX_SAMPLE_RATE:
            rule = f"from {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz"
            raise InputError(f"The sample rate of `{name}` must be {rule}, but is {decoder.sample_rate}.")
        if not 1 <= decoder.channels <= MAX_CHANNELS:
            raise InputError(f"`{name}` must have from 1 to {MAX_CHANNELS} channels, but has {decoder.channels}.")
    except InputError:
        decoder.close()
        raise
    return decoder


def _open(source: Path | BinaryIO, name: str, backend: str, raw: RawFormat | None) -> Decoder:
    if raw is None and name.lower().endswith(".raw"):
        raise InputError(
            f"`{name}` is headerless, so its encoding, rate and channels must be given.",
            hint="--raw s16le --rate 16000 --channels 1",
        )
    if raw is None and backend == "av":
        return _open_with_av(source, name)
    try:
        return SoundfileDecoder(source, raw)
    except soundfile.SoundFileError as error:
        return _second_choice(source, name, backend, error)


def _second_choice(source: Path | BinaryIO, name: str, backend: str, error: Exception) -> Decoder:
    head = _head(source)
    if _is_text(head):
        raise InputError(f"`{name}` must be audio, but is a text file.") from error
    if backend == "auto" and importlib.util.find_spec("av") is not None:
        return _open_with_av(source, name)
    reason = getattr(error, "error_string", str(error)).rstrip(". ")
    if "not recognised" not in reason and "unsupported" not in reason.lower():
        raise InputError(f"`{name}` cannot be decoded: {reason}.") from error
    raise InputError(
        f"libsndfile does not support the format of `{name}`; m4a, mp4, webm, mkv and others need the extra `av`.",
        hint="pip install 'speechcli[av]'",
    ) from error


def _open_with_av(source: Path | BinaryIO, name: str) -> Decoder:
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        raise UsageError(
            "The audio backend `av` needs PyAV, which is not installed.", hint="pip install 'speechcli[av]'"
        ) from error
    if not isinstance(source, Path):
        source.seek(0)
    try:
        return PyAvDecoder(source, av)
    except Exception as error:
        if _is_text(_head(source)):
            raise InputError(f"`{name}` must be audio, but is a text file.") from error
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"`{name}` cannot be decoded: {reason}.") from error


def _head(source: Path | BinaryIO) -> bytes:
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(4096)
    source.seek(0)
    head = source.read(4096)
    source.seek(0)
    return head


def _is_text(head: bytes) -> bool:
    if any(byte < 32 and byte not in b"\t\n\f\r\x1b" for byte in head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True
