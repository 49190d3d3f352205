"""Whisper's feature extractor: log-mel spectrograms of windows of fixed length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from speechcli.audio.extractor import Extractor, FeatureBatch, standardized

HIGHEST_HERTZ = 8_000.0
POWER_FLOOR = 1e-10
RANGE = 8.0  # dynamic range in decades below the maximum

# Slaney's scale: linear up to 1 kHz, then logarithmic.
LINEAR_MELS = 15.0
LINEAR_HERTZ = 1_000.0
MELS_PER_E_FOLD = 27.0 / np.log(6.4)


@dataclass(frozen=True, kw_only=True)
class LogMelFeatures(Extractor):
    """Log-mel spectrogram of a window of `chunk_length` seconds (Hugging Face's ``WhisperFeatureExtractor``).

    Shorter utterances are padded with silence, longer ones are truncated. The minimum of the values of an utterance
    depends on its maximum.

    Called with waveforms, each (samples,) float32, it returns values (batch, frames, feature_size) with a fixed number
    of frames.
    """

    feature_size: int = 80
    """Number of mel bins."""
    hop_length: int = 160
    """Number of samples between frames."""
    n_fft: int = 400
    """Number of samples of a frame."""
    chunk_length: int = 30
    """Length of a window in seconds."""
    return_attention_mask: bool = False
    """Whether the decoder was trained with an attention mask over the padding."""
    do_normalize: bool = False
    """Whether each utterance gets mean 0 and variance 1."""

    kind: ClassVar[str] = "WhisperFeatureExtractor"
    processor: ClassVar[str] = "WhisperProcessor"
    normalizes: ClassVar[str] = "do_normalize"
    mels_first: ClassVar[bool] = True

    def __call__(self, waveforms: Sequence[np.ndarray]) -> FeatureBatch:
        """Return values (batch, frames, feature_size), and lengths (batch,) if the decoder was trained with a mask."""
        windows = torch.full((len(waveforms), self.longest), self.padding_value)
        lengths = []
        for window, waveform in zip(windows, waveforms, strict=True):
            samples = torch.from_numpy(np.asarray(waveform[: self.longest], dtype=np.float32))
            if self.do_normalize and len(samples):
                samples = standardized(samples, correction=0)
            window[: len(samples)] = samples
            lengths.append(max(1, -(-len(samples) // self.hop_length)))
        values = self._log_mel(windows).transpose(1, 2).contiguous()
        return FeatureBatch(values, torch.tensor(lengths) if self.return_attention_mask else None)

    def _log_mel(self, windows: Tensor) -> Tensor:
        # (batch, samples) -> (batch, mels, frames); the last frame of the transform is dropped
        frames = torch.stft(
            windows, self.n_fft, self.hop_length, window=torch.hann_window(self.n_fft), return_complex=True
        )[..., :-1]
        filters = _mel_filters(self.feature_size, self.n_fft, self.sampling_rate)
        values = (filters @ frames.abs().square()).clamp_min(POWER_FLOOR).log10()
        values = values.maximum(values.amax(dim=(1, 2), keepdim=True) - RANGE)
        return (values + 4.0) / 4.0

    @property
    def longest(self) -> int:
        """Number of samples of a window."""
        return self.chunk_length * self.sampling_rate

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``preprocessor_config.json``."""
        config = {
            **super().to_dict(),
            "n_samples": self.longest,
            "nb_max_frames": self.longest // self.hop_length,
        }
        if not self.do_normalize:
            # In Hugging Face it is an argument of the call, not a key: it is only saved if it is not the default.
            del config["do_normalize"]
        return config


@lru_cache
def _mel_filters(mels: int, fft_size: int, sampling_rate: int) -> Tensor:
    """Return triangular filters of equal area, equally spaced on Slaney's mel scale, (mels, FFT bins), float32."""
    highest = LINEAR_MELS + MELS_PER_E_FOLD * np.log(HIGHEST_HERTZ / LINEAR_HERTZ)
    corners = np.linspace(0.0, highest, mels + 2)
    linear, logarithmic = corners / LINEAR_MELS, np.exp((corners - LINEAR_MELS) / MELS_PER_E_FOLD)
    hertz = LINEAR_HERTZ * np.where(corners < LINEAR_MELS, linear, logarithmic)
    bins = np.linspace(0, sampling_rate // 2, fft_size // 2 + 1)[:, None]
    rising = (bins - hertz[:-2]) / np.diff(hertz)[:-1]
    falling = (hertz[2:] - bins) / np.diff(hertz)[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (hertz[2:] - hertz[:-2]))
    return torch.from_numpy(triangles.T.astype(np.float32)).contiguous()
