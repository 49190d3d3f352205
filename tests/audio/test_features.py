import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor

from speechcli.audio.features import FilterbankFeatures, WaveformFeatures, features_from_dict
from speechcli.errors import ModelError, UsageError

RATE = 16_000
WAVEFORM_FILE = {
    "do_normalize": True,
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0,
    "return_attention_mask": True,
    "sampling_rate": 16000,
    "processor_class": "Wav2Vec2Processor",
}
FILTERBANK_FILE = {
    "feature_extractor_type": "SeamlessM4TFeatureExtractor",
    "feature_size": 80,
    "num_mel_bins": 80,
    "padding_side": "right",
    "padding_value": 1,
    "return_attention_mask": True,
    "sampling_rate": 16000,
    "stride": 2,
    "processor_class": "Wav2Vec2BertProcessor",
}


def speechlike(samples: int, seed: int = 0) -> np.ndarray:
    """Noise whose level and color change over time, with a constant offset."""
    generator = np.random.default_rng(seed)
    white = generator.standard_normal(samples + 1)
    slow = 0.55 + 0.45 * np.sin(np.arange(samples) / 1_500)
    return (0.1 * slow * (white[1:] + 0.9 * white[:-1]) + 0.02).astype(np.float32)


CLIPS = [speechlike(samples, seed) for seed, samples in enumerate((16_000, 9_731, 400, 7_000))]


@pytest.mark.parametrize("padding_value", [0.0, 0.5])
@pytest.mark.parametrize("normalize", [True, False])
def test_masked_waveforms_equal_the_reference(normalize: bool, padding_value: float) -> None:
    settings: Any = {"do_normalize": normalize, "return_attention_mask": True, "padding_value": padding_value}
    wanted = Wav2Vec2FeatureExtractor(**settings)(CLIPS, sampling_rate=RATE, padding=True, return_tensors="pt")
    ours = WaveformFeatures(**settings)(CLIPS)
    torch.testing.assert_close(ours.values, wanted["input_values"], atol=1e-5, rtol=0)
    assert ours.lengths is not None
    assert ours.lengths.dtype == torch.int64
    assert ours.lengths.tolist() == wanted["attention_mask"].sum(1).tolist() == [16_000, 9_731, 400, 7_000]


def test_unmasked_waveforms_equal_the_reference_for_each_clip_alone() -> None:
    reference = Wav2Vec2FeatureExtractor(return_attention_mask=False)
    ours = WaveformFeatures()(CLIPS)
    assert ours.lengths is None
    for row, clip in zip(ours.values, CLIPS, strict=True):
        alone = reference(clip, sampling_rate=RATE, return_tensors="pt")["input_values"][0]
        torch.testing.assert_close(row[: len(clip)], alone, atol=1e-5, rtol=0)
        assert not row[len(clip) :].any()


def test_normalized_waveforms_have_exact_values() -> None:
    clip = np.tile(np.array([3.0, -1.0], dtype=np.float32), 200)
    values = WaveformFeatures()([clip]).values
    torch.testing.assert_close(values[0], torch.tensor([1.0, -1.0]).repeat(200), atol=1e-6, rtol=0)


@pytest.mark.parametrize("padding_value", [0.0, 1.0])
def test_filterbanks_equal_the_reference(padding_value: float) -> None:
    reference = SeamlessM4TFeatureExtractor(padding_value=padding_value)
    wanted = reference(CLIPS[:2] + CLIPS[3:], sampling_rate=RATE, return_tensors="pt")
    ours = FilterbankFeatures(padding_value=padding_value)(CLIPS[:2] + CLIPS[3:])
    torch.testing.assert_close(ours.values, wanted["input_features"], atol=1e-4, rtol=0)
    assert ours.values.shape == (3, 49, 160)
    assert ours.lengths is not None
    assert ours.lengths.dtype == torch.int64
    assert ours.lengths.tolist() == wanted["attention_mask"].sum(1).tolist()


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("frames", [8, 9, 10, 11, 12, 13])
def test_any_stride_stacks_as_the_reference(stride: int, frames: int) -> None:
    clip = speechlike(400 + 160 * (frames - 1))
    wanted = SeamlessM4TFeatureExtractor(stride=stride)(clip, sampling_rate=RATE, return_tensors="pt")
    ours = FilterbankFeatures(stride=stride)([clip])
    torch.testing.assert_close(ours.values, wanted["input_features"], atol=1e-4, rtol=0)
    # With stride 1 the reference's mask is empty, which no model can use.
    lengths = [frames] if stride == 1 else wanted["attention_mask"].sum(1).tolist()
    assert ours.lengths is not None
    assert ours.lengths.tolist() == lengths


@pytest.mark.parametrize(("mels", "rate"), [(40, 16_000), (23, 8_000)])
def test_other_mel_counts_and_rates_equal_the_reference(mels: int, rate: int) -> None:
    reference = SeamlessM4TFeatureExtractor(feature_size=mels, num_mel_bins=mels, sampling_rate=rate)
    wanted = reference(CLIPS[0], sampling_rate=rate, return_tensors="pt")["input_features"]
    ours = FilterbankFeatures(num_mel_bins=mels, sampling_rate=rate)([CLIPS[0]]).values
    torch.testing.assert_close(ours, wanted, atol=1e-4, rtol=0)


def test_filterbanks_without_normalization_equal_the_reference() -> None:
    tone = np.sin(0.3 * np.arange(8_000)).astype(np.float32)
    reference = SeamlessM4TFeatureExtractor()
    for clip in (CLIPS[0], tone):
        wanted = reference(clip, sampling_rate=RATE, return_tensors="pt", do_normalize_per_mel_bins=False)
        ours = FilterbankFeatures().with_normalization("none")([clip]).values
        torch.testing.assert_close(ours, wanted["input_features"], atol=1e-4, rtol=1e-5)


