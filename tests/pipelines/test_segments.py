import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechcli.audio.segments import cut

RATE = 1000


@given(st.integers(0, 20_000), st.floats(0.1, 5.0), st.integers(0, 100))
def test_stretches_cover_every_sample_once_and_none_is_too_long(samples, max_seconds, seed):
    audio = np.random.default_rng(seed).normal(size=samples).astype(np.float32)
    stretches = cut(audio, RATE, max_seconds=max_seconds)
    assert [stretch.start for stretch in stretches] == [0, *(stretch.end for stretch in stretches[:-1])][
        : len(stretches)
    ]
    assert not stretches or stretches[-1].end == samples
    assert all(0 < end - start <= int(max_seconds * RATE) for start, end in stretches)
    assert bool(stretches) == (samples > 0)


def test_cut_lies_in_the_pause():
    audio = np.ones(4000, dtype=np.float32)
    audio[2300:2600] = 0.001
    (first, second) = cut(audio, RATE, max_seconds=3.0)
    assert 2350 <= first.end <= 2550 and second == (first.end, 4000)


def test_short_audio_is_one_stretch_and_none_is_none():
    assert cut(np.zeros(3000, dtype=np.float32), RATE, max_seconds=3.0) == [(0, 3000)]
    assert cut(np.zeros(0, dtype=np.float32), RATE) == []


def test_a_pause_is_preferred_to_a_short_dip():
    audio = np.ones(4000, dtype=np.float32)
    audio[1700:1720] = 0.0  # the closure of a plosive
    audio[2200:2500] = 0.05
    assert 2200 <= cut(audio, RATE, max_seconds=3.0)[0].end <= 2500


def test_stretches_too_short_to_measure_are_refused():
    with pytest.raises(ValueError, match="max_seconds"):
        cut(np.zeros(10, dtype=np.float32), RATE, max_seconds=0.01)
