"""Headerless PCM, and limits of sample rates and channels."""

from __future__ import annotations

from dataclasses import dataclass

from speechcli.errors import UsageError

MIN_SAMPLE_RATE = 4_000
MAX_SAMPLE_RATE = 384_000
MAX_CHANNELS = 32

# encoding -> (libsndfile subtype, byte order)
RAW_ENCODINGS: dict[str, tuple[str, str]] = {
    "s8": ("PCM_S8", "LITTLE"),
    "u8": ("PCM_U8", "LITTLE"),
    "s16le": ("PCM_16", "LITTLE"),
    "s16be": ("PCM_16", "BIG"),
    "s24le": ("PCM_24", "LITTLE"),
    "s24be": ("PCM_24", "BIG"),
    "s32le": ("PCM_32", "LITTLE"),
    "s32be": ("PCM_32", "BIG"),
    "f32le": ("FLOAT", "LITTLE"),
    "f32be": ("FLOAT", "BIG"),
    "f64le": ("DOUBLE", "LITTLE"),
    "f64be": ("DOUBLE", "BIG"),
    "mulaw": ("ULAW", "LITTLE"),
    "alaw": ("ALAW", "LITTLE"),
}


@dataclass(frozen=True)
class RawFormat:
    """The format of headerless PCM, which the data itself does not contain.

    Args:
        encoding: FFmpeg's name of the sample format, such as ``s16le``.
        rate: sample rate in Hz.
        channels: number of interleaved channels.

    Raises:
        UsageError: the encoding is unknown, or the sample rate or number of channels is out of range.
    """

    encoding: str = "s16le"
    rate: int = 16_000
    channels: int = 1

    def __post_init__(self) -> None:
        if self.encoding not in RAW_ENCODINGS:
            raise UsageError(
                f"The raw encoding must be one of {', '.join(RAW_ENCODINGS)}, but is `{self.encoding}`.",
                hint="--raw s16le",
            )
        if not MIN_SAMPLE_RATE <= self.rate <= MAX_SAMPLE_RATE:
            raise UsageError(
                f"The rate of raw audio must be from {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz, but is {self.rate}."
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise UsageError(f"Raw audio must have from 1 to {MAX_CHANNELS} channels, but has {self.channels}.")
