"""Feature extractors of speech encoders, with their configuration in ``preprocessor_config.json``.

The features of an utterance never depend on the other utterances in the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from speechcli.audio.extractor import Extractor, FeatureBatch, standardized
from speechcli.audio.log_mel import LogMelFeatures
from speechcli.errors import ModelError

# 25 ms and 10 ms at 16 kHz; numbers of samples, independent of the sample rate.
FRAME_SAMPLES = 400
HOP_SAMPLES = 160
FFT_SIZE = 512
# Number of frames transformed at a time (about one minute), to limit the memory for long recordings.
BLOCK_FRAMES = 6_000

MEL_FLOOR = 1.192092955078125e-07  # float32's epsilon, as Kaldi
LOWEST_HERTZ = 20.0
PREEMPHASIS = 0.97
INT16_SCALE = 2.0**15  # Kaldi's samples are 16-bit integers


@dataclass(frozen=True, kw_only=True)
class WaveformFeatures(Extractor):
    """The samples themselves, optionally normalized (Hugging Face's ``Wav2Vec2FeatureExtractor``).

    One deliberate difference: each utterance is normalized *before* padding with ``padding_value``. If
    ``return_attention_mask`` is false, Hugging Face's extractor computes mean and variance over the padded vector, so
    that results depend on the batch; here they equal those of the utterance alone.

    Called with waveforms, each (samples,) float32, it returns values (batch, samples). Clips shorter than 400 samples,
    the minimum for one frame, are extended with zeros, which do not count as padding.
    """

    do_normalize: bool = True
    """Whether each utterance gets mean 0 and variance 1."""
    return_attention_mask: bool = False
    """Whether the model was trained with an attention mask."""

    kind: ClassVar[str] = "Wav2Vec2FeatureExtractor"
    processor: ClassVar[str] = "Wav2Vec2Processor"
    normalizes: ClassVar[str] = "do_normalize"

    def __call__(self, waveforms: Sequence[np.ndarray]) -> FeatureBatch:
        """Return values (batch, samples), and lengths (batch,) if the model was trained with a mask."""
        rows = [_at_least_one_frame(waveform) for waveform in waveforms]
        if self.do_normalize:
            rows = [standardized(row, correction=0) for row in rows]
        values, lengths = _padded(rows, self.padding_value)
        return FeatureBatch(values, lengths if self.return_attention_mask else None)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``preprocessor_config.json``."""
        return {"feature_size": 1, **super().to_dict()}

    @property
    def pads(self) -> bool:
        """Whether the model was trained with an attention mask; without one, padding changes the results."""
        return self.return_attention_mask


@dataclass(frozen=True, kw_only=True)
class FilterbankFeatures(Extractor):
    """Stacked log-mel filterbanks (Hugging Face's ``SeamlessM4TFeatureExtractor``).

    Kaldi's filterbanks, normalized for each utterance and mel bin; ``stride`` frames are concatenated. Odd numbers of
    frames are padded to even ones; then incomplete stacks are dropped. A stack is padding if its second frame is (with
    ``stride`` 1: if its frame is).

    Called with waveforms, each (samples,) float32, it returns values (batch, frames, num_mel_bins * stride). Clips
    shorter than a frame (400 samples) are padded with zeros; every clip has at least one stack without padding.
    """

    num_mel_bins: int = 80
    stride: int = 2
    """Number of frames of 10 ms per frame of the encoder."""
    do_normalize_per_mel_bins: bool = True
    """Whether each mel bin gets mean 0 and variance 1 over the utterance."""

    kind: ClassVar[str] = "SeamlessM4TFeatureExtractor"
    processor: ClassVar[str] = "Wav2Vec2BertProcessor"
    normalizes: ClassVar[str] = "do_normalize_per_mel_bins"

    def __call__(self, waveforms: Sequence[np.ndarray]) -> FeatureBatch:
        """Return values (batch, frames, num_mel_bins * stride) and lengths (batch,)."""
        filters = _mel_filters(self.num_mel_bins, self.sampling_rate)
        stacks, lengths = [], []
        for waveform in waveforms:
            frames = _log_mel(_at_least_one_frame(waveform), filters)
            if self.do_normalize_per_mel_bins:
                frames = standardized(frames, correction=1)
            stack, length = self._stacked(frames.float())
            stacks.append(stack)
            lengths.append(length)
        values, _ = _padded(stacks, self.padding_value)
        return FeatureBatch(values, torch.tensor(lengths))

    def _stacked(self, frames: Tensor) -> tuple[Tensor, int]:
        real = len(frames)
        # The reference pads to a multiple of 2, independent of the stride.
        total = max((real + real % 2) // self.stride, 1) * self.stride
        padding = frames.new_full((max(0, total - real), self.num_mel_bins), self.padding_value)
        # (frames, mels) -> (stacks, mels * stride)
        stack = torch.cat([frames, padding])[:total].reshape(-1, self.num_mel_bins * self.stride)
        second = min(1, self.stride - 1)
        return stack, max(1, len(range(second, min(real, total), self.stride)))

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``preprocessor_config.json``."""
        config = {"feature_size": self.num_mel_bins, "return_attention_mask": True, **super().to_dict()}
        if self.do_normalize_per_mel_bins:
            # In Hugging Face it is an argument of the call, not a key: it is only saved if it is not the default.
            del config["do_normalize_per_mel_bins"]
        return config


EXTRACTORS: dict[str, type[Extractor]] = {
    cls.kind: cls for cls in (WaveformFeatures, FilterbankFeatures, LogMelFeatures)
}


def features_from_dict(config: Mapping[str, Any]) -> Extractor:
    """Build the extractor of a ``preprocessor_config.json``; old files have no type and mean `WaveformFeatures`.

    Raises:
        ModelError: the type is not supported, or a value is invalid.
    """
    kind = config.get("feature_extractor_type", WaveformFeatures.kind)
    if not isinstance(kind, str) or kind not in EXTRACTORS:
        raise ModelError(f"`feature_extractor_type` must be one of {', '.join(EXTRACTORS)}, but is {kind!r}.")
    return EXTRACTORS[kind].from_dict(config)


def _at_least_one_frame(waveform: np.ndarray) -> Tensor:
    samples = torch.from_numpy(np.require(waveform, dtype=np.float32, requirements=["C", "W"]))
    missing = FRAME_SAMPLES - len(samples)
    return torch.nn.functional.pad(samples, (0, missing)) if missing > 0 else samples


def _padded(rows: Sequence[Tensor], padding_value: float) -> tuple[Tensor, Tensor]:
    values = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=padding_value)
    return values, torch.tensor([len(row) for row in rows])


def _log_mel(samples: Tensor, filters: Tensor) -> Tensor:
    """Return Kaldi's log-mel energies, (samples,) -> (frames, mels), float64."""
    # In float32, quiet mel bins beside loud ones would lose precision.
    frames = (samples.double() * INT16_SCALE).unfold(0, FRAME_SAMPLES, HOP_SAMPLES)
    window = torch.hann_window(FRAME_SAMPLES, periodic=False, dtype=torch.float64).pow(0.85)  # Povey's
    blocks = []
    for block in torch.split(frames, BLOCK_FRAMES):
        block = block - block.mean(dim=1, keepdim=True)
        before = torch.cat([block[:, :1], block[:, :-1]], dim=1)
        spectrum = torch.fft.rfft((block - PREEMPHASIS * before) * window, n=FFT_SIZE)
        power = torch.view_as_real(spectrum).square().sum(dim=-1)
        blocks.append((power @ filters).clamp_min(MEL_FLOOR).log())
    return torch.cat(blocks)


@lru_cache
def _mel_filters(mels: int, sampling_rate: int) -> Tensor:
    """Return triangular filters equally spaced on the mel scale, (FFT bins, mels), float64."""

    def to_mel(hertz: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log1p(hertz / 700.0)

    low, high = to_mel(np.array([LOWEST_HERTZ, sampling_rate // 2]))
    corners = np.linspace(low, high, mels + 2)
    bins = to_mel(sampling_rate / FFT_SIZE * np.arange(FFT_SIZE // 2 + 1))[:, None]
    rising = (bins - corners[:-2]) / np.diff(corners)[:-1]
    falling = (corners[2:] - bins) / np.diff(corners)[1:]
    return torch.from_numpy(np.maximum(0.0, np.minimum(rising, falling)))
