from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speechcli.audio.augment import Augment, NoiseFolder, add_noise, change_speed, make_noise, telephone_band
from speechcli.errors import InputError, UsageError

RATE = 16_000
OFF = {"speed": (1.0, 1.0), "gain_db": (0.0, 0.0), "noise_probability": 0.0, "band_probability": 0.0}


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


def peak_hertz(samples: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples))


def test_the_same_seed_gives_the_same_clip_and_another_seed_another() -> None:
    clip = tone(440)
    augment = Augment(noise_probability=0.5, band_probability=0.5)
    first, again, other = (augment(clip, RATE, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other)
    np.testing.assert_array_equal(clip, tone(440))


def test_everything_off_changes_nothing_and_copies() -> None:
    clip = tone(440)
    result = Augment(**OFF)(clip, RATE, np.random.default_rng(0))  # type: ignore[arg-type]
    np.testing.assert_array_equal(result, clip)
    assert not np.shares_memory(result, clip)


@pytest.mark.parametrize("samples", [0, 1, 2, 50, 12_345])
def test_clips_of_any_length_become_one_dimensional_float32(samples: int) -> None:
    augment = Augment(noise_probability=1.0, band_probability=1.0)
    for seed in range(3):
        result = augment(tone(440)[:samples], RATE, np.random.default_rng(seed))
        assert result.dtype == np.float32
        assert result.ndim == 1
        assert np.isfinite(result).all()


def test_settings_do_not_change_how_much_chance_is_drawn() -> None:
    generators = [np.random.default_rng(0), np.random.default_rng(0)]
    Augment(**OFF)(tone(440), RATE, generators[0])  # type: ignore[arg-type]
    Augment(noise_probability=1.0, band_probability=1.0)(np.zeros(0, np.float32), RATE, generators[1])
    assert generators[0].integers(1 << 40) == generators[1].integers(1 << 40)


@pytest.mark.parametrize("speed", [0.8, 1.0, 1.25])
def test_speed_moves_length_and_pitch(speed: float) -> None:
    result = change_speed(tone(400), speed)
    assert len(result) == pytest.approx(RATE / speed, abs=1)
    assert peak_hertz(result) == pytest.approx(400 * speed, abs=2)


def test_gain_is_in_decibels() -> None:
    result = Augment(**OFF | {"gain_db": (6.0, 6.0)})(tone(440), RATE, np.random.default_rng(0))  # type: ignore[arg-type]
    assert power(result) / power(tone(440)) == pytest.approx(10**0.6, rel=1e-4)


@pytest.mark.parametrize("pink", [False, True])
@pytest.mark.parametrize("snr", [0.0, 20.0])
def test_noise_has_the_requested_signal_to_noise_ratio(pink: bool, snr: float) -> None:
    clip = tone(440)
    noise = add_noise(clip, make_noise(len(clip), pink=pink, generator=np.random.default_rng(0)), snr) - clip
    assert 10 * np.log10(power(clip) / power(noise)) == pytest.approx(snr, abs=0.01)


def test_pink_noise_loses_three_decibels_an_octave() -> None:
    clip = tone(440, seconds=4)
    noise = make_noise(len(clip), pink=True, generator=np.random.default_rng(0))
    spectrum = np.square(np.abs(np.fft.rfft(noise)))
    hertz = np.fft.rfftfreq(len(noise), 1 / RATE)
    octaves = [spectrum[(hertz >= low) & (hertz < 2 * low)].mean() for low in (250, 500, 1_000, 2_000)]
    np.testing.assert_allclose(10 * np.log10(np.divide(octaves[1:], octaves[:-1])), -3.01, atol=1.0)


@pytest.fixture
def noises(tmp_path: Path) -> NoiseFolder:
    (tmp_path / "street").mkdir()
    soundfile.write(tmp_path / "street" / "long.wav", np.arange(4 * RATE) / (4 * RATE), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "beep.wav", tone(700, 0.25), RATE, subtype="FLOAT")
    return NoiseFolder.find(tmp_path)


def test_recorded_noise_has_the_requested_signal_to_noise_ratio(noises: NoiseFolder) -> None:
    clip = tone(440)
    augment = Augment(**OFF | {"noise_probability": 1.0, "noise_snr": (5.0, 5.0), "noise": noises})  # type: ignore[arg-type]
    drawn = [augment(clip, RATE, np.random.default_rng(seed)) - clip for seed in range(8)]
    for noise in drawn:
        assert 10 * np.log10(power(clip) / power(noise)) == pytest.approx(5.0, abs=0.01)
    beeps = [noise for noise in drawn if abs(peak_hertz(noise) - 700) < 2]
    assert 0 < len(beeps) < 8


def test_a_stretch_of_noise_begins_anywhere_and_a_short_one_is_repeated(noises: NoiseFolder) -> None:
    drawn = [noises.draw(RATE, RATE, np.random.default_rng(seed)) for seed in range(12)]
    assert {len(noise) for noise in drawn} == {RATE}
    starts = [noise[0] for noise in drawn if noise[-1] - noise[0] == pytest.approx(0.25, abs=1e-3)]
    assert len(set(starts)) == len(starts) > 2
    short = next(noise for noise in drawn if noise[0] == 0.0 and noise[RATE // 4] == 0.0)
    np.testing.assert_array_equal(short[: RATE // 4], short[RATE // 4 : RATE // 2])


def test_hidden_files_beside_recorded_noise_are_left_alone(noises: NoiseFolder, tmp_path: Path) -> None:
    (tmp_path / "._beep.wav").write_bytes(b"\0\x05\x16\x07Mac OS X")
    assert NoiseFolder.find(tmp_path) == noises


def test_a_folder_without_noise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must contain recordings, but has none"):
        NoiseFolder.find(tmp_path)


def test_silence_stays_silent() -> None:
    silence = np.zeros(1_000, dtype=np.float32)
    assert not Augment(noise_probability=1.0)(silence, RATE, np.random.default_rng(0)).any()


@pytest.mark.parametrize(("hertz", "kept"), [(100, 0.0), (1_000, 1.0), (3_000, 1.0), (5_000, 0.0)])
def test_a_telephone_keeps_the_middle(hertz: float, kept: float) -> None:
    clip = tone(hertz)
    assert power(telephone_band(clip, RATE)) / power(clip) == pytest.approx(kept, abs=0.02)


@pytest.mark.parametrize(
    "wrong",
    [
        {"speed": (0.1, 1.0)},
        {"speed": (1.1, 0.9)},
        {"gain_db": (3.0, -3.0)},
        {"noise_snr": (10.0, float("nan"))},
        {"noise_probability": 1.5},
        {"band_probability": -0.1},
    ],
)
def test_settings_are_checked_when_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"`{next(iter(wrong))}`"):
        Augment(**wrong)
