"""The optional backend; skipped where PyAV is not installed."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechcli.audio.read import audio_seconds, read_audio
from speechcli.errors import InputError

av = pytest.importorskip("av")

RATE = 16_000


def webm(path: Path, seconds: float = 1.0) -> Path:
    samples = (0.5 * np.sin(0.1 * np.arange(round(seconds * 48_000)))).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_pyav_decodes_what_soundfile_decodes(tmp_path: Path) -> None:
    samples = (0.1 * np.random.default_rng(0).standard_normal((30_000, 2))).astype(np.float32)
    soundfile.write(tmp_path / "a.flac", samples, 44_100)
    for options in ({}, {"channel": "1"}, {"start": 0.1, "end": 0.3}):
        first = read_audio(tmp_path / "a.flac", sample_rate=RATE, backend="av", **options)
        second = read_audio(tmp_path / "a.flac", sample_rate=RATE, **options)
        np.testing.assert_allclose(first.samples, second.samples, atol=1e-6)
        assert first[1:] == second[1:]


def test_a_container_that_soundfile_does_not_know_is_read(tmp_path: Path) -> None:
    path = webm(tmp_path / "a.webm")
    for source in (path, io.BytesIO(path.read_bytes())):
        audio = read_audio(source, sample_rate=RATE)
        assert audio.seconds == pytest.approx(1.0, abs=0.05)
        assert np.sqrt(np.mean(audio.samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
        assert not audio.truncated
    assert audio_seconds(path) == pytest.approx(1.0, abs=0.05)


def test_a_cut_container_says_so(tmp_path: Path) -> None:
    path = webm(tmp_path / "a.webm", seconds=4.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    audio = read_audio(path, sample_rate=RATE)
    assert audio.truncated
    assert 1.0 < audio.seconds < 3.0


def test_noise_named_as_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(5_000))
    with pytest.raises(InputError, match="cannot be decoded"):
        read_audio(path, sample_rate=RATE)
