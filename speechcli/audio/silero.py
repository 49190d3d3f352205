"""Silero's voice activity detection with the weights in the package `silero-vad` (an extra).

The package is not imported because that would set torch to one thread for the whole process.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from speechcli.audio.read import SILENT_PEAK
from speechcli.errors import UsageError

SAMPLE_RATE = 16_000
FRAME_SAMPLES = 512
# Each frame is preceded by the last samples of the one before.
CONTEXT_SAMPLES = 64
FFT_SIZE, FFT_HOP = 256, 128
BINS = FFT_SIZE // 2 + 1
WIDTH = 128
WEIGHTS = Path("data", "silero_vad_16k.safetensors")

# Speech begins above the first and ends below the second, as in the package.
SPEECH_BEGINS, SPEECH_ENDS = 0.5, 0.35
# The network detects no speech whose peak is below about 0.005, so audio that is quieter so far is amplified to this.
QUIET_PEAK = 0.1


class SileroNetwork(nn.Module):
    """Speech probability of frames of 32 ms (github.com/snakers4/silero-vad, version 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 2 * BINS, FFT_SIZE, FFT_HOP, bias=False)
        self.conv1 = nn.Conv1d(BINS, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH // 2, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(WIDTH // 2, WIDTH // 2, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(WIDTH // 2, WIDTH, 3, padding=1)
        self.lstm = nn.LSTM(WIDTH, WIDTH)
        self.final_conv = nn.Conv1d(WIDTH, 1, 1)

    def forward(self, frames: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(frames, context and frame samples) -> probabilities (frames,) and the state for the next frames."""
        x = self.stft_conv(F.pad(frames, (0, CONTEXT_SAMPLES), mode="reflect")[:, None])
        x = (x[:, :BINS].square() + x[:, BINS:].square()).sqrt()
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = conv(x).relu()
        x, state = self.lstm(x.squeeze(2), state)  # there is one time step left per frame
        return self.final_conv(x.relu()[:, :, None]).sigmoid().flatten(), state


class SileroDetector:
    """Detects speech in one recording at 16 kHz, block by block.

    Raises:
        UsageError: the package `silero-vad` is not installed.
    """

    frame_samples = FRAME_SAMPLES

    def __init__(self) -> None:
        self._network = _network()
        self._state: tuple[Tensor, Tensor] | None = None
        self._context = np.zeros(CONTEXT_SAMPLES, dtype=np.float32)
        self._speaking = False
        self._peak = SILENT_PEAK

    @torch.inference_mode()
    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Classify each frame as speech or not: samples (frames * 512,) -> (frames,) bool."""
        samples = self._audible(samples)
        joined = torch.from_numpy(np.concatenate([self._context, samples]))
        self._context = samples[-CONTEXT_SAMPLES:]
        frames = joined.unfold(0, CONTEXT_SAMPLES + FRAME_SAMPLES, FRAME_SAMPLES)
        probabilities, self._state = self._network(frames, self._state)
        return np.array([self._decide(probability) for probability in probabilities.tolist()], dtype=bool)

    def _audible(self, samples: np.ndarray) -> np.ndarray:
        """Amplify frames, (frames * 512,), by the loudest sample so far."""
        frames = samples.reshape(-1, FRAME_SAMPLES)
        peaks = np.concatenate([[self._peak], np.abs(frames).max(axis=1)]).astype(np.float32)
        loudest = np.maximum.accumulate(peaks)
        self._peak = float(loudest[-1])
        amplified: np.ndarray = frames * np.maximum(1, QUIET_PEAK / loudest[1:, None])
        return amplified.reshape(-1)

    def _decide(self, probability: float) -> bool:
        self._speaking = probability >= (SPEECH_ENDS if self._speaking else SPEECH_BEGINS)
        return self._speaking


def weights_path() -> Path | None:
    """Return the path of the weights in the installed package; None if it is not installed."""
    spec = importlib.util.find_spec("silero_vad")
    places = spec.submodule_search_locations if spec is not None else None
    paths = [Path(place) / WEIGHTS for place in places or ()]
    return next((path for path in paths if path.is_file()), None)


@cache
def _network() -> SileroNetwork:
    path = weights_path()
    if path is None:
        raise UsageError("`--vad silero` needs the package silero-vad.", hint="pip install 'speechcli[vad]'")
    weights = {key.replace("lstm_cell.", "lstm."): tensor for key, tensor in load_file(path).items()}
    names = {key: f"{key}_l0" if key.startswith("lstm.") else key for key in weights}
    network = SileroNetwork().eval()
    network.load_state_dict({names[key]: tensor for key, tensor in weights.items()})
    return network
