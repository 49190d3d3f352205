"""Augmentation: small random changes of a waveform, for training only; fast enough for a data worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import soxr

from speechcli.errors import UsageError

Range = tuple[float, float]

# Speeds are drawn from this grid: soxr is fast where the two rates have a small common multiple.
SPEED_STEPS_PER_UNIT = 100
# hertz and gain of a narrow-band telephone: straight lines between
TELEPHONE_HERTZ = (200.0, 300.0, 3_400.0, 3_800.0)
TELEPHONE_GAIN = (0.0, 1.0, 1.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Change speed, level, noise and bandwidth at random, in this order.

    Args:
        speed: factor of tempo and pitch together; (1, 1) switches it off.
        gain_db: change of level, in dB; samples may leave the range from -1 to 1.
        noise_snr: level of the clip over the noise, in dB.
        noise_probability: how often noise is added, white or pink in equal parts.
        band_probability: how often only the band of a telephone is left.

    Raises:
        UsageError: for a range from high to low, a speed outside 0.5 to 2, or a probability outside 0 to 1.
    """

    speed: Range = (0.9, 1.1)
    gain_db: Range = (-6.0, 6.0)
    noise_snr: Range = (10.0, 40.0)
    noise_probability: float = 0.3
    band_probability: float = 0.1

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name.endswith("_probability"):
                if not 0 <= value <= 1:
                    raise UsageError(f"`{item.name}` must be from 0 to 1, but is {value}.")
            elif not value[0] <= value[1]:
                raise UsageError(f"`{item.name}` must go from low to high, but is {value[0]} to {value[1]}.")
        if not 0.5 <= self.speed[0] <= self.speed[1] <= 2:
            raise UsageError(f"`speed` must be within 0.5 to 2, but is {self.speed[0]} to {self.speed[1]}.")

    def __call__(self, samples: np.ndarray, sample_rate: int, generator: np.random.Generator) -> np.ndarray:
        """Return a changed copy of one waveform.

        Args:
            samples: (samples,) float32.
            sample_rate: in Hz.
            generator: the only source of chance; it is drawn from equally often whatever the settings.

        Returns:
            (samples,) float32; the length is divided by the drawn speed.
        """
        speed, gain_db, noise_snr = (generator.uniform(*drawn) for drawn in (self.speed, self.gain_db, self.noise_snr))
        noisy, narrow, pink = generator.random(3) < (self.noise_probability, self.band_probability, 0.5)
        noise_seed = int(generator.integers(1 << 63))
        if len(samples) == 0:
            return samples.copy()
        changed = change_speed(samples, speed) * np.float32(10 ** (gain_db / 20))
        if noisy:
            changed = add_noise(changed, noise_snr, pink=bool(pink), generator=np.random.default_rng(noise_seed))
        return telephone_band(changed, sample_rate) if narrow else changed


def change_speed(samples: np.ndarray, speed: float) -> np.ndarray:
    """Play (samples,) faster (``speed`` above 1) or slower; the pitch moves along."""
    steps = round(speed * SPEED_STEPS_PER_UNIT)
    if steps == SPEED_STEPS_PER_UNIT:
        return samples
    faster: np.ndarray = soxr.resample(samples, steps, SPEED_STEPS_PER_UNIT, quality="MQ")
    return faster


def add_noise(samples: np.ndarray, snr: float, *, pink: bool, generator: np.random.Generator) -> np.ndarray:
    """Add white or pink noise ``snr`` dB below the mean power of (samples,); silence stays silent."""
    noise = generator.standard_normal(len(samples), dtype=np.float32)
    if pink:
        # Power falls as 1 / frequency, down to 20 Hz at 16 kHz: below that it would only shake the level.
        noise = _filtered(noise, lambda frequency: 1 / np.sqrt(np.maximum(frequency, 20 / 16_000)))
    power = np.mean(np.square(samples))
    noise_power = np.mean(np.square(noise))
    noisy: np.ndarray = samples + noise * np.float32(np.sqrt(power / noise_power * 10 ** (-snr / 10)))
    return noisy


def telephone_band(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Keep 300 to 3400 Hz of (samples,)."""
    return _filtered(samples, lambda frequency: np.interp(frequency * sample_rate, TELEPHONE_HERTZ, TELEPHONE_GAIN))


def _filtered(samples: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Multiply the spectrum of (samples,) by a gain for each frequency, given as a part of the sample rate."""
    # A power of two is quick, and the zeros behind keep the end of the clip from ringing into its start.
    size = 1 << (len(samples) + 255).bit_length()
    spectrum = np.fft.rfft(samples, size)
    spectrum *= gain(np.fft.rfftfreq(size)).astype(np.float32)
    filtered: np.ndarray = np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32, copy=False)
    return filtered
