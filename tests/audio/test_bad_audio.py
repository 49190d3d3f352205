import io
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from speechcli.audio.read import Audio, audio_seconds, open_audio, read_audio
from speechcli.errors import InputError, UsageError

from .clips import RATE, noise, refusal, tone, write


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
def test_a_file_whose_name_is_not_valid_text_is_read(tmp_path: Path) -> None:
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
def test_a_truncated_file_is_read_to_its_end_and_reported(tmp_path: Path, name: str) -> None:
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


def test_each_channel_of_a_damaged_file_is_read_up_to_the_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", noise(200_000, channels=2))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    path.write_bytes(content)
    for source in (path, io.BytesIO(content)):
        with open_audio(source, sample_rate=RATE) as sound:
            lengths = [sum(map(len, sound.blocks(channel))) for channel in ("0", "1")]
        assert lengths[0] == lengths[1] > 80_000
        assert sound.truncated


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


def test_a_wav_whose_header_was_never_completed_is_not_silent(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone())
    data = bytearray(path.read_bytes())
    data[40:44] = bytes(4)
    path.write_bytes(data)
    assert "says that it contains no samples" in refusal(path)


def test_a_header_that_promises_years_costs_no_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", tone())
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    path.write_bytes(data)
    audio = read_audio(path, sample_rate=RATE)
    assert audio.truncated
    assert audio.seconds == pytest.approx(0.5, abs=1e-3)


def test_mutated_files_are_either_read_or_refused(tmp_path: Path) -> None:
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


def test_without_pyav_other_formats_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "a.m4a"
    path.write_bytes(b"\0\0\0\x1cftypM4A \0\0\2\0" + bytes(1_000))
    with pytest.raises(InputError, match="need the extra `av`") as caught:
        read_audio(path, sample_rate=RATE)
    assert caught.value.hint == "pip install 'speechcli[av]'"
    with pytest.raises(UsageError, match="needs PyAV"):
        read_audio(path, sample_rate=RATE, backend="av")
