import json
from pathlib import Path
from typing import Any

import pytest

from speechcli.data import recordings
from speechcli.data.manifest import BadRow, ManifestOptions, Target, read_manifest
from speechcli.errors import InputError, UsageError

WIDE = "id\tpath\tseconds\tspeaker\tsrc_lang\tsrc_text\ttext_en\ttext_it\n"
WIDE += 'a\ta.flac\t1.5\tAda\ten\tYes "sir.\tYes "sir.\tSì\n'
WIDE += "b\tb.flac\t2\tBea\tit\tNo\tNo!\tNo\n"
WIDE += "c\tc.flac\t2.5\tBea\tit\tForse\t\tForse\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "abcd":
        (tmp_path / f"{name}.flac").write_bytes(b"")
    return tmp_path


def write(folder: Path, text: str, name: str = "m.tsv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def write_lines(folder: Path, *rows: dict[str, Any]) -> Path:
    return write(folder, "".join(json.dumps(row) + "\n" for row in rows), "m.jsonl")


def test_a_wide_manifest_has_the_transcript_and_every_translation(folder: Path) -> None:
    manifest = read_manifest(write(folder, WIDE))
    first, second, third = manifest.utterances
    assert (first.id, first.audio, first.seconds, first.speaker) == ("a", folder / "a.flac", 1.5, "Ada")
    assert (first.language, first.transcript) == ("en", 'Yes "sir.')
    assert first.targets == (Target('Yes "sir.', "en"), Target("Sì", "it"))
    assert second.targets == (Target("No", "it"), Target("No!", "en"))
    assert third.targets == (Target("Forse", "it"),)
    assert (manifest.bad_rows, manifest.left_out, manifest.seconds) == ((), 0, 6.0)


def test_a_recording_whose_name_begins_with_a_tilde_but_names_no_user_is_found(folder: Path) -> None:
    (folder / "~a.flac").write_bytes(b"")
    manifest = read_manifest(write(folder, "audio\tseconds\ttext\n~a.flac\t1\tYes\n"))
    assert manifest.utterances[0].audio == folder / "~a.flac"


@pytest.mark.parametrize(
    ("options", "texts", "left_out"),
    [
        ({"task": "transcribe"}, [['Yes "sir.'], ["No"], ["Forse"]], 0),
        ({"task": "translate"}, [["Sì"], ["No!"]], 1),
        ({"source_languages": ("Italian",)}, [["No", "No!"], ["Forse"]], 1),
        ({"target_languages": ("en_XX",)}, [['Yes "sir.'], ["No!"]], 1),
        ({"task": "translate", "source_languages": ("it",), "target_languages": ("en",)}, [["No!"]], 2),
        ({"task": "translate", "target_languages": ("en",), "need_targets": False}, [[], ["No!"], []], 0),
    ],
)
def test_options_choose_the_texts(options: dict[str, Any], texts: list[list[str]], left_out: int, folder: Path) -> None:
    manifest = read_manifest(write(folder, WIDE), options=ManifestOptions(**options))
    assert [[target.text for target in utterance.targets] for utterance in manifest.utterances] == texts
    assert manifest.left_out == left_out


def test_the_transcript_is_kept_when_only_translations_are_targets(folder: Path) -> None:
    manifest = read_manifest(write(folder, WIDE), options=ManifestOptions(task="translate"))
    assert manifest.utterances[0].transcript == 'Yes "sir.'


def test_columns_that_only_look_wide_are_not(folder: Path) -> None:
    path = write(folder, "path\tseconds\tlang\ttext_normalized\ttext_pt_BR\na.flac\t1\ten\tx\toi\n")
    assert read_manifest(path).utterances[0].targets == (Target("oi", "pt_BR"),)


def test_the_same_text_in_two_columns_of_a_language_is_one_text_and_other_texts_matter_only_if_texts_do(
    folder: Path,
) -> None:
    path = write(folder, "path\tseconds\ttext_en\ttext_eng\na.flac\t1\tone\tone\nb.flac\t1\tone\ttwo\n")
    assert [utterance.targets for utterance in read_manifest(path).utterances] == [(Target("one", "en"),)]
    assert len(read_manifest(path, options=ManifestOptions(need_targets=False)).utterances) == 2


def test_csv_is_quoted_and_its_columns_have_synonyms(folder: Path) -> None:
    path = write(folder, '\ufeffFile,Duration,Sentence,Lang\r\na.flac,1.5,"one, ""two""\nlines",en\r\n', "m.csv")
    (utterance,) = read_manifest(path).utterances
    assert (utterance.id, utterance.seconds) == ("a.flac", 1.5)
    assert utterance.targets == (Target('one, "two"\nlines', "en"),)


def test_a_broken_quote_affects_only_its_line(folder: Path) -> None:
    path = write(folder, 'path,seconds,text\na.flac,1,"x"y\nb.flac,1,good\n', "m.csv")
    manifest = read_manifest(path)
    assert [utterance.id for utterance in manifest.utterances] == ["b.flac"]
    assert manifest.bad_rows[0].where == "line 2"
    assert "closed quotes" in manifest.bad_rows[0].reason


def test_an_unclosed_quote_affects_all_lines_in_it(folder: Path) -> None:
    path = write(folder, 'path,seconds,text\na.flac,1,good\nb.flac,1,"open\nc.flac,1,x\nd.flac,1,y\n', "m.csv")
    assert [row.where for row in read_manifest(path).bad_rows] == ["line 3", "line 4", "line 5"]


def test_a_text_may_be_longer_than_csv_allows_and_hold_a_carriage_return(folder: Path) -> None:
    text = "long " * 40_000
    path = write(folder, f"path\tseconds\ttext\r\na.flac\t1\t{text}\r\nb.flac\t1\tone\rtwo\r\n")
    assert [u.targets[0].text for u in read_manifest(path).utterances] == [text.strip(), "one\rtwo"]


def test_a_table_of_an_old_macintosh_ends_its_lines_with_carriage_returns(folder: Path) -> None:
    path = write(folder, "path\tseconds\ttext\ra.flac\t1\tx\rb.flac\t1\ty\r")
    assert [utterance.id for utterance in read_manifest(path).utterances] == ["a.flac", "b.flac"]


def test_a_name_that_is_too_long_for_a_file_is_a_missing_recording(folder: Path) -> None:
    path = write(folder, f"path\tseconds\ttext\n{'a' * 5000}.flac\t1\tx\nb.flac\t1\ty\n")
    (bad,) = read_manifest(path).bad_rows
    assert (bad.where, bad.kind) == ("line 2", "missing-audio")


def test_nemo_lines_are_read_with_offset_and_languages(folder: Path) -> None:
    path = write_lines(
        folder,
        {"audio_filepath": "a.flac", "duration": 2.0, "offset": 1.5, "text": "Hallo", "lang": "de"},
        {"audio_filepath": str(folder / "b.flac"), "duration": 3, "text": "Hi", "source_lang": None, "lang": "en"},
    )
    first, second = read_manifest(path).utterances
    assert (first.id, first.start, first.end, first.seconds) == ("a.flac@1.5-3.5", 1.5, 3.5, 2.0)
    assert first.targets == (Target("Hallo", "de"),)
    assert (second.audio, second.start, second.seconds) == (folder / "b.flac", None, 3.0)


def test_parts_that_begin_at_the_same_time_have_different_ids(folder: Path) -> None:
    path = write(folder, "audio\tstart\tend\ttext\na.flac\t0\t1\tone\na.flac\t0\t2\tone two\na.flac\t\t3\tall\n")
    manifest = read_manifest(path)
    assert [utterance.id for utterance in manifest.utterances] == ["a.flac@0.0-1.0", "a.flac@0.0-2.0", "a.flac@0.0-3.0"]
    assert manifest.bad_rows == ()


def test_lines_of_several_makers_name_the_same_column_differently(folder: Path) -> None:
    path = write_lines(
        folder,
        {"audio": "a.flac", "seconds": 1, "text": "Ja", "src_lang": "de"},
        {"audio_filepath": "b.flac", "audio": None, "duration": 2, "text": "Yes", "lang": "en"},
    )
    manifest = read_manifest(path)
    assert [(each.id, each.seconds, each.language) for each in manifest.utterances] == [
        ("a.flac", 1.0, "de"),
        ("b.flac", 2.0, "en"),
    ]
    assert manifest.bad_rows == ()


def test_an_unknown_target_language_is_refused_unless_the_manifest_has_it(folder: Path) -> None:
    path = write_lines(folder, {"audio": "a.flac", "seconds": 1, "text": "nuqneH", "lang": "tlh"})
    with pytest.raises(UsageError, match="must be one that is known, but is `klingon`"):
        read_manifest(path, options=ManifestOptions(target_languages=("klingon",)))
    with pytest.raises(InputError, match="1 are excluded"):
        read_manifest(path, options=ManifestOptions(target_languages=("de",)))
    assert len(read_manifest(path, options=ManifestOptions(target_languages=("tlh",))).utterances) == 1


def test_a_text_in_another_language_than_the_speech_is_a_translation(folder: Path) -> None:
    row = {"audio": "a.flac", "seconds": 1, "source_lang": "de", "text": "yes"}
    path = write_lines(folder, row | {"target_lang": "en"}, row | {"audio": "b.flac", "target_lang": "de-DE"})
    first, second = read_manifest(path).utterances
    assert (first.transcript, first.targets) == (None, (Target("yes", "en"),))
    assert (second.transcript, second.targets) == ("yes", (Target("yes", "de"),))


def test_covost_columns_give_both_texts_the_spoken_one_in_the_default_language(folder: Path) -> None:
    path = write(folder, "path\tseconds\tsentence\ttranslation\na.flac\t1\tJa\tYes\n")
    options = ManifestOptions(default_language="de")
    assert read_manifest(path, options=options).utterances[0].targets == (Target("Ja", "de"), Target("Yes", None))


def test_rows_of_one_recording_in_several_languages_are_joined(folder: Path) -> None:
    row = {"audio": "a.flac", "seconds": 1, "source_lang": "de"}
    path = write_lines(
        folder,
        row | {"text": "yes", "target_lang": "en"},
        row | {"text": "ja", "target_lang": "de"},
        row | {"text": "yes", "target_lang": "en"},
    )
    manifest = read_manifest(path)
    (utterance,) = manifest.utterances
    assert utterance.targets == (Target("yes", "en"), Target("ja", "de"))
    assert utterance.transcript == "ja"
    assert manifest.bad_rows[0].where == "line 3"
    assert "line 1 has this recording in the same language" in manifest.bad_rows[0].reason


def test_missing_seconds_are_read_from_the_recording(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def audio_seconds(path: Path) -> float:
        asked.append(path.name)
        if path.name == "c.flac":
            raise InputError("`c.flac` is no sound.")
        return 4.25

    monkeypatch.setattr(recordings, "audio_seconds", audio_seconds)
    manifest = read_manifest(write(folder, "path\tseconds\ttext\na.flac\t\tx\nb.flac\t2\tx\nc.flac\t\tx\n"))
    assert [utterance.seconds for utterance in manifest.utterances] == [4.25, 2.0]
    assert asked == ["a.flac", "c.flac"]
    (bad,) = manifest.bad_rows
    told = "the length of the recording must be readable, but: `c.flac` is no sound"
    assert bad == BadRow("line 4", told, "unreadable-audio")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"path": None}, "`path` must name a recording, but is empty"),
        ({"path": "nowhere.flac"}, "the recording must exist, but"),
        ({"text": " "}, "the row must have a text, but every text is empty"),
        ({"seconds": "long"}, "`seconds` must be a number of seconds, but is 'long'"),
        ({"seconds": "nan"}, "`seconds` must be a number of seconds, but is 'nan'"),
        ({"seconds": -1}, "`seconds` must be a number of seconds, but is '-1'"),
        ({"seconds": 0}, "the recording must be longer than 0 s, but has 0 s"),
        ({"start": 2, "end": 1}, "`end` must be after the start (2 s), but is 1"),
        ({"id": "first", "path": "b.flac"}, "`id` must be unique to a recording, but 'first' is another one in line 1"),
        ({"text_en": "one", "text_eng": "two"}, "the row must have one text per language, but `text_en`"),
    ],
)
def test_every_bad_row_is_reported_with_its_line_and_the_rest_is_read(
    row: dict[str, Any], reason: str, folder: Path
) -> None:
    good = {"path": "a.flac", "seconds": 1, "text": "x"}
    path = write_lines(folder, good | {"id": "first"}, good | {"path": "c.flac"} | row, good | {"path": "d.flac"})
    manifest = read_manifest(path)
    assert [utterance.id for utterance in manifest.utterances] == ["first", "d.flac"]
    (bad,) = manifest.bad_rows
    assert bad.where == "line 2"
    assert bad.reason.startswith(reason)


