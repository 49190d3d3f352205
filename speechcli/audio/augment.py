"""Waveform augmentation for training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from speechcli.audio.read import AUDIO_EXTENSIONS, audio_seconds, read_audio
from speechcli.errors import InputError, UsageError

Range = tuple[float, float]

# Speeds are rounded to this grid: soxr is fast if both rates have a small common multiple.
SPEED_STEPS_PER_UNIT = 100
# Frequency response of a narrow-band telephone: frequencies in Hz and gains, interpolated linearly.
TELEPHONE_HERTZ = (200.0, 300.0, 3_400.0, 3_800.0)
TELEPHONE_GAIN = (0.0, 1.0, 1.0, 0.0)


@dataclass(frozen=True)
class NoiseFolder:
    """Recordings of noise."""

    files: tuple[Path, ...]

    @classmethod
    def find(cls, folder: Path) -> NoiseFolder:
        """Find all recordings in a folder, recursively, except hidden ones.

        Raises:
            InputError: there are none.
        """
        files = tuple(sorted(path for path in folder.rglob("[!.]*") if path.suffix.lower() in AUDIO_EXTENSIONS))
        if not files:
            raise InputError(f"The folder of noise `{folder}` must contain recordings, but has none.")
        return cls(files)

    def draw(self, samples: int, sample_rate: int, generator: np.random.Generator) -> np.ndarray:
        """Return a random part (samples,) of a random recording, repeated if it is too short.

        Raises:
            InputError: the recording cannot be read.
        """
        file = self.files[int(generator.integers(len(self.files)))]
        wanted = samples / sample_rate
        start = float(generator.uniform(0, max(audio_seconds(file) - wanted, 0.0)))
        noise = read_audio(file, sample_rate=sample_rate, start=start, end=start + wanted).samples
        if not len(noise):
            raise InputError(f"The noise `{file}` must have sound, but is empty.")
        return np.resize(noise, samples)


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Change speed, level, noise and bandwidth at random, in this order.

    Args:
        speed: factor of both tempo and pitch; (1, 1) disables it.
        gain_db: gain in dB; samples may exceed the range from -1 to 1.
        noise_snr: signal-to-noise ratio in dB.
        noise_probability: probability of adding noise.
        noise: recordings of noise; None: white or pink noise, equally often.
        band_probability: probability of the telephone band filter.

    Raises:
        UsageError: a range is reversed, a speed is outside 0.5 to 2, or a probability is outside 0 to 1.
    """

    speed: Range = (0.9, 1.1)
    gain_db: Range = (-6.0, 6.0)
    noise_snr: Range = (10.0, 40.0)
    noise_probability: float = 0.3
    band_probability: float = 0.1
    noise: NoiseFolder | None = None

    def __post_init__(self) -> None:
        for name in ("noise_probability", "band_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"`{name}` must be from 0 to 1, but is {getattr(self, name)}.")
        for name in ("speed", "gain_db", "noise_snr"):
            low, high = getattr(self, name)
            if not low <= high:
                raise UsageError(f"`{name}` must go from low to high, but is {low} to {high}.")
        if not 0.5 <= self.speed[0] <= self.speed[1] <= 2:
            raise UsageError(f"`speed` must be within 0.5 to 2, but is {self.speed[0]} to {self.speed[1]}.")

    def __call__(self, samples: np.ndarray, sample_rate: int, generator: np.random.Generator) -> np.ndarray:
        """Return an augmented copy of one waveform.

        Args:
            samples: (samples,) float32.
            sample_rate: sample rate in Hz.
            generator: source of all random numbers; the number of draws is independent of the settings.

        Returns:
            (samples,) float32; the length is divided by the speed.
        """
        speed, gain_db, noise_snr = (generator.uniform(*drawn) for drawn in (self.speed, self.gain_db, self.noise_snr))
        noisy, narrow, pink = generator.random(3) < (self.noise_probability, self.band_probability, 0.5)
        noise_seed = int(generator.integers(1 << 63))
        if len(samples) == 0:
            return samples.copy()
        changed = change_speed(samples, speed) * np.float32(10 ** (gain_db / 20))
        if noisy:
            source = np.random.default_rng(noise_seed)
            if self.noise is None:
                noise = make_noise(len(changed), pink=bool(pink), generator=source)
            else:
                noise = self.noise.draw(len(changed), sample_rate, source)
            changed = add_noise(changed, noise, noise_snr)
        return telephone_band(changed, sample_rate) if narrow else changed


def change_speed(samples: np.ndarray, speed: float) -> np.ndarray:
    """Change tempo and pitch of (samples,); ``speed`` above 1 is faster."""
    steps = round(speed * SPEED_STEPS_PER_UNIT)
    if steps == SPEED_STEPS_PER_UNIT:
        return samples
    faster: np.ndarray = soxr.resample(samples, steps, SPEED_STEPS_PER_UNIT, quality="MQ")
    return faster


def make_noise(samples: int, *, pink: bool, generator: np.random.Generator) -> np.ndarray:
    """Return white or pink noise (samples,)."""
    noise = generator.standard_normal(samples, dtype=np.float32)
    if not pink:
        return noise
    # Power is proportional to 1 / frequency above 20 Hz (at 16 kHz); below, it would only make the level fluctuate.
    return _filtered(noise, lambda frequency: 1 / np.sqrt(np.maximum(frequency, 20 / 16_000)))


def add_noise(samples: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """Add noise (samples,) with a mean power ``snr`` dB below that of (samples,); silence stays silent."""
    power = np.mean(np.square(samples))
    noise_power = np.mean(np.square(noise))
    if noise_power == 0:
        return samples
    noisy: np.ndarray = samples + noise * np.float32(np.sqrt(power / noise_power * 10 ** (-snr / 10)))
    return noisy


def telephone_band(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Filter (samples,) to the band from 300 to 3400 Hz."""
    return _filtered(samples, lambda frequency: np.interp(frequency * sample_rate, TELEPHONE_HERTZ, TELEPHONE_GAIN))


def _filtered(samples: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Multiply the spectrum of (samples,) by a gain as a function of frequency divided by sample rate."""
    # A power of two is fast, and zero padding keeps the filter from ringing from the end into the start of the clip.
    size = 1 << (len(samples) + 255).bit_length()
    spectrum = np.fft.rfft(samples, size)
    spectrum *= gain(np.fft.rfftfreq(size)).astype(np.float32)
    filtered: np.ndarray = np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32, copy=False)
    return filtered
