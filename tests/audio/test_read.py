import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from speechcli.audio.read import AUDIO_EXTENSIONS, RawFormat, audio_seconds, open_audio, read_audio
from speechcli.errors import InputError, UsageError

from .clips import RATE, noise, refusal, tone, write


def test_samples_at_the_models_rate_come_back_bit_for_bit(tmp_path: Path) -> None:
    samples = tone()
    audio = read_audio(write(tmp_path / "a.wav", samples, subtype="FLOAT"), sample_rate=RATE)
    assert audio.samples.dtype == np.float32
    np.testing.assert_array_equal(audio.samples, samples)
    assert audio[1:] == (RATE, 0.5, False)


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_U8", 1 / 127),
        ("a.wav", "PCM_16", 1e-4),
        ("a.wav", "PCM_24", 1e-6),
        ("a.wav", "PCM_32", 1e-7),
        ("a.wav", "DOUBLE", 1e-7),
        ("a.wav", "ULAW", 0.02),
        ("a.flac", "PCM_16", 1e-4),
        ("a.flac", "PCM_24", 1e-6),
        ("a.aiff", "PCM_16", 1e-4),
        ("a.au", "PCM_16", 1e-4),
        ("a.caf", "PCM_16", 1e-4),
        ("a.w64", "PCM_16", 1e-4),
    ],
)
def test_every_sample_format_has_the_same_scale(tmp_path: Path, name: str, subtype: str, tolerance: float) -> None:
    samples = tone()
    audio = read_audio(write(tmp_path / name, samples, subtype=subtype), sample_rate=RATE)
    np.testing.assert_allclose(audio.samples, samples, atol=tolerance)


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.opus"])
def test_lossy_formats_keep_length_and_level(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    soundfile.write(
        path, tone(), RATE, format={"opus": "OGG"}.get(name[2:]), subtype="OPUS" if "opus" in name else None
    )
    audio = read_audio(path, sample_rate=RATE)
    assert len(audio.samples) == pytest.approx(RATE / 2, abs=20)
    assert np.sqrt(np.mean(audio.samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert not audio.truncated


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 44_101, 48_000])
def test_other_rates_are_resampled_as_in_one_piece(tmp_path: Path, rate: int) -> None:
    samples = noise(200_001)[:, 0]
    audio = read_audio(write(tmp_path / "a.wav", samples, rate, "FLOAT"), sample_rate=RATE)
    np.testing.assert_array_equal(audio.samples, soxr.resample(samples, rate, RATE))
    assert audio.seconds == pytest.approx(200_001 / rate)


def test_channels_are_averaged_or_one_is_chosen(tmp_path: Path) -> None:
    samples = noise(1_000, channels=6)
    path = write(tmp_path / "six.wav", samples, subtype="FLOAT")
    mixed = read_audio(path, sample_rate=RATE).samples
    np.testing.assert_allclose(mixed, samples.mean(axis=1), atol=1e-7)
    last = read_audio(path, sample_rate=RATE, channel="5").samples
    np.testing.assert_array_equal(last, samples[:, 5])
    assert "has the channels 0 to 5, but channel 6 was requested" in refusal(path, channel="6")
    one = write(tmp_path / "one.wav", samples[:, 0])
    assert "has one channel, number 0, but channel 1 was requested" in refusal(one, channel="1")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
@pytest.mark.parametrize("backend", ["soundfile", "av"])
def test_channels_of_an_opened_source_are_read_one_after_the_other(tmp_path: Path, name: str, backend: str) -> None:
    if backend == "av":
        pytest.importorskip("av")
    path = tmp_path / name
    soundfile.write(path, noise(100_000, channels=2), 22_050)
    for source in (path, io.BytesIO(path.read_bytes())):
        with open_audio(source, sample_rate=RATE, backend=backend, start=0.5) as sound:
            assert sound.channels == 2
            read = [np.concatenate(list(sound.blocks(channel))) for channel in ("0", "1", "mix", "0")]
        for channel, samples in zip(("0", "1", "mix", "0"), read, strict=True):
            alone = read_audio(path, sample_rate=RATE, backend=backend, start=0.5, channel=channel)
            np.testing.assert_array_equal(samples, alone.samples)


@pytest.mark.parametrize("start", [0.25, 9.0])
def test_a_part_is_read_of_a_telephone_codec_in_which_libsndfile_cannot_seek(tmp_path: Path, start: float) -> None:
    file = write(tmp_path / "a.wav", tone(10.0, rate=8000) * np.linspace(0, 1, 80_000), rate=8000, subtype="GSM610")
    whole = read_audio(file, sample_rate=8000).samples
    part = read_audio(file, sample_rate=8000, start=start, end=9.5)
    np.testing.assert_array_equal(part.samples, whole[round(8000 * start) : 76_000])
    assert not part.truncated and not read_audio(file, sample_rate=8000, start=start).truncated


def test_start_and_end_cut_to_the_sample(tmp_path: Path) -> None:
    samples = noise(200_000)[:, 0]
    for name in ("a.wav", "a.flac"):
        path = write(tmp_path / name, samples)
        whole = read_audio(path, sample_rate=RATE).samples
        part = read_audio(path, sample_rate=RATE, start=0.25, end=9.5)
        np.testing.assert_array_equal(part.samples, whole[4_000:152_000])
        assert part.seconds == 9.25
        assert not part.truncated
    tail = read_audio(path, sample_rate=RATE, start=12.0, end=99.0)
    assert tail.seconds == 0.5
    assert "ends before the requested start" in refusal(path, start=12.5)


@pytest.mark.parametrize(
    "options",
    [
        {"channel": "left"},
        {"channel": "-1"},
        {"channel": "²"},
        {"start": -1.0},
        {"start": float("nan")},
        {"start": 2.0, "end": 2.0},
        {"end": 0.0},
        {"backend": "sox"},
    ],
)
def test_senseless_requests_are_usage_errors(tmp_path: Path, options: dict[str, object]) -> None:
    path = write(tmp_path / "a.wav", tone())
    with pytest.raises(UsageError):
        read_audio(path, sample_rate=RATE, **options)  # type: ignore[arg-type]


def test_seekable_streams_and_pipes_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", tone())
    expected = read_audio(path, sample_rate=RATE).samples
    stream = io.BytesIO(path.read_bytes())
    stream.seek(7)
    np.testing.assert_array_equal(read_audio(stream, sample_rate=RATE).samples, expected)

    reading, writing = os.pipe()

    def feed() -> None:
        with open(writing, "wb") as pipe:
            pipe.write(path.read_bytes())

    feeder = threading.Thread(target=feed)
    feeder.start()
    with open(reading, "rb") as pipe:
        audio = read_audio(pipe, sample_rate=RATE)
    feeder.join()
    np.testing.assert_array_equal(audio.samples, expected)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    data = write(tmp_path / "a.wav", tone()).read_bytes()
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    feeder = threading.Thread(target=fifo.write_bytes, args=(data,))
    feeder.start()
    audio = read_audio(fifo, sample_rate=RATE)
    feeder.join()
    assert audio.seconds == 0.5


@pytest.mark.parametrize(("encoding", "dtype"), [("s16le", "<i2"), ("s16be", ">i2"), ("f32le", "<f4"), ("s8", "i1")])
def test_headerless_pcm_is_read_in_the_given_format(encoding: str, dtype: str) -> None:
    full_scale = {"f": 1, "i": 2 ** (8 * np.dtype(dtype).itemsize - 1)}[np.dtype(dtype).kind]
    wanted = np.array([[0.5, -0.5], [0.25, 0.125], [-1, 0]])
    data = (wanted * full_scale).astype(dtype).tobytes()
    raw = RawFormat(encoding, rate=RATE, channels=2)
    audio = read_audio(io.BytesIO(data), sample_rate=RATE, raw=raw, channel="0")
    np.testing.assert_array_equal(audio.samples, wanted[:, 0].astype(np.float32))


def test_the_error_for_a_raw_file_without_its_format_names_the_flags(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(100))
    with pytest.raises(InputError, match="headerless") as caught:
        read_audio(path, sample_rate=RATE)
    assert caught.value.hint is not None and caught.value.hint.startswith("--raw s16le")
    assert len(read_audio(path, sample_rate=RATE, raw=RawFormat()).samples) == 50


def test_raw_formats_are_checked_when_made() -> None:
    for wrong in ({"encoding": "s12"}, {"rate": 100}, {"channels": 0}):
        with pytest.raises(UsageError):
            RawFormat(**wrong)


def test_lengths_come_from_the_header(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac", "a.mp3", "a.ogg"):
        assert audio_seconds(write(tmp_path / name, tone(0.5, 48_000), 48_000)) == 0.5
    with pytest.raises(InputError):
        audio_seconds(tmp_path / "no.wav")


def test_folder_scans_know_the_usual_suffixes() -> None:
    assert {".wav", ".flac", ".mp3", ".m4a", ".webm", ".opus"} <= AUDIO_EXTENSIONS
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in AUDIO_EXTENSIONS)
    assert not {".txt", ".tsv", ".json", ".raw"} & AUDIO_EXTENSIONS