def test_lines_that_are_no_rows_are_bad(folder: Path) -> None:
    good = '{"path": "a.flac", "seconds": 1, "text": "x"}\n'
    manifest = read_manifest(write(folder, good + "{\n\n[1]\n", "m.jsonl"))
    assert [(row.where, row.reason[:40]) for row in manifest.bad_rows] == [
        ("line 2", "the line must be a json object, but: Exp"),
        ("line 4", "the line must be a json object, but is a"),
    ]
    nested = '{"path": "b.flac", "seconds": 1, "text": ["x"]}\n{"path": "b.flac", "seconds": 1, "text_en": {"x": 1}}\n'
    manifest = read_manifest(write(folder, good.replace("}", ', "tags": ["kept out"]}') + nested, "m.jsonl"))
    assert [(row.where, row.reason) for row in manifest.bad_rows] == [
        ("line 2", "`text` must be text or a number, but is a list"),
        ("line 3", "`text_en` must be text or a number, but is a dict"),
    ]
    manifest = read_manifest(write(folder, "path\tseconds\ttext\na.flac\t1\tx\n\nb.flac\t1\tx\ty\n"))
    (bad,) = manifest.bad_rows
    assert (bad.where, bad.reason) == ("line 4", "the line must have 3 cells, but has 4")


