from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechcli.audio import segments
from speechcli.audio.activity import EnergyDetector, EverythingIsSpeech, make_detector
from speechcli.audio.read import read_audio
from speechcli.audio.segments import MARGIN_SECONDS, cut
from speechcli.audio.silero import SileroDetector, weights_path
from speechcli.errors import UsageError

RATE = 1000
SAMPLES = Path(__file__).parents[2] / "samples"


class Marked:
    """Takes for speech the frames whose first sample is above a half."""

    frame_samples = 20

    def __call__(self, samples):
        return samples[:: self.frame_samples] > 0.5


def everything(audio, max_seconds=30.0, **options):
    return list(cut([audio], RATE, detector=EverythingIsSpeech(RATE), max_seconds=max_seconds, **options))


def places(segments):
    return [(segment.start, segment.end) for segment in segments]


def blocks(audio, sizes):
    edges = np.minimum(np.cumsum(sizes), len(audio))
    return np.split(audio, edges)


audios = st.tuples(st.integers(0, 20_000), st.integers(0, 100)).map(
    lambda drawn: np.random.default_rng(drawn[1]).normal(size=drawn[0]).astype(np.float32)
)


@settings(max_examples=25, deadline=None)
@given(audios, st.floats(0.1, 5.0), st.lists(st.integers(0, 3_000), max_size=5))
def test_stretches_cover_every_sample_once_and_none_is_too_long(audio, max_seconds, sizes):
    segments = list(cut(blocks(audio, sizes), RATE, detector=EverythingIsSpeech(RATE), max_seconds=max_seconds))
    np.testing.assert_array_equal(np.concatenate([s.samples for s in segments] or [audio]), audio)
    assert [s.start for s in segments] == [0, *(s.end for s in segments[:-1])][: len(segments)]
    assert all(0 < len(s.samples) <= int(max_seconds * RATE) for s in segments)
    assert bool(segments) == (len(audio) > 0)


speech_and_pauses = st.lists(st.tuples(st.booleans(), st.integers(1, 150)), max_size=30).map(
    lambda runs: np.repeat(
        [float(spoken) for spoken, _ in runs], [frames * Marked.frame_samples for _, frames in runs]
    ).astype(np.float32)
)


@settings(max_examples=25, deadline=None)
@given(speech_and_pauses, st.floats(0.5, 5.0), st.integers(0, 19), st.lists(st.integers(0, 3_000), max_size=5))
def test_all_speech_is_in_exactly_one_stretch_for_any_pauses_and_blocks(audio, max_seconds, rest, sizes):
    audio = np.append(audio, np.ones(rest, dtype=np.float32))
    segments = list(cut(blocks(audio, sizes), RATE, detector=Marked(), max_seconds=max_seconds))
    taken = np.zeros(len(audio), dtype=int)
    for segment in segments:
        np.testing.assert_array_equal(segment.samples, audio[segment.start : segment.end])
        assert len(segment.samples) <= max_seconds * RATE and segment.samples.max() == 1.0
        taken[segment.start : segment.end] += 1
    assert (taken[audio > 0.5] == 1).all() and taken.max(initial=0) <= 1
    assert segments == [] or places(segments) == places(cut([audio], RATE, detector=Marked(), max_seconds=max_seconds))


def test_a_long_pause_ends_a_stretch_and_is_removed_except_for_its_margins():
    spoken = np.ones(2000, dtype=np.float32)
    audio = np.concatenate([np.zeros(5000, dtype=np.float32), spoken, np.zeros(3000, dtype=np.float32), spoken])
    margin = round(MARGIN_SECONDS * RATE)
    segments = list(cut([audio], RATE, detector=Marked()))
    assert places(segments) == [(5000 - margin, 7000 + margin), (10_000 - margin, 12_000)]


def test_a_short_pause_is_kept():
    spoken = np.ones(2000, dtype=np.float32)
    audio = np.concatenate([spoken, np.zeros(800, dtype=np.float32), spoken])
    assert places(cut([audio], RATE, detector=Marked())) == [(0, 4800)]


def test_overlong_speech_is_cut_in_a_short_pause_although_music_is_quieter_elsewhere():
    audio = np.ones(5000, dtype=np.float32)
    audio[1800:2100] = 0.4  # a pause to the detector
    audio[np.arange(2300, 2700)[np.arange(400) % 20 != 0]] = 0.0  # speech to the detector, but weaker
    assert 1850 <= next(cut([audio], RATE, detector=Marked(), max_seconds=3.0)).end <= 2050


def test_a_recording_that_fits_may_be_taken_as_it_is():
    audio = np.zeros(3000, dtype=np.float32)
    assert places(cut([audio], RATE, detector=Marked(), max_seconds=3.0, whole_if_short=True)) == [(0, 3000)]
    assert places(cut([audio], RATE, detector=Marked(), max_seconds=3.0)) == []
    longer = np.append(audio, np.zeros(20, dtype=np.float32))
    assert places(cut([longer], RATE, detector=Marked(), max_seconds=3.0, whole_if_short=True)) == []


