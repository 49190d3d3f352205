from pathlib import Path

import numpy as np
import pytest

from speechcli.data.manifest import Utterance
from speechcli.data.waveform import read_waveform
from speechcli.errors import InputError
from speechcli.training.audio_cache import fill_cache

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.mark.parametrize("name", ["en-one-digit.flac", "es-reach-an-operator.mp3", "fr-check-the-number.flac"])
@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_cached_audio_equals_the_file_bit_for_bit(name, rate):
    utterance = Utterance(name, SAMPLES / name, 1.0)
    cache = fill_cache([utterance], rate)
    assert name in cache.samples
    np.testing.assert_array_equal(cache(utterance), read_waveform(utterance, rate))


def test_sixteen_bits_are_kept_where_they_lose_nothing(tmp_path):
    import soundfile

    steps = np.random.default_rng(0).integers(-32768, 32767, 8_000).astype(np.int16)
    soundfile.write(tmp_path / "noise.wav", steps, 8_000)
    noise = Utterance("noise", tmp_path / "noise.wav", 1.0)
    assert fill_cache([noise], 8_000).samples["noise"].dtype == np.int16
    assert fill_cache([noise], 16_000).samples["noise"].dtype == np.float32


def test_unreadable_files_are_skipped_by_the_cache(tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    text = Utterance("text", tmp_path / "text.wav", 1.0)
    cache = fill_cache([text], 16_000)
    assert cache.samples == {}
    with pytest.raises(InputError):
        cache(text)