def test_json_without_one_object_per_line_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="must have a JSON object in each line; line 1: .* is a list"):
        read_manifest(write(folder, '[{"path": "a.flac", "text": "x"}]', "m.json"))


def test_files_need_not_exist_when_they_are_not_checked(tmp_path: Path) -> None:
    path = write(tmp_path, "path\tseconds\ttext\nnowhere.flac\t1\tx\n")
    assert len(read_manifest(path, options=ManifestOptions(check_audio=False)).utterances) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have at least one row"),
        ("path\ttext\n", "must have at least one row"),
        ("speech\ttext\na.flac\tx\n", "must have a column of recordings .* but has speech, text"),
        ("path\ttext\ttext\na.flac\tx\ty\n", "must have each column once, but has `text` twice"),
        (
            "path\tseconds\ttext\na.flac\t1\t\n",
            "at least one usable row, but 1 are bad and 0 are excluded; line 2: the",
        ),
    ],
)
def test_a_manifest_without_a_usable_row_or_with_a_column_twice_is_refused(
    text: str, message: str, folder: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read_manifest(write(folder, text))


def test_the_error_for_a_manifest_of_excluded_rows_lists_its_columns(folder: Path) -> None:
    with pytest.raises(InputError, match="0 are bad and 3 are excluded") as caught:
        read_manifest(write(folder, WIDE), options=ManifestOptions(source_languages=("fr",)))
    assert caught.value.hint is not None
    assert "audio=path" in caught.value.hint
    assert "text(it)=text_it" in caught.value.hint


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_file_of_any_spreadsheet_is_read(encoding: str, delimiter: str, folder: Path) -> None:
    cells = [("audio", "text", "seconds"), ("a.flac", '"one, two; three\tfour"', "1.5")]
    path = folder / "export.csv"
    path.write_bytes("\r\n".join(map(delimiter.join, cells)).encode(encoding))
    (utterance,) = read_manifest(path).utterances
    assert (utterance.transcript, utterance.seconds) == ("one, two; three\tfour", 1.5)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="must be UTF-8, but"):
        read_manifest(tmp_path / "m.tsv")
    with pytest.raises(InputError, match=r"nowhere.tsv` cannot be read: No such file or directory\.$"):
        read_manifest(tmp_path / "nowhere.tsv")


def test_a_task_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="`task` must be one of transcribe, translate, both, but is 'sing'"):
        ManifestOptions(task="sing")  # type: ignore[arg-type]


def test_texts_alone_need_no_recording_nor_its_times(tmp_path: Path) -> None:
    path = tmp_path / "texts.tsv"
    path.write_text("src_lang\tsrc_text\ttext_fr\nen\tyes\toui\nen\tno\t\n")
    read = read_manifest(path, options=ManifestOptions(texts_only=True)).utterances
    assert [(each.transcript, [target.text for target in each.targets]) for each in read] == [
        ("yes", ["yes", "oui"]),
        ("no", ["no"]),
    ]
    path.write_text("audio\tstart\tsrc_lang\tsrc_text\na.wav\t0\ten\tyes\na.wav\t2\ten\tno\n\t\ten\tmaybe\n")
    read = read_manifest(path, options=ManifestOptions(texts_only=True)).utterances
    assert [(each.transcript, each.seconds) for each in read] == [("yes", 0.0), ("no", 0.0), ("maybe", 0.0)]
