import json
import os
from pathlib import Path, PurePath

import pytest

from speechcli.audio.url import Url
from speechcli.errors import OutputError
from speechcli.pipelines.files.inputs import Source
from speechcli.pipelines.files.journal import WHOLE, FailureList, Journal
from speechcli.pipelines.files.outputs import Output
from speechcli.pipelines.outcome import Failure
from speechcli.pipelines.speech_options import Shard


@pytest.fixture
def job(tmp_path):
    recording = tmp_path / "x.wav"
    recording.write_bytes(b"sound")
    folder = tmp_path / "out"
    folder.mkdir()
    return Source(recording, "x.wav", PurePath("x.wav")), (Output(folder / "x.txt", 0, "txt"),), folder


def journal(folder, model="m", shard=WHOLE, **options):
    return Journal(folder, model={"name": model}, options=options, shard=shard)


def test_a_written_output_is_done_for_the_same_model_and_options(job):
    source, files, folder = job
    first = journal(folder, beam=1)
    assert not first.done(source, files)
    first.add(source, files, done=False)
    files[0].path.write_text("text")
    first.add(source, files, done=True)
    assert journal(folder, beam=1).done(source, files)
    assert not journal(folder, beam=2).done(source, files)
    assert not journal(folder, model="other", beam=1).done(source, files)
    assert not journal(folder, beam=2).started(source, files[0]) and journal(folder, beam=2).knows(files[0])


def test_an_option_with_several_values_is_the_same_when_it_is_read_again(job):
    source, files, folder = job
    files[0].path.write_text("text")
    journal(folder, generation_set=("num_beams=2",)).add(source, files, done=True)
    assert journal(folder, generation_set=("num_beams=2",)).done(source, files)
    assert not journal(folder, generation_set=("num_beams=3",)).done(source, files)


@pytest.mark.parametrize(("age", "done"), [(10, True), (-10, False)])
def test_of_journals_of_several_shards_the_newest_counts(job, age, done):
    source, files, folder = job
    files[0].path.write_text("text")
    journal(folder, shard=Shard(1, 2), beam=1).add(source, files, done=True)
    journal(folder, shard=Shard(2, 2), beam=2).add(source, files, done=True)
    now = (folder / "speechcli.2-of-2.jsonl").stat().st_mtime
    os.utime(folder / "speechcli.1-of-2.jsonl", (now - age, now - age))
    assert journal(folder, beam=2).done(source, files) is done
    assert journal(folder, beam=1).done(source, files) is not done


def test_a_changed_recording_or_a_lost_output_is_not_done(job):
    source, files, folder = job
    files[0].path.write_text("text")
    journal(folder).add(source, files, done=True)
    files[0].path.unlink()
    assert not journal(folder).done(source, files)
    files[0].path.write_text("text")
    os.utime(source.path, (1, 1))
    assert not journal(folder).done(source, files)


def test_a_recording_that_changes_during_the_job_is_not_done(job):
    source, files, folder = job
    running = journal(folder)
    assert not running.done(source, files)
    source.path.write_bytes(b"more sound")
    files[0].path.write_text("text")
    running.add(source, files, done=True)
    assert not journal(folder).done(source, files)


def test_a_recording_whose_language_is_corrected_is_not_done(job):
    source, files, folder = job
    files[0].path.write_text("text")
    journal(folder).add(source, files, done=True)
    assert journal(folder).done(source, files) and not journal(folder).done(source._replace(language="de"), files)


def test_an_output_left_by_a_crash_belongs_to_the_job_but_is_not_done(job):
    source, files, folder = job
    journal(folder).add(source, files, done=False)
    files[0].path.write_text("text")
    again = journal(folder)
    assert again.started(source, files[0]) and not again.done(source, files)


def test_a_line_cut_short_is_skipped_and_the_next_is_whole(job):
    source, files, folder = job
    (folder / "speechcli.jsonl").write_bytes(b'{"path": "/cut')
    files[0].path.write_text("text")
    journal(folder).add(source, files, done=True)
    assert journal(folder).done(source, files)
    lines = (folder / "speechcli.jsonl").read_bytes().splitlines()
    assert len(lines) == 2 and json.loads(lines[1])["outputs"] == ["x.txt"]


def test_lines_of_other_programs_are_ignored(job):
    source, files, folder = job
    (folder / "speechcli.jsonl").write_bytes(b'[]\n{"outputs": 3}\n{"outputs": [{}, []]}\nnull\n\xff\n')
    assert not journal(folder).done(source, files)


def test_standard_input_is_never_done(job):
    _, files, folder = job
    source = Source(None, "-", PurePath("stdin"))
    files[0].path.write_text("text")
    journal(folder).add(source, files, done=True)
    assert not journal(folder).done(source, files)


def test_failures_replace_those_of_an_earlier_run_and_the_file_is_removed_without_any(tmp_path):
    path = tmp_path / "failures.jsonl"
    path.write_text("old\n")
    failures = FailureList(tmp_path)
    failures.add(Failure("a.wav", "broken", "try"))
    failures.add(Failure("b.wav", "broken"))
    failures.finish()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"path": "a.wav", "error": "broken", "hint": "try"},
        {"path": "b.wav", "error": "broken", "hint": None},
    ]
    FailureList(tmp_path).finish()
    assert not path.exists()


def test_a_journal_that_cannot_be_read_is_an_output_error(tmp_path):
    (tmp_path / "speechcli.jsonl").mkdir()
    with pytest.raises(OutputError):
        journal(Path(tmp_path))


def test_a_web_address_is_the_same_recording_each_time(job):
    _, files, folder = job
    source = Source(Url("https://me:secret@example.org/x.wav"), "https://example.org/x.wav", PurePath("x.wav"))
    files[0].path.write_text("text")
    journal(folder).add(source, files, done=True)
    assert journal(folder).done(source, files)
    assert b"secret" not in (folder / "speechcli.jsonl").read_bytes()
