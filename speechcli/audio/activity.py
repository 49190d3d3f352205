"""Voice activity detection."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from speechcli.audio import silero
from speechcli.errors import UsageError

# Frames below the first level, and this much below the loudest frame so far, are silence.
QUIET_DB, BELOW_LOUDEST_DB = -60.0, 40.0
FRAMES_PER_SECOND = 50


class Detector(Protocol):
    """Detects speech in one recording, block by block."""

    frame_samples: int
    """Number of samples per frame."""

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Classify each frame as speech or not: samples (frames * frame_samples,) -> (frames,) bool."""
        ...


class EverythingIsSpeech:
    """Classifies every frame as speech."""

    def __init__(self, sample_rate: int) -> None:
        self.frame_samples = sample_rate // FRAMES_PER_SECOND

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Return true for every frame."""
        return np.ones(len(samples) // self.frame_samples, dtype=bool)


class EnergyDetector:
    """Detects silence by energy; only frames far below the loudest count as silent, so that no speech is lost."""

    def __init__(self, sample_rate: int) -> None:
        self.frame_samples = sample_rate // FRAMES_PER_SECOND
        self._loudest = 0.0

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Classify each frame by its power: samples (frames * frame_samples,) -> (frames,) bool."""
        power = frame_power(samples, self.frame_samples)
        loudest = np.maximum.accumulate(np.concatenate([[self._loudest], power]))[1:]
        self._loudest = float(loudest[-1]) if len(loudest) else self._loudest
        silent: np.ndarray = (power <= 10 ** (QUIET_DB / 10)) & (power <= loudest * 10 ** (-BELOW_LOUDEST_DB / 10))
        return ~silent


def frame_power(samples: np.ndarray, frame_samples: int) -> np.ndarray:
    """Return the mean square of each whole frame, (samples,) -> (frames,)."""
    whole = len(samples) // frame_samples * frame_samples
    power: np.ndarray = np.square(samples[:whole].reshape(-1, frame_samples), dtype=np.float64).mean(axis=1)
    return power


def make_detector(vad: str, sample_rate: int) -> Detector:
    """Return a detector for one recording.

    Args:
        vad: `none`, `energy`, `silero`, or `auto`: silero if its package is installed, else energy.
        sample_rate: sample rate of the recording, in Hz; silero supports only 16 kHz.

    Raises:
        UsageError: silero is requested, but its package is not installed or the sample rate is another.
    """
    if vad == "auto":
        vad = "silero" if sample_rate == silero.SAMPLE_RATE and silero.weights_path() is not None else "energy"
    if vad == "silero":
        if sample_rate != silero.SAMPLE_RATE:
            raise UsageError(
                f"`--vad silero` works at {silero.SAMPLE_RATE} Hz only, but the model takes {sample_rate} Hz.",
                hint="--vad energy",
            )
        return silero.SileroDetector()
    return EnergyDetector(sample_rate) if vad == "energy" else EverythingIsSpeech(sample_rate)
