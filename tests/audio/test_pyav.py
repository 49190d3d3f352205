"""The optional backend; skipped where PyAV is not installed."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speechcli.audio.read import audio_seconds, read_audio
from speechcli.errors import InputError

av = pytest.importorskip("av")

RATE = 16_000
BLACK = np.zeros((32, 32, 3), dtype=np.uint8)


def webm(path: Path, seconds: float = 1.0) -> Path:
    samples = (0.5 * np.sin(0.1 * np.arange(round(seconds * 48_000)))).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_pyav_decodes_the_same_samples_as_soundfile(tmp_path: Path) -> None:
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


def test_a_name_with_a_colon_is_a_file_and_not_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    webm(tmp_path / "12:30.webm")
    assert audio_seconds(Path("12:30.webm")) == pytest.approx(1.0, abs=0.05)


def film(container: Any) -> Any:
    stream = container.add_stream("mpeg4", rate=5)
    stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
    return stream


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout"),
    [
        ("a.m4a", "aac", 44_100, "stereo"),
        ("a.mp4", "aac", 48_000, "mono"),
        ("a.mkv", "ac3", 48_000, "stereo"),
        ("a.mov", "pcm_s16le", 16_000, "mono"),
        ("a.wma", "wmav2", 44_100, "stereo"),
        ("a.aac", "aac", 16_000, "mono"),
    ],
)
def test_sound_of_films_and_telephones_is_read(tmp_path: Path, name: str, codec: str, rate: int, layout: str) -> None:
    path = tmp_path / name
    samples = (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate * 2) / rate)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout, bit_rate=96_000)
        pictures = film(container) if name in ("a.mp4", "a.mkv", "a.mov") else None
        frame = av.AudioFrame.from_ndarray(np.stack([samples] * stream.channels), format="fltp", layout=layout)
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for picture in [] if pictures is None else [av.VideoFrame.from_ndarray(BLACK)] * 10 + [None]:
            container.mux(pictures.encode(picture))
    audio = read_audio(path, sample_rate=RATE)
    assert audio.seconds == pytest.approx(2.0, abs=0.15) and not audio.truncated
    middle = audio.samples[RATE // 2 : RATE + RATE // 2]
    assert np.argmax(np.abs(np.fft.rfft(middle))) == pytest.approx(440, abs=2)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert read_audio(path, sample_rate=RATE, start=1.0).seconds == pytest.approx(audio.seconds - 1.0, abs=0.01)


def test_a_video_without_sound_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = film(container)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(BLACK)))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="has no audio stream"):
        read_audio(tmp_path / "a.mp4", sample_rate=RATE)


def test_a_truncated_container_is_detected(tmp_path: Path) -> None:
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
