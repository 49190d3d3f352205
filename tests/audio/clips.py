"""Audio clips for the tests of reading."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechcli.audio.read import read_audio
from speechcli.errors import InputError

RATE = 16_000


def tone(seconds: float = 0.5, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(frames: int, channels: int = 1) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal((frames, channels))).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def refusal(source: Path | io.BytesIO, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read_audio(source, sample_rate=RATE, **options)  # type: ignore[arg-type]
    return caught.value.message
