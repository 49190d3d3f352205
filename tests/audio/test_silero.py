"""Voice activity by Silero's network; skipped if its package, an extra, is not installed."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from speechcli.audio import silero
from speechcli.audio.read import read_audio
from speechcli.audio.silero import CONTEXT_SAMPLES, FRAME_SAMPLES, SileroDetector, SileroNetwork, weights_path
from speechcli.errors import UsageError

pytestmark = pytest.mark.skipif(weights_path() is None, reason="needs the extra vad")

SAMPLES = Path(__file__).parents[2] / "samples"

# Our name -> the name in the package's TorchScript file, which has other weights for the same network.
NAMES = {
    "stft_conv.weight": "stft.forward_basis_buffer",
    **{f"conv{i}.{kind}": f"encoder.{i - 1}.reparam_conv.{kind}" for i in range(1, 5) for kind in ("weight", "bias")},
    **{f"lstm.{kind}_l0": f"decoder.rnn.{kind}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
    **{f"final_conv.{kind}": f"decoder.decoder.2.{kind}" for kind in ("weight", "bias")},
}


@pytest.fixture(scope="module")
def speech():
    return read_audio(SAMPLES / "en-check-the-number.wav", sample_rate=16_000).samples[: 60 * FRAME_SAMPLES]


def test_our_network_is_the_packages(speech):
    script = torch.jit.load(weights_path().with_name("silero_vad.jit"))
    theirs = {**dict(script._model.named_parameters()), **dict(script._model.named_buffers())}
    network = SileroNetwork().eval()
    network.load_state_dict({ours: theirs[name] for ours, name in NAMES.items()})
    frames = torch.from_numpy(np.pad(speech, (CONTEXT_SAMPLES, 0))).unfold(0, CONTEXT_SAMPLES + FRAME_SAMPLES, 512)
    with torch.inference_mode():
        ours, _ = network(frames, None)
        expected = [script(torch.from_numpy(frame), 16_000).item() for frame in speech.reshape(-1, FRAME_SAMPLES)]
    np.testing.assert_allclose(ours.numpy(), expected, atol=2e-5)


def test_speech_is_distinguished_from_silence_and_noise(speech):
    noise = (0.01 * np.random.default_rng(0).standard_normal(40 * FRAME_SAMPLES)).astype(np.float32)
    detector = SileroDetector()
    assert detector(np.zeros(40 * FRAME_SAMPLES, dtype=np.float32)).sum() == 0
    assert detector(speech).mean() > 0.7
    assert SileroDetector()(noise).sum() == 0


@pytest.mark.parametrize("level", [1e-1, 1e-2, 1e-3, 1e-4])
def test_quiet_speech_is_speech_and_quiet_noise_is_none(speech, level):
    noise = np.random.default_rng(0).standard_normal(40 * FRAME_SAMPLES).astype(np.float32)
    assert SileroDetector()(speech * np.float32(level)).mean() > 0.7
    assert SileroDetector()(noise * np.float32(level)).sum() == 0


def test_blocks_give_the_same_probabilities_as_the_whole(speech):
    detector = SileroDetector()
    pieces = [detector(piece) for piece in np.split(speech, [FRAME_SAMPLES, 4 * FRAME_SAMPLES, 30 * FRAME_SAMPLES])]
    assert (np.concatenate(pieces) == SileroDetector()(speech)).all()


def test_the_package_is_not_imported_and_threads_stay_as_they_are(speech):
    threads = torch.get_num_threads()
    SileroDetector()(speech)
    assert torch.get_num_threads() == threads and "silero_vad" not in sys.modules


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(silero, "weights_path", lambda: None)
    silero._network.cache_clear()
    with pytest.raises(UsageError, match="needs the package silero-vad") as caught:
        SileroDetector()
    silero._network.cache_clear()
    assert caught.value.hint == "pip install 'speechcli[vad]'"