def test_long_recordings_have_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FilterbankFeatures()([CLIPS[0]]).values
    monkeypatch.setattr("speechcli.audio.features.BLOCK_FRAMES", 7)
    torch.testing.assert_close(FilterbankFeatures()([CLIPS[0]]).values, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("samples", [0, 1, 399, 400])
def test_the_shortest_clips_give_one_real_frame(samples: int) -> None:
    clip = speechlike(samples)
    waveform = WaveformFeatures(return_attention_mask=True)([clip])
    filterbank = FilterbankFeatures()([clip])
    assert waveform.values.shape == (1, 400)
    assert filterbank.values.shape == (1, 1, 160)
    assert waveform.lengths is not None and waveform.lengths.tolist() == [400]
    assert filterbank.lengths is not None and filterbank.lengths.tolist() == [1]
    assert waveform.values.isfinite().all() and filterbank.values.isfinite().all()
    padded = np.pad(clip, (0, 400 - samples))
    torch.testing.assert_close(waveform.values, WaveformFeatures()([padded]).values, atol=0, rtol=0)


def test_silence_is_zero() -> None:
    silence = np.zeros(4_000, dtype=np.float32)
    assert not WaveformFeatures()([silence]).values.any()
    assert FilterbankFeatures()([silence]).values.abs().max() < 1e-6


lengths = st.lists(st.integers(0, 3_000), min_size=1, max_size=5)


@settings(max_examples=30, deadline=None)
@given(lengths, st.integers(0, 4), st.integers(1, 4), st.booleans())
def test_features_are_the_same_alone_and_in_any_batch(
    samples: list[int], which: int, stride: int, masked: bool
) -> None:
    clips = [speechlike(count, seed) for seed, count in enumerate(samples)]
    which %= len(clips)
    waveform = WaveformFeatures(return_attention_mask=masked)
    alone, together = waveform([clips[which]]), waveform(clips)
    size = alone.values.shape[1]
    assert torch.equal(together.values[which, :size], alone.values[0])
    assert not together.values[which, size:].any()

    filterbank = FilterbankFeatures(padding_value=1.0, stride=stride)
    alone, together = filterbank([clips[which]]), filterbank(clips)
    assert alone.lengths is not None and together.lengths is not None
    assert together.lengths[which] == alone.lengths[0]
    real = int(alone.lengths[0])
    assert torch.equal(together.values[which, :real], alone.values[0, :real])
    assert (together.values[which, alone.values.shape[1] :] == 1.0).all()


@pytest.mark.parametrize("file", [WAVEFORM_FILE, FILTERBANK_FILE])
def test_the_file_survives_a_round_trip(file: dict[str, Any]) -> None:
    features = features_from_dict(file)
    assert type(features) is (WaveformFeatures if file is WAVEFORM_FILE else FilterbankFeatures)
    assert features.to_dict() == file
    assert features_from_dict(json.loads(json.dumps(features.to_dict()))) == features
    assert pickle.loads(pickle.dumps(features)) == features


@pytest.mark.parametrize("features", [WaveformFeatures(), FilterbankFeatures()])
def test_the_file_written_is_the_references(features: WaveformFeatures | FilterbankFeatures) -> None:
    reference = {WaveformFeatures: Wav2Vec2FeatureExtractor, FilterbankFeatures: SeamlessM4TFeatureExtractor}
    assert features.to_dict() == reference[type(features)]().to_dict()


def test_old_files_without_a_type_mean_the_waveform() -> None:
    assert features_from_dict({}) == WaveformFeatures()
    assert features_from_dict({"do_normalize": False, "sampling_rate": 8_000}).sampling_rate == 8_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature_extractor_type": "EncodecFeatureExtractor"}, "one of Wav2Vec2FeatureExtractor, SeamlessM4T"),
        ({"feature_extractor_type": []}, "feature_extractor_type"),
        ({"padding_side": "left"}, "`padding_side`.* must be right, but is 'left'"),
        ({"sampling_rate": "16000"}, "`sampling_rate`.* whole number from 1, but is '16000'"),
        ({"sampling_rate": True}, "`sampling_rate`"),
        ({"sampling_rate": 0}, "`sampling_rate`"),
        ({"do_normalize": 1}, "`do_normalize`.* true or false"),
        ({"padding_value": None}, "`padding_value`.* a number"),
    ],
)
def test_files_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        features_from_dict(WAVEFORM_FILE | change)


def test_normalization_can_be_forced() -> None:
    for file in (WAVEFORM_FILE, FILTERBANK_FILE):
        features = features_from_dict(file)
        assert features.with_normalization("auto") is features
        assert features.with_normalization("utterance") == features
        plain = features.with_normalization("none")
        assert plain != features
        assert plain.with_normalization("auto") == plain
        assert plain.with_normalization("utterance") == features
        assert features_from_dict(plain.to_dict()) == plain
        with pytest.raises(UsageError, match="auto, utterance, none"):
            features.with_normalization("global")
    raw = WaveformFeatures().with_normalization("none")([CLIPS[0]]).values
    np.testing.assert_array_equal(raw[0].numpy(), CLIPS[0])


def test_arrays_that_cannot_be_written_or_are_strided_are_taken() -> None:
    clip = np.frombuffer(CLIPS[0].tobytes(), dtype=np.float32)
    assert torch.equal(WaveformFeatures()([clip]).values, WaveformFeatures()([CLIPS[0]]).values)
    stereo = np.stack([CLIPS[0], CLIPS[0]], axis=1)
    assert torch.equal(FilterbankFeatures()([stereo[:, 0]]).values, FilterbankFeatures()([CLIPS[0]]).values)
