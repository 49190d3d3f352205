from typing import Any

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from speechcli.audio.features import features_from_dict
from speechcli.audio.log_mel import LogMelFeatures
from speechcli.errors import ModelError
from tests.audio.test_features import speechlike

RATE = 16_000
CLIPS = [speechlike(samples, seed) for seed, samples in enumerate((16_000, 9_731, 400, 1, 40_000))]


@pytest.mark.parametrize(
    "settings",
    [
        {"feature_size": 80},
        {"feature_size": 128},
        {"feature_size": 10, "n_fft": 256, "hop_length": 100},
        {"padding_value": 0.1, "chunk_length": 3},
    ],
    ids=lambda settings: ", ".join(settings),
)
def test_spectrograms_equal_the_reference(settings: dict[str, Any]) -> None:
    settings = {"chunk_length": 2} | settings
    wanted = WhisperFeatureExtractor(**settings)(CLIPS, sampling_rate=RATE, return_tensors="pt")["input_features"]
    values, lengths = LogMelFeatures(**settings)(CLIPS)
    assert lengths is None
    torch.testing.assert_close(values, wanted.transpose(1, 2), atol=1e-6, rtol=0)


def test_a_window_of_thirty_seconds_equals_the_reference() -> None:
    wanted = WhisperFeatureExtractor()(CLIPS[0], sampling_rate=RATE, return_tensors="pt")["input_features"]
    values, _ = LogMelFeatures()(CLIPS[:1])
    assert values.shape == (1, 3000, 80)
    torch.testing.assert_close(values, wanted.transpose(1, 2), atol=1e-6, rtol=0)


def test_real_frames_are_counted_as_the_reference_counts_them() -> None:
    reference = WhisperFeatureExtractor(chunk_length=2)
    mask = reference(CLIPS, sampling_rate=RATE, return_attention_mask=True, return_tensors="pt")["attention_mask"]
    lengths = LogMelFeatures(chunk_length=2, return_attention_mask=True)(CLIPS).lengths
    assert lengths is not None
    assert lengths.tolist() == mask.sum(1).tolist() == [100, 61, 3, 1, 200]


def test_normalized_utterances_equal_the_reference() -> None:
    reference = WhisperFeatureExtractor(chunk_length=2)
    wanted = reference(CLIPS, sampling_rate=RATE, do_normalize=True, return_tensors="pt")["input_features"]
    values, _ = LogMelFeatures(chunk_length=2).with_normalization("utterance")(CLIPS)
    torch.testing.assert_close(values, wanted.transpose(1, 2), atol=1e-5, rtol=0)


def test_an_utterance_does_not_depend_on_the_others() -> None:
    features = LogMelFeatures(chunk_length=1)
    together, _ = features(CLIPS)
    for row, clip in zip(together, CLIPS, strict=True):
        torch.testing.assert_close(row, features([clip]).values[0], atol=1e-6, rtol=0)


def test_silence_and_nothing_are_the_floor() -> None:
    values, _ = LogMelFeatures(chunk_length=1)([np.zeros(500, np.float32), np.zeros(0, np.float32)])
    assert values.unique().tolist() == [-1.5]  # (log10(1e-10) + 4) / 4


def test_the_file_goes_both_ways() -> None:
    config = WhisperFeatureExtractor(feature_size=128, chunk_length=15).to_dict() | {"processor_class": "Mine"}
    features = features_from_dict(config)
    assert features == LogMelFeatures(feature_size=128, chunk_length=15, other=features.other)
    assert features.to_dict() == config
    assert features.longest == 15 * RATE


def test_a_window_must_have_whole_seconds() -> None:
    with pytest.raises(ModelError, match=r"`chunk_length` in preprocessor_config.json must be a whole number from 1"):
        features_from_dict({"feature_extractor_type": "WhisperFeatureExtractor", "chunk_length": 0})
