"""Defects are put into good manifests one by one, and each is found."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speechcli.cli.app import main
from speechcli.data.check import ERRORS, NOTES, CheckReport, check_manifests
from speechcli.data.listening import listen_to
from speechcli.data.manifest import Manifest, ManifestOptions, Target, Utterance, read_manifest
from speechcli.errors import InputError
from speechcli.pipelines.check import CheckOptions, check
from speechcli.pipelines.speech_options import ModelOptions
from speechcli.text.learn import learn_vocabulary

RATE = 8_000
HEADER = "id\tpath\tseconds\tspeaker\tsrc_lang\tsrc_text\ttext_en"
WORDS = "eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf".split()

Row = dict[str, Any]


def sound(path: Path, pitch: float, seconds: float = 1.0, level: float = 0.3) -> Path:
    time = np.arange(round(seconds * RATE)) / RATE
    soundfile.write(path, level * np.sin(2 * np.pi * pitch * time), RATE)
    return path


def rows_of(folder: Path, name: str, pitch: float) -> list[Row]:
    """Make twelve good recordings."""
    rows = []
    for number, word in enumerate(WORDS):
        sound(folder / f"{name}{number}.wav", pitch + 10 * number)
        text = f"{word} aus {name}"
        row = {"id": f"{name}{number}", "path": f"{name}{number}.wav", "seconds": 1, "speaker": f"{name}-speaker"}
        rows.append(row | {"src_lang": "de", "src_text": text, "text_en": f"{text} too"})
    return rows


def write(path: Path, rows: list[Row]) -> Path:
    lines = [HEADER, *("\t".join(str(cell) for cell in row.values()) for row in rows)]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def splits(tmp_path: Path) -> tuple[list[Row], list[Row]]:
    return rows_of(tmp_path, "train", 200.0), rows_of(tmp_path, "test", 1_000.0)


def checked(folder: Path, train: list[Row], test: list[Row], **options: Any) -> CheckReport:
    ours, theirs = read_manifest(write(folder / "train.tsv", train)), read_manifest(write(folder / "test.tsv", test))
    decoded = listen_to([*ours.utterances, *theirs.utterances], workers=2)
    return check_manifests([ours], against=[theirs], decoded=decoded, **options)


def test_texts_are_checked_against_the_tokenizer_of_a_model_without_its_weights(
    tmp_path: Path, splits: tuple[list[Row], list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = splits
    texts = [row[cell] for row in rows for cell in ("src_text", "text_en")]
    for name, content in learn_vocabulary(texts, 100).items():
        (tmp_path / name).write_bytes(content)
    rows[3]["src_text"] += "?"
    requests = []

    def resolve(name: str, *, weights: bool, **access: Any) -> Path:
        requests.append((name, weights))
        return tmp_path

    monkeypatch.setattr("speechcli.pipelines.load.resolve_model", resolve)
    manifest = write(tmp_path / "train.tsv", rows)
    report = check(CheckOptions((manifest,), model=ModelOptions("owner/name"), listen=False))
    assert requests == [("owner/name", False)]
    assert [(finding.kind, finding.id) for finding in report.findings] == [("unknown-characters", "train3")]


def test_rows_that_all_have_errors_are_refused_with_an_error_and_not_a_note(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", 200.0)
    sound(tmp_path / "b.wav", 300.0)
    for name, content in learn_vocabulary(["one two"], 40, languages=("de", "en")).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "config.json").write_text("{}")
    for name in ("a", "b"):
        (tmp_path / f"{name}.tsv").write_text(f"path\tsrc_lang\ttext\n{name}.wav\tsw\tmoja mbili\n")
    model = ModelOptions(str(tmp_path))
    message = "All 1 rows have errors: the model has no tag for the language `sw`."
    with pytest.raises(InputError, match=re.escape(message)):
        check(CheckOptions((tmp_path / "a.tsv",), against=(tmp_path / "b.tsv",), model=model))


def test_nothing_is_found_in_good_data(tmp_path: Path, splits: tuple[list[Row], list[Row]]) -> None:
    report = checked(tmp_path, *splits)
    assert report.findings == ()
    (summary,) = report.summaries
    assert (summary.rows, summary.utterances, summary.speakers) == (12, 12, 1)
    assert summary.hours == pytest.approx(12 / 3600)
    assert summary.languages == {"de->de": 12, "de->en": 12}
    assert len(report.kept) == 12


VARIED, EQUAL = [30, 33, 36, 39, 42, 45, 48, 51, 54, 57], [40] * 10


@pytest.mark.parametrize(
    ("usual", "length", "found"),
    [
        (VARIED, 160, False),  # 4.9 robust standard deviations
        (VARIED, 170, True),  # 5.1
        (EQUAL, 125, False),  # 2.9 times as fast as the median
        (EQUAL, 140, True),  # 3.2 times
        ([40, 40], 599, False),  # too few texts for a median, and below 60 characters per second
        ([40, 40], 601, True),
    ],
)
def test_a_text_is_compared_with_the_other_texts_of_its_language(usual: list[int], length: int, found: bool) -> None:
    utterances = tuple(
        Utterance(str(number), Path(f"{number}.wav"), 10.0, (Target("x" * characters, "de"),))
        for number, characters in enumerate([*usual, length])
    )
    report = check_manifests([Manifest(Path("train.tsv"), utterances, (), 0)])
    assert [(finding.kind, finding.id) for finding in report.findings] == [("text-length", str(len(usual)))] * found


def cut_short(folder: Path, row: Row) -> None:
    path = folder / row["path"]
    path.write_bytes(path.read_bytes()[:9_000])


def copied(folder: Path, row: Row, other: str) -> None:
    (folder / row["path"]).write_bytes((folder / other).read_bytes())


SEEDS: dict[str, tuple[Callable[[Path, Row], Any], str]] = {
    "bad-row": (lambda _, row: row.update(seconds="soon"), "`seconds` must be a number of seconds, but is 'soon'."),
    "empty-text": (lambda _, row: row.update(src_text="", text_en=" "), "the row must have a text"),
    "missing-audio": (lambda folder, row: (folder / row["path"]).unlink(), "the recording must exist"),
    "unreadable-audio": (cut_short, "ends early"),
    "silent-audio": (lambda folder, row: sound(folder / row["path"], 0.0), "all 1.00 s are silent"),
    "duplicate-row": (
        lambda _, row: row.update(id="train0", path="train0.wav"),
        "line 2 has this recording",
    ),
    "duplicate-audio": (lambda folder, row: copied(folder, row, "train0.wav"), "`train0` ("),
    "duration-mismatch": (lambda _, row: row.update(seconds=1.2), "says 1.20 s, but the recording has 1.00 s"),
    "text-length": (lambda _, row: row.update(text_en="so on " * 18), "107 characters for 1.00 s are unusual"),
    "leak-audio": (lambda folder, row: copied(folder, row, "test3.wav"), "`test3` of the other split"),
    "unknown-language": (lambda _, row: row.update(src_lang="tlh"), "no tag for the language `tlh`"),
    "leak-speaker": (lambda _, row: row.update(speaker="test-speaker"), "the speaker `test-speaker` (1 rows)"),
    "leak-text": (lambda _, row: row.update(src_text="Fünf, aus test!"), "'Fünf, aus test!' is a text of the other"),
    "all-caps": (lambda _, row: row.update(src_text="FÜNF AUS TRAIN"), "'FÜNF AUS TRAIN' is written in capitals"),
    "unknown-characters": (lambda _, row: row.update(src_text="fünf ☃ aus train"), "cannot write '☃'"),
}


def test_every_kind_of_finding_is_tested() -> None:
    assert SEEDS.keys() == ERRORS.keys() | NOTES.keys()


@pytest.mark.parametrize("kind", SEEDS)
def test_a_seeded_defect_is_the_only_thing_that_is_found(
    kind: str, tmp_path: Path, splits: tuple[list[Row], list[Row]]
) -> None:
    seed, message = SEEDS[kind]
    train, test = splits
    seed(tmp_path, train[4])
    report = checked(
        tmp_path,
        train,
        test,
        unknown_language=lambda language: language not in ("de", "en"),
        unknown_characters=lambda text: "".join(char for char in text if char == "☃"),
    )
    assert report.counts() == {kind: 1}
    (finding,) = report.findings
    assert message in finding.message
    assert finding.manifest == tmp_path / "train.tsv"
    assert finding.where == ("" if kind == "leak-speaker" else "line 6")
    left_out = [f"train{i}" for i in range(12) if f"train{i}" not in {utterance.id for utterance in report.kept}]
    assert left_out == (["train4"] if kind in ERRORS else [])


def test_all_seeds_together_are_all_found(tmp_path: Path, splits: tuple[list[Row], list[Row]]) -> None:
    train, test = splits
    kinds = [kind for kind in SEEDS if kind not in ("unknown-language", "unknown-characters", "duplicate-row")]
    for row, kind in zip(train[1:], kinds[1:], strict=False):
        SEEDS[kind][0](tmp_path, row)
    assert checked(tmp_path, train, test).counts().keys() >= set(kinds[1:12])


def test_far_less_text_than_usual_is_found_and_a_short_word_in_a_short_clip_is_not(
    tmp_path: Path, splits: tuple[list[Row], list[Row]]
) -> None:
    train, test = splits
    sound(tmp_path / "train4.wav", 500.0, seconds=4.0)
    train[4] |= {"seconds": 4, "text_en": "hm"}
    train[5] |= {"seconds": 1, "text_en": "oh, no"}
    (finding,) = checked(tmp_path, train, test).findings
    assert (finding.id, finding.message) == ("train4", "2 characters for 4.00 s are unusual in this language.")


def test_one_recording_with_texts_in_two_languages_is_not_a_duplicate(
    tmp_path: Path, splits: tuple[list[Row], list[Row]]
) -> None:
    train, test = splits
    other = {**train[0], "id": "again", "src_text": "", "text_en": "x" * 12}
    train[0]["text_en"] = ""
    assert checked(tmp_path, [*train, other], test).counts() == {}
    other |= {"src_lang": "", "text_en": train[0]["src_text"]}
    assert checked(tmp_path, [*train, other], test).counts() == {"duplicate-audio": 1}


def test_without_listening_only_files_are_compared(tmp_path: Path, splits: tuple[list[Row], list[Row]]) -> None:
    train, test = splits
    again = {**train[0], "id": "again"}
    copied(tmp_path, train[5], "test3.wav")
    report = check_manifests([read_manifest(write(tmp_path / "train.tsv", [*train, again]))])
    assert report.counts() == {"duplicate-audio": 1}


def test_a_file_is_the_same_by_whatever_path_a_manifest_names_it(tmp_path: Path) -> None:
    manifests = []
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "m.tsv"
        path.write_text("path\tseconds\ttext\n../a.wav\t1\tone\n", encoding="utf-8")
        manifests.append(read_manifest(path, options=ManifestOptions(check_audio=False)))
    report = check_manifests(manifests[:1], against=manifests[1:])
    assert report.counts() == {"leak-audio": 1, "leak-text": 1}


def test_a_copy_of_a_row_with_an_error_is_kept(tmp_path: Path, splits: tuple[list[Row], list[Row]]) -> None:
    train, test = splits
    again = {**train[0], "id": "again"}
    report = checked(tmp_path, [{**train[0], "seconds": 1.5}, *train[1:], again], test)
    assert report.counts() == {"duration-mismatch": 1}
    assert "again" in [utterance.id for utterance in report.kept]


@pytest.fixture
def faulty(tmp_path: Path, splits: tuple[list[Row], list[Row]]) -> Path:
    train, test = splits
    train[2]["seconds"] = 3
    train[3]["src_text"] = "VIER AUS TRAIN"
    write(tmp_path / "test.tsv", test)
    return write(tmp_path / "train.tsv", train)


def test_the_command_prints_a_table_and_leaves_a_filtered_manifest(
    faulty: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    filtered = tmp_path / "out" / "filtered.tsv"
    against = ["--against", str(tmp_path / "test.tsv")]
    assert main(["data", "check", str(faulty), *against, "-o", str(filtered), "--progress", "none"]) == 5
    out, err = capfd.readouterr()
    assert err == "error: 1 of 12 rows have errors.\n"
    lines = [line.split() for line in out.splitlines()]
    assert lines[1][1:5] == ["12", "12", "0.00", "1"]
    assert [(line[0], line[1], line[2]) for line in lines[4:]] == [
        ("duration-mismatch", "error", "1"),
        ("all-caps", "note", "1"),
    ]
    kept = read_manifest(filtered)
    assert [utterance.id for utterance in kept.utterances] == [f"train{i}" for i in range(12) if i != 2]
    assert kept.utterances[0].audio == filtered.parent / str(tmp_path / "train0.wav")
    assert main(["data", "check", str(filtered), *against, "-q"]) == 0


def test_the_command_prints_all_findings_as_json(faulty: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(faulty), "--format", "json", "--no-listen", "-q"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["rows"], report["errors"], report["counts"]) == (12, 0, {"all-caps": 1})
    assert report["manifests"][0]["languages"] == {"de->de": 12, "de->en": 12}
    (finding,) = report["findings"]
    assert (finding["kind"], finding["where"], finding["id"]) == ("all-caps", "line 5", "train3")


def test_an_existing_output_is_kept_without_the_flag_and_an_input_always(
    faulty: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = faulty.read_bytes()
    there = faulty.with_name("there.tsv")
    there.write_text("precious")
    command = ["data", "check", str(faulty), "--no-listen", "-q", "-o"]
    assert main([*command, str(there)]) == 2
    assert "already exists" in capfd.readouterr().err and there.read_text() == "precious"
    assert main([*command, str(there), "--overwrite"]) == 0
    assert main([*command, str(faulty), "--overwrite"]) == 2
    assert f"An output must not replace an input, but {faulty} is one." in capfd.readouterr().err
    assert faulty.read_bytes() == before


def test_the_output_ends_as_a_kind_of_manifest(faulty: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(faulty), "-o", "filtered.xml", "--no-listen", "-q"]) == 2
    assert "must end in .tsv, .csv, .jsonl, but is filtered.xml" in capfd.readouterr().err


def test_a_manifest_without_usable_rows_is_an_input_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.tsv").write_text("path\ttext\nnowhere.wav\tx\n")
    assert main(["data", "check", str(tmp_path / "m.tsv")]) == 4
    assert "must have at least one usable row" in capfd.readouterr().err