def test_a_recording_as_long_as_the_longest_stretch_fits_although_its_last_frame_is_not_whole():
    audio = np.zeros(3010, dtype=np.float32)
    assert places(cut([audio], RATE, detector=Marked(), max_seconds=3.01, whole_if_short=True)) == [(0, 3010)]
    assert places(cut([audio], RATE, detector=Marked(), max_seconds=3.009, whole_if_short=True)) == []


@pytest.mark.parametrize("level", [0.1, 1e-4])
def test_the_energy_detector_does_not_remove_stationary_noise(level):
    noise = (level * np.random.default_rng(0).normal(size=3_500)).astype(np.float32)
    segments = list(cut([noise], RATE, detector=EnergyDetector(RATE), max_seconds=1.0))
    np.testing.assert_array_equal(np.concatenate([segment.samples for segment in segments]), noise)


def test_no_more_than_a_stretch_and_a_block_is_held(monkeypatch):
    held = []
    monkeypatch.setattr(segments, "BLOCK_SAMPLES", 100)
    fill = segments._Buffer.fill
    monkeypatch.setattr(
        segments._Buffer, "fill", lambda self, frames: (fill(self, frames), held.append(len(self._samples)))[0]
    )
    endless = (np.ones(100, dtype=np.float32) for _ in range(1000))
    assert len(list(cut(endless, RATE, detector=EverythingIsSpeech(RATE), max_seconds=3.0))) > 30
    assert max(held) <= 3000 + 100 + 20


def test_recordings_are_cut_in_pauses():
    audio = np.ones(4000, dtype=np.float32)
    audio[2300:2600] = 0.001
    (first, second) = everything(audio, max_seconds=3.0)
    assert 2350 <= first.end <= 2550 and places([second]) == [(first.end, 4000)]


def test_short_audio_is_one_stretch_and_empty_audio_is_none():
    assert places(everything(np.zeros(3000, dtype=np.float32), max_seconds=3.0)) == [(0, 3000)]
    assert everything(np.zeros(0, dtype=np.float32)) == []


def test_a_pause_is_preferred_to_a_short_dip():
    audio = np.ones(4000, dtype=np.float32)
    audio[1700:1720] = 0.0  # the closure of a plosive
    audio[2200:2500] = 0.05
    assert 2200 <= everything(audio, max_seconds=3.0)[0].end <= 2500


def test_stretches_too_short_to_measure_are_refused():
    with pytest.raises(ValueError, match="max_seconds"):
        everything(np.zeros(10, dtype=np.float32), max_seconds=0.01)


@pytest.mark.parametrize("vad", ["none", "energy", "silero"])
def test_spoken_digits_repeated_across_every_seam_are_whole_and_as_many_as_went_in(vad):
    if vad == "silero" and weights_path() is None:
        pytest.skip("needs the extra vad")
    rate = 16_000
    spoken = read_audio(SAMPLES / "en-four-digits.wav", sample_rate=rate).samples
    generator = np.random.default_rng(0)
    parts, heard, length = [], [], 0
    for _ in range(12):
        gap = 1e-4 * generator.standard_normal(generator.integers(rate // 4, 2 * rate)).astype(np.float32)
        heard.append((length, length + len(spoken)))
        parts += [spoken, gap]
        length += len(spoken) + len(gap)
    audio = np.concatenate(parts)
    segments = list(cut([audio], rate, detector=make_detector(vad, rate), max_seconds=5.0))
    assert len(segments) > 5
    trim = rate // 10  # the recording begins and ends softly
    for start, end in heard:
        assert sum(segment.start <= start + trim and end - trim <= segment.end for segment in segments) == 1


def test_only_audio_far_below_everything_else_is_silence_by_energy():
    def judged(*levels):
        frames = [np.full(20, 10 ** (level / 20), dtype=np.float32) for level in levels]
        return EnergyDetector(RATE)(np.concatenate(frames)).tolist()

    assert judged(-20, -55, -65) == [True, True, False]  # a room is no silence, the zeros of a file are
    assert judged(-62, -65) == [True, True]  # a quiet recording has all its speech
    assert judged(-65, -20, -65) == [True, True, False]  # nothing before the first frame is louder
    assert EnergyDetector(RATE)(np.zeros(40, dtype=np.float32)).tolist() == [False, False]


def test_energy_remembers_the_loudest_frame_between_pieces():
    detector = EnergyDetector(RATE)
    assert detector(np.full(20, 0.5, dtype=np.float32)).tolist() == [True]
    assert detector(np.full(20, 0.0005, dtype=np.float32)).tolist() == [False]


def test_the_detector_is_chosen_by_name_rate_and_installed_packages():
    best = SileroDetector if weights_path() is not None else EnergyDetector
    assert isinstance(make_detector("auto", 16_000), best)
    assert isinstance(make_detector("auto", 8_000), EnergyDetector)
    assert isinstance(make_detector("energy", 16_000), EnergyDetector)
    assert isinstance(make_detector("none", 16_000), EverythingIsSpeech)
    with pytest.raises(UsageError, match="works at 16000 Hz only, but the model takes 8000 Hz"):
        make_detector("silero", 8_000)
