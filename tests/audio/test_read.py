import io
import os
import struct
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from speechcli.audio.read import AUDIO_EXTENSIONS, Audio, RawFormat, audio_seconds, read_audio
from speechcli.errors import InputError, UsageError

RATE = 16_000


def tone(seconds: float = 0.5, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(frames: int, channels: int = 1) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal((frames, channels))).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str | None = None) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def refusal(source: Path | io.BytesIO, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read_audio(source, sample_rate=RATE, **options)  # type: ignore[arg-type]
    return caught.value.message


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
    assert "has 6 channels" in refusal(path, channel="6")


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
    assert "ends before the start" in refusal(path, start=12.5)


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
def test_headerless_pcm_is_read_as_told(encoding: str, dtype: str) -> None:
    full_scale = {"f": 1, "i": 2 ** (8 * np.dtype(dtype).itemsize - 1)}[np.dtype(dtype).kind]
    wanted = np.array([[0.5, -0.5], [0.25, 0.125], [-1, 0]])
    data = (wanted * full_scale).astype(dtype).tobytes()
    raw = RawFormat(encoding, rate=RATE, channels=2)
    audio = read_audio(io.BytesIO(data), sample_rate=RATE, raw=raw, channel="0")
    np.testing.assert_array_equal(audio.samples, wanted[:, 0].astype(np.float32))


def test_a_raw_file_without_its_format_is_refused_with_what_to_type(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(100))
    with pytest.raises(InputError, match="headerless") as caught:
        read_audio(path, sample_rate=RATE)
    assert caught.value.hint is not None and caught.value.hint.startswith("--raw s16le")
    assert len(read_audio(path, sample_rate=RATE, raw=RawFormat()).samples) == 50


def test_raw_formats_are_checked_when_made() -> None:
    for wrong in ({"encoding": "s12"}, {"rate": 100}, {"channels": 0}):
        with pytest.raises(UsageError):
            RawFormat(**wrong)  # type: ignore[arg-type]


def test_no_samples_are_an_empty_result(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.zeros(0, dtype=np.float32), rate=44_100)
    audio = read_audio(path, sample_rate=RATE)
    assert audio.samples.shape == (0,)
    assert audio[1:] == (RATE, 0.0, False)
    assert audio_seconds(path) == 0.0


def test_one_sample_is_enough(tmp_path: Path) -> None:
    assert read_audio(write(tmp_path / "a.wav", tone()[:1]), sample_rate=RATE).seconds == 1 / RATE


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    assert refusal(path) == f"`{path}` must be audio, but is empty (0 bytes)."
    assert "standard input" in refusal(io.BytesIO())


def test_text_named_as_audio_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_text("Grüße\n" * 2_000, encoding="utf-8")
    assert refusal(path) == f"`{path}` must be audio, but is a text file."


def test_missing_files_folders_and_odd_names_are_sentences(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.wav").endswith("no.wav` does not exist.")
    assert refusal(tmp_path).endswith("is a folder.")
    assert "File name too long" in refusal(tmp_path / ("a" * 300))
    assert "null" in refusal(tmp_path / "a\0b.wav")
    loop = tmp_path / "loop.wav"
    loop.symlink_to(loop)
    assert "cannot be read" in refusal(loop)
    assert "is a device" in refusal(Path(os.devnull))


def test_a_file_that_may_not_be_read_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.wav", tone())

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(path) == f"`{path}` cannot be read: permission denied."


@pytest.mark.skipif(sys.platform != "linux", reason="needs file names that are bytes")
def test_a_name_that_is_no_valid_text_is_read(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav"))
    path.write_bytes(write(tmp_path / "a.wav", tone()).read_bytes())
    assert read_audio(path, sample_rate=RATE).seconds == 0.5


@pytest.mark.parametrize("rate", [0, 1, 3_999, 384_001, 2**31 - 1])
def test_absurd_sample_rates_are_refused(tmp_path: Path, rate: int) -> None:
    path = write(tmp_path / "a.wav", tone())
    data = bytearray(path.read_bytes())
    data[24:28] = struct.pack("<I", rate)
    path.write_bytes(data)
    message = refusal(path)
    assert str(path) in message
    assert rate == 0 or message.endswith(f"must be from 4000 to 384000 Hz, but is {rate}.")


def test_too_many_channels_are_refused(tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "a.wav", noise(10, channels=33))).endswith("1 to 32 channels, but has 33.")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused_with_their_place(tmp_path: Path, value: float) -> None:
    samples = noise(100_000, channels=2)
    samples[80_000, 1] = value
    path = write(tmp_path / "a.wav", samples, subtype="FLOAT")
    assert "at 5.000 s one is NaN or infinite" in refusal(path)
    assert "at 5.000 s one is NaN or infinite" in refusal(path, start=1.0)
    assert read_audio(path, sample_rate=RATE, channel="0").seconds == 6.25
    assert read_audio(path, sample_rate=RATE, end=5.0).seconds == 5.0


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.flac", "a.mp3"])
def test_a_cut_file_gives_what_is_there_and_says_so(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, noise(200_000)[:, 0])
    whole = read_audio(path, sample_rate=RATE).samples
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    audio = read_audio(path, sample_rate=RATE)
    assert audio.truncated
    assert 0.6 < len(audio.samples) / len(whole) < 0.68
    compared = len(audio.samples) - 2_000
    np.testing.assert_allclose(audio.samples[:compared], whole[:compared], atol=1e-6)
    assert not read_audio(path, sample_rate=RATE, end=1.0).truncated


@pytest.mark.parametrize("kept", [20, 60, 200])
def test_a_flac_cut_in_its_header_is_refused(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path / "a.flac", tone())
    path.write_bytes(path.read_bytes()[:kept])
    assert str(path) in refusal(path)


@pytest.mark.parametrize("length", [0xFFFF_FFFF, 0x7FFF_F024])
def test_a_wav_written_to_a_pipe_is_whole(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / "a.wav", tone())
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", length)
    audio = read_audio(io.BytesIO(bytes(data)), sample_rate=RATE)
    assert (audio.seconds, audio.truncated) == (0.5, False)


def test_a_flac_written_to_a_pipe_is_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", tone())
    data = bytearray(path.read_bytes())
    # STREAMINFO: the low 36 bits of these 8 bytes are the number of samples, 0 where it is not known.
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    audio = read_audio(path, sample_rate=RATE)
    assert (audio.seconds, audio.truncated) == (0.5, False)
    assert audio_seconds(path) == 0.5


def test_a_wav_whose_header_was_never_completed_is_no_silence(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone())
    data = bytearray(path.read_bytes())
    data[40:44] = bytes(4)
    path.write_bytes(data)
    assert "says that it holds no samples" in refusal(path)


def test_a_header_that_promises_years_costs_no_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", tone())
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    path.write_bytes(data)
    audio = read_audio(path, sample_rate=RATE)
    assert audio.truncated
    assert audio.seconds == pytest.approx(0.5, abs=1e-3)


def test_mutated_files_are_read_or_refused_but_nothing_else(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    for name in ("a.wav", "a.flac", "a.ogg", "a.aiff"):
        original = write(tmp_path / name, tone(0.1)).read_bytes()
        for _ in range(50):
            data = np.frombuffer(original, dtype=np.uint8).copy()
            where = generator.integers(min(len(data), int(generator.choice([64, len(data)]))), size=4)
            data[where] = generator.integers(256, size=4)
            try:
                audio = read_audio(io.BytesIO(data.tobytes()), sample_rate=RATE)
            except InputError:
                continue
            assert isinstance(audio, Audio)
            assert np.isfinite(audio.samples).all()


def test_lengths_come_from_the_header(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac", "a.mp3", "a.ogg"):
        assert audio_seconds(write(tmp_path / name, tone(0.5, 48_000), 48_000)) == 0.5
    with pytest.raises(InputError):
        audio_seconds(tmp_path / "no.wav")


def test_without_pyav_other_formats_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "a.m4a"
    path.write_bytes(b"\0\0\0\x1cftypM4A \0\0\2\0" + bytes(1_000))
    with pytest.raises(InputError, match="need the extra `av`") as caught:
        read_audio(path, sample_rate=RATE)
    assert caught.value.hint == "pip install 'speechcli[av]'"
    with pytest.raises(UsageError, match="needs PyAV"):
        read_audio(path, sample_rate=RATE, backend="av")


def test_folder_scans_know_the_usual_suffixes() -> None:
    assert {".wav", ".flac", ".mp3", ".m4a", ".webm", ".opus"} <= AUDIO_EXTENSIONS
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in AUDIO_EXTENSIONS)
    assert not {".txt", ".tsv", ".json", ".raw"} & AUDIO_EXTENSIONS
