"""Every layout of a corpus, as its makers publish it, read without conversion."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechcli.audio.inside import FileSlice, TableCell
from speechcli.data.manifest import Manifest, ManifestOptions, Target, Utterance, read_manifest
from speechcli.data.waveform import read_waveform
from speechcli.errors import InputError

RATE = 8_000


def sound(path: Path, seconds: float = 1.0, level: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(round(seconds * RATE), level, dtype=np.float32), RATE)
    return path


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def bytes_of(seconds: float, level: float) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(round(seconds * RATE), level, dtype=np.float32), RATE, format="FLAC")
    return buffer.getvalue()


def ids(manifest: Manifest) -> list[str]:
    return [utterance.id for utterance in manifest.utterances]


def bad(manifest: Manifest) -> list[tuple[str, str]]:
    return [(row.where, row.reason) for row in manifest.bad_rows]


@pytest.fixture
def kaldi(tmp_path: Path) -> Path:
    sound(tmp_path / "call.wav", 4.0)
    write(tmp_path / "wav.scp", f"call {tmp_path / 'call.wav'}", "pipe sph2pipe -f wav x.sph |", "near call.wav")
    write(tmp_path / "segments", "u1 call 0.5 1.5", "u2 call 2 -1.0", "u3 pipe 0 1", "u4 call 1", "u5 lost 0 1")
    write(tmp_path / "text", "u1 good day", "u2\tund nun", "u3 x", "u4 x", "u5 x", "u6 too much", "u1 again")
    write(tmp_path / "utt2spk", "u1 ada", "u2 bea")
    write(tmp_path / "utt2lang", "u1 en", "u2 de")
    return tmp_path


def test_a_kaldi_directory_is_read_with_segments_speakers_and_languages(kaldi: Path) -> None:
    first, second = read_manifest(kaldi).utterances
    audio = kaldi / "call.wav"
    assert first == Utterance("u1", audio, 1.0, (Target("good day", "en"),), "good day", "en", "ada", 0.5, 1.5)
    assert (second.start, second.end, second.seconds, second.targets) == (2.0, None, 2.0, (Target("und nun", "de"),))
    assert len(read_waveform(first, RATE)) == RATE


def test_every_unusable_line_of_a_kaldi_directory_is_reported(kaldi: Path) -> None:
    assert bad(read_manifest(kaldi)) == [
        ("segments line 3", "a recording must be a file, but line 2 of wav.scp is a command, which is never run"),
        ("segments line 4", "a segment must be `utterance recording start end`"),
        ("segments line 5", "wav.scp must name the recording `lost`, but does not"),
        ("text line 6", "there is no recording for the text of `u6`"),
        ("text line 7", "`u1` must occur once, but is in line 1 too"),
    ]


def test_a_command_in_a_kaldi_directory_is_not_run(tmp_path: Path) -> None:
    write(tmp_path / "wav.scp", f"a touch {tmp_path / 'canary'} |", f"b | touch {tmp_path / 'canary'}")
    write(tmp_path / "text", "a x", "b x")
    with pytest.raises(InputError, match="is a command, which is never run"):
        read_manifest(tmp_path)
    assert not (tmp_path / "canary").exists()


def test_without_segments_a_kaldi_recording_is_an_utterance(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", 0.5)
    write(tmp_path / "wav.scp", "a a.wav")
    write(tmp_path / "text", "a yes")
    assert read_manifest(tmp_path).utterances == (
        Utterance("a", tmp_path / "a.wav", 0.5, (Target("yes", None),), "yes"),
    )


def test_librispeech_is_read_at_any_depth_with_its_speakers(tmp_path: Path) -> None:
    chapter = tmp_path / "test-clean" / "84" / "121"
    sound(chapter / "84-121-0000.flac")
    write(chapter / "84-121.trans.txt", "84-121-0000 GO ON", "84-121-0001 LOST", "84-121-0002")
    manifest = read_manifest(tmp_path / "test-clean", options=ManifestOptions(default_language="en"))
    audio = chapter / "84-121-0000.flac"
    assert manifest.utterances == (Utterance("84-121-0000", audio, 1.0, (Target("GO ON", "en"),), "GO ON", "en", "84"),)
    assert [where for where, _ in bad(manifest)] == ["84/121/84-121.trans.txt line 2", "84/121/84-121.trans.txt line 3"]


def test_common_voice_finds_its_clips_and_their_durations(tmp_path: Path) -> None:
    sound(tmp_path / "clips" / "cv_1.mp3")
    sound(tmp_path / "clips" / "cv_2.mp3")
    write(tmp_path / "clip_durations.tsv", "clip\tduration[ms]", "cv_1.mp3\t1500", "", "cv_2.mp3\tunknown")
    header = "client_id\tpath\tsentence\tup_votes\tlocale\tsegment"
    table = write(tmp_path / "train.tsv", header, "c1\tcv_1.mp3\tBore da.\t2\tcy\t", "c2\tcv_2\tNos da.\t2\tcy\t")
    first, second = read_manifest(table).utterances
    assert (first.audio, first.seconds, first.speaker, first.language) == (
        tmp_path / "clips" / "cv_1.mp3",
        1.5,
        "c1",
        "cy",
    )
    assert first.targets == (Target("Bore da.", "cy"),)
    assert second.audio == tmp_path / "clips" / "cv_2.mp3"
    assert second.seconds == pytest.approx(1.0, abs=0.2)


def test_a_table_beside_clips_may_name_them_with_their_folder(tmp_path: Path) -> None:
    clips = [sound(tmp_path / "clips" / name) for name in ("a.wav", "b.wav", "c.wav")]
    rows = ("clips/a.wav\tone", f"{clips[1]}\ttwo", "c.wav\tthree")
    manifest = read_manifest(write(tmp_path / "mine.tsv", "path\tsentence", *rows))
    assert [utterance.audio for utterance in manifest.utterances] == clips
    assert manifest.bad_rows == ()


def test_the_folder_of_common_voice_must_be_narrowed_to_a_table(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    write(tmp_path / "train.tsv", "path\tsentence")
    with pytest.raises(InputError, match="must be one table of 1, but is their folder"):
        read_manifest(tmp_path)


def test_the_languages_of_covost_are_in_its_file_names(tmp_path: Path) -> None:
    sound(tmp_path / "clips" / "cv_1.wav")
    row = "cv_1.wav\tJa.\tYes.\tc1"
    table = write(tmp_path / "covost_v2.de_en.train.tsv", "path\tsentence\ttranslation\tclient_id", row)
    (utterance,) = read_manifest(table).utterances
    assert utterance.targets == (Target("Ja.", "de"), Target("Yes.", "en"))
    assert utterance.language == "de"


@pytest.fixture
def mustc(tmp_path: Path) -> Path:
    split = tmp_path / "en-de" / "data" / "dev"
    sound(split / "wav" / "ted_1.wav", 3.0)
    write(
        split / "txt" / "dev.yaml",
        "- {duration: 1.5, offset: 0.25, rW: 9, uW: 0, speaker_id: spk.1, wav: ted_1.wav}",
        "- {duration: 1.0, offset: 2.0, rW: 9, speaker_id: 'spk.1', wav: ted_1.wav}",
        "- {duration: oh no",
    )
    write(split / "txt" / "dev.en", "Good day.", "And now?", "x")
    write(split / "txt" / "dev.de", "Guten Tag.", "Und nun?", "x")
    return split


@pytest.mark.parametrize("place", [".", "txt/dev.yaml"])
def test_every_segment_of_mustc_has_a_transcript_and_a_translation(mustc: Path, place: str) -> None:
    manifest = read_manifest(mustc / place)
    first, second = manifest.utterances
    targets = (Target("Good day.", "en"), Target("Guten Tag.", "de"))
    audio = mustc / "wav" / "ted_1.wav"
    assert first == Utterance("ted_1_0", audio, 1.5, targets, "Good day.", "en", "spk.1", 0.25, 1.75)
    assert (second.id, second.start, second.end) == ("ted_1_1", 2.0, 3.0)
    problem = "an entry must have `duration`, `offset` and `wav`"
    assert bad(manifest) == [("txt/dev.yaml line 3", problem)]


@pytest.mark.parametrize(
    "entry",
    [
        "- {duration: 1.5, offset: 0.25, speaker_id: spk.1,\n  wav: ted_1.wav}",
        "# made by a script\n-   duration: 1.5\n    offset: 0.25\n    speaker_id: 'spk.1'\n    wav: ted_1.wav\n",
    ],
)
def test_entries_of_mustc_may_take_several_lines(mustc: Path, entry: str) -> None:
    write(mustc / "txt" / "dev.yaml", entry, entry.replace("0.25", "2.0").removeprefix("# made by a script\n"))
    write(mustc / "txt" / "dev.en", "Good\rday.", "And now?")
    write(mustc / "txt" / "dev.de", "Guten Tag.", "Und nun?")
    first, second = read_manifest(mustc).utterances
    assert (first.start, first.seconds, first.speaker, first.transcript) == (0.25, 1.5, "spk.1", "Good\rday.")
    assert (second.start, second.transcript) == (2.0, "And now?")


def test_mustc_with_a_text_of_another_length_is_refused(mustc: Path) -> None:
    write(mustc / "txt" / "dev.de", "Guten Tag.")
    with pytest.raises(InputError, match="3 entries, but `dev.de` has 1 lines"):
        read_manifest(mustc)


def test_a_folder_of_recordings_beside_their_texts(tmp_path: Path) -> None:
    sound(tmp_path / "b" / "talk.wav")
    write(tmp_path / "b" / "talk.txt", "Good day.", "And now?")
    write(tmp_path / "b" / "talk.de.txt", "Guten Tag.")
    sound(tmp_path / "a.wav")
    manifest = read_manifest(tmp_path, options=ManifestOptions(default_language="en"))
    assert ids(manifest) == ["b/talk.wav"]
    assert manifest.utterances[0].targets == (Target("Good day. And now?", "en"), Target("Guten Tag.", "de"))
    assert bad(manifest) == [("a.wav", "the row must have a text, but every text is empty or has no known column")]


def test_hidden_files_that_a_mac_leaves_beside_each_file_belong_to_no_corpus(tmp_path: Path) -> None:
    sound(tmp_path / "mine" / "a.wav")
    write(tmp_path / "mine" / "a.txt", "Good day.")
    sound(tmp_path / "libri" / "84" / "84-121-0000.flac")
    write(tmp_path / "libri" / "84" / "84-121.trans.txt", "84-121-0000 GO ON")
    for name in ("mine/._a.wav", "mine/._a.txt", "libri/84/._84-121-0000.flac", "libri/84/._84-121.trans.txt"):
        (tmp_path / name).write_bytes(b"\0\x05\x16\x07\0\x02Mac OS X \xff")
    assert (ids(read_manifest(tmp_path / "mine")), bad(read_manifest(tmp_path / "mine"))) == (["a.wav"], [])
    assert ids(read_manifest(tmp_path / "libri")) == ["84-121-0000"]


def test_a_folder_with_a_table_of_metadata_is_that_table(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    write(tmp_path / "metadata.csv", "file_name,transcription", "a.wav,yes")
    assert read_manifest(tmp_path).utterances[0].transcript == "yes"


def test_a_folder_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a corpus, but contains no recordings"):
        read_manifest(tmp_path)


def test_fairseq_tables_name_slices_of_archives_and_of_recordings(tmp_path: Path) -> None:
    member, features = bytes_of(0.5, 0.25), b"\x93NUMPY" + bytes(64)
    with zipfile.ZipFile(tmp_path / "audio.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.flac", member)
        archive.writestr("b.npy", features)
    stored = (tmp_path / "audio.zip").read_bytes()
    sound(tmp_path / "long.wav", 3.0)
    header = "id\taudio\tn_frames\ttgt_text\tspeaker\tsrc_text\tsrc_lang\ttgt_lang"
    rest = "\t9\tJa\ts\tYes\ten\tde"
    table = write(
        tmp_path / "train.tsv",
        header,
        f"a\taudio.zip:{stored.index(member)}:{len(member)}{rest}",
        f"b\tlong.wav:{RATE}:{RATE // 2}{rest}",
        f"c\taudio.zip:{stored.index(features)}:{len(features)}{rest}",
        f"d\tfeatures.npy{rest}",
        f"e\taudio.zip:0:{10**30}{rest}",
        f"f\tlong.wav:0:0{rest}",
    )
    write(tmp_path / "features.npy", "")
    manifest = read_manifest(table)
    first, second = manifest.utterances
    assert first.audio == FileSlice(tmp_path / "audio.zip", stored.index(member), len(member))
    assert (first.seconds, first.targets) == (0.5, (Target("Yes", "en"), Target("Ja", "de")))
    np.testing.assert_allclose(read_waveform(first, RATE), np.full(RATE // 2, 0.25), atol=1e-4)
    assert (second.audio, second.start, second.end, second.seconds) == (tmp_path / "long.wav", 1.0, 1.5, 0.5)
    assert len(read_waveform(second, RATE)) == RATE // 2
    reasons = [reason for _, reason in bad(manifest)]
    assert "contains features (.npy)" in reasons[0]
    assert "must be audio, but" in reasons[1]
    assert "must lie within its archive" in reasons[2]
    assert reasons[3] == "the recording must be longer than 0 samples, but is not"


def test_a_file_whose_name_looks_like_a_slice_is_a_file(tmp_path: Path) -> None:
    sound(tmp_path / "plain.wav").rename(tmp_path / "a.wav:1:2")
    table = write(tmp_path / "m.tsv", "audio\ttext", "a.wav:1:2\tx")
    (utterance,) = read_manifest(table).utterances
    assert (utterance.audio, utterance.start, utterance.seconds) == (tmp_path / "a.wav:1:2", None, 1.0)


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    arrow, tables = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for shard, split in enumerate(["train", "train", "test"]):
        audio = [{"bytes": bytes_of(0.5 + row / 2, 0.1 * (row + 1)), "path": f"{row}.flac"} for row in range(3)]
        audio[2]["bytes"] = None
        columns = {"id": [shard, shard, 7], "audio": audio, "sentence": ["one", "two", "three"], "up_votes": [1, 2, 3]}
        name = f"{split}-{shard % 2:05d}-of-00002.parquet"
        (tmp_path / "data").mkdir(exist_ok=True)
        tables.write_table(arrow.table(columns), tmp_path / "data" / name, row_group_size=2)
    return tmp_path / "data"


def test_hidden_files_beside_parquet_files_are_left_alone(parquet: Path) -> None:
    for file in sorted(parquet.glob("test*")):
        file.unlink()
    (parquet / "._train-00000-of-00002.parquet").write_bytes(b"\0\x05\x16\x07Mac OS X")
    assert len(read_manifest(parquet).utterances) == 4


def test_parquet_files_contain_the_recordings(parquet: Path) -> None:
    manifest = read_manifest(parquet / "train")
    file = parquet / "train-00000-of-00002.parquet"
    assert len(manifest.utterances) == 4
    first, second, *_ = manifest.utterances
    assert (first.audio, first.seconds, first.transcript) == (TableCell(file, 0), 0.5, "one")
    assert (second.id, second.seconds) == (f"{file.name}:1", 1.0)
    np.testing.assert_allclose(read_waveform(second, RATE), np.full(RATE, 0.2), atol=1e-4)
    assert [where for where, _ in bad(manifest)] == [f"{file.name} line 3", "train-00001-of-00002.parquet line 3"]
    assert "`" + str(parquet / "2.flac") + "` cannot be read: No such file" in bad(manifest)[0][1]
    sound(parquet / "2.flac", 1.5)
    assert [u.seconds for u in read_manifest(parquet / "train").utterances] == [0.5, 1.0, 1.5] * 2


def test_parquet_may_name_the_files_of_its_recordings(tmp_path: Path) -> None:
    arrow, tables = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    sound(tmp_path / "a.wav")
    tables.write_table(arrow.table({"file": ["a.wav", "b.wav"], "text": ["x", "y"]}), tmp_path / "t.parquet")
    manifest = read_manifest(tmp_path / "t.parquet")
    assert [(u.audio, u.seconds, u.transcript) for u in manifest.utterances] == [(tmp_path / "a.wav", 1.0, "x")]
    assert [(row.where, row.kind) for row in manifest.bad_rows] == [("t.parquet line 2", "missing-audio")]
    cell = arrow.array([{"bytes": bytes_of(0.5, 0.1)}, {"bytes": None}])
    tables.write_table(arrow.table({"audio": cell, "text": ["x", "y"]}), tmp_path / "b.parquet")
    manifest = read_manifest(tmp_path / "b.parquet")
    assert [u.seconds for u in manifest.utterances] == [0.5]
    assert "must contain the bytes or the path of a recording" in bad(manifest)[0][1]


def test_a_parquet_folder_of_several_splits_must_be_narrowed(parquet: Path) -> None:
    with pytest.raises(InputError, match="must contain one split, but contains test, train"):
        read_manifest(parquet)
    assert len(read_manifest(parquet / "test-00000-of-00002.parquet").utterances) == 2
