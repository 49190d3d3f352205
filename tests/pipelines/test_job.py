import errno
import json
import os
import signal

import pytest

from speechcli.audio.url import Url
from speechcli.errors import (
    AllInputsFailed,
    InputError,
    OutOfMemory,
    OutputError,
    SomeInputsFailed,
    Stopped,
    UsageError,
)
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.files.journal import journal_path
from speechcli.pipelines.files.lock import locked
from speechcli.pipelines.job import run_job
from speechcli.pipelines.outcome import Failure, JobReport, Loaded, Outcome, Warned
from speechcli.pipelines.speech_options import (
    InputOptions,
    ModelOptions,
    OutputOptions,
    Shard,
    TranscribeOptions,
    TranslateOptions,
)
from speechcli.transcript import Segment, Transcript

from .tiny_model import save_model, write_tone


class Ears:
    """Returns the content of files in reverse order; files with "bad" in their content fail."""

    def __init__(self):
        self.heard = []
        self.opened = 0
        self.break_at = self.signal_at = None
        self.signals = 1

    def open(self, options, report):
        self.opened += 1
        self.targets = options.targets or ("",)
        return self

    def listen(self, sources, stop=lambda: False, unfinished=None):
        for index in reversed(range(len(sources))):
            name = sources[index].name
            path = sources[index].path
            text = "spoken" if path is None else "fetched" if isinstance(path, Url) else path.read_text()
            if stop():
                return
            if text == self.break_at:
                raise KeyboardInterrupt
            if text == self.signal_at:
                for _ in range(self.signals):
                    signal.raise_signal(signal.SIGINT)
            self.heard.append(name)
            if "bad" in text:
                yield Outcome(index, (), Failure(name, "It is bad.", None, 7 if "big" in text else 4))
                continue
            texts = [f"{text} {target}".strip() for target in self.targets]
            yield Outcome(
                index, tuple(Transcript(name, each, duration=2.0, segments=(Segment(0, 0, 2, each),)) for each in texts)
            )


@pytest.fixture(autouse=True)
def _python_handles_interrupts():
    """SIGINT is ignored in processes that a shell starts in the background, and Python leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def ears():
    return Ears()


@pytest.fixture
def work(tmp_path, monkeypatch, ears):
    monkeypatch.chdir(tmp_path)
    for name, text in {"in/a.wav": "one", "in/b/b.wav": "two", "in/c.wav": "three"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def run(*inputs, kind=TranscribeOptions, targets=None, out=None, formats=("txt",), events=None, **others):
        more = {name: others.pop(name) for name in ("model", "decoding") if name in others}
        more |= {} if targets is None else {"targets": targets}
        written = []
        report = run_job(
            kind(inputs=InputOptions(inputs=inputs), **more),
            OutputOptions(None if out is None else tmp_path / out, formats, **others),
            sink=written.append,
            report=(lambda event: None) if events is None else events.append,
            open_model=ears.open,
        )
        return report, b"".join(written).decode()

    return run


def tree(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_one_recording_is_one_line_of_text(work):
    assert work("in/a.wav")[1] == "one\n"


def test_a_web_address_with_a_password_is_one_recording(work):
    assert work("https://me:secret@example.org/a.mp3", formats=("tsv",))[1] == "start\tend\ttext\n0\t2000\tfetched\n"


def test_standard_input_is_one_recording(work):
    assert work("-")[1] == "spoken\n"


def test_several_recordings_have_their_path_before_the_text_in_input_order(work):
    expected = "in/a.wav\tone\nin/b/b.wav\ttwo\nin/c.wav\tthree\n"
    assert work("in")[1] == expected
    assert work("in/a.wav", "in/b/b.wav", "in/c.wav")[1] == expected
    assert work("in/b")[1] == "in/b/b.wav\ttwo\n"  # a folder may contain more tomorrow


def test_results_name_the_language_if_there_are_several(work):
    translate = {"kind": TranslateOptions}
    assert work("in/a.wav", **translate, targets=("es",))[1] == "one es\n"
    assert work("in/a.wav", **translate, targets=("es", "de"))[1] == "es\tone es\nde\tone de\n"
    assert work("in/a.wav", "in/c.wav", **translate, targets=("es", "de"))[1].splitlines()[3] == (
        "in/c.wav\tde\tthree de"
    )


def test_json_is_an_object_for_one_and_an_array_for_several(work):
    assert json.loads(work("in/a.wav", formats=("json",))[1])["text"] == "one"
    several = json.loads(work("in", formats=("json",))[1])
    assert [each["text"] for each in several] == ["one", "two", "three"]
    lines = work("in", formats=("jsonl",))[1].splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["one", "two", "three"]


def test_an_array_without_any_result_is_still_json(work, tmp_path):
    (tmp_path / "in" / "a.wav").write_text("bad")
    assert json.loads(work("in/a.wav", "in/gone.wav", formats=("json",))[1]) == []


def test_subtitles_of_several_recordings_need_a_folder(work, ears):
    assert work("in/a.wav", formats=("srt",))[1].startswith("1\n00:00:00,000 --> 00:00:02,000\none")
    with pytest.raises(UsageError, match="srt"):
        work("in", formats=("srt",))
    assert ears.opened == 1


def test_folder_job_mirrors_the_tree(work, tmp_path):
    report, text = work("in", out="out", formats=("txt", "tsv"))
    assert text == "" and report == JobReport(done=3, audio_seconds=6.0)
    files = tree(tmp_path / "out")
    assert set(files) == {"speechcli.jsonl", "a.txt", "a.tsv", "b/b.txt", "b/b.tsv", "c.txt", "c.tsv"}
    assert files["b/b.txt"] == "two\n"


def test_second_run_does_nothing_and_does_not_load_the_model(work, ears):
    work("in", out="out")
    report, _ = work("in", out="out")
    assert (report.done, report.skipped, ears.opened) == (0, 3, 1)


def test_second_run_after_an_interruption_does_the_rest(work, ears, tmp_path):
    ears.break_at = "one"
    with pytest.raises(KeyboardInterrupt):
        work("in", out="out")
    assert not list((tmp_path / "out").rglob("*.partial"))
    ears.break_at, ears.heard = None, []
    report, _ = work("in", out="out")
    assert (report.done, report.skipped, ears.heard) == (1, 2, ["in/a.wav"])


def test_a_signal_lets_the_batch_finish_and_leaves_the_rest_to_another_run(work, ears):
    ears.signal_at = "two"
    events = []
    report, _ = work("in", out="out", events=events)
    assert events == [Warned("Stopping after this batch; a second signal stops at once.")]
    assert (report.done, report.left, ears.heard) == (2, 1, ["in/c.wav", "in/b/b.wav"])
    with pytest.raises(Stopped, match="with 1 of its inputs left") as caught:
        report.check()
    assert caught.value.exit_code == 75
    report, _ = work("in", out="out")
    assert (report.done, report.skipped, report.left, ears.heard[2:]) == (1, 2, 0, ["in/a.wav"])


def test_a_signal_in_the_last_batch_is_too_late_and_a_second_one_stops_at_once(work, ears):
    ears.signal_at = "one"
    report, _ = work("in", out="out")
    assert (report.done, report.left) == (3, 0)
    ears.signals = 2
    with pytest.raises(KeyboardInterrupt):
        work("in", out="again")


def test_nothing_can_be_resumed_on_standard_output_so_a_signal_stops_at_once(work, ears):
    ears.signal_at = "three"
    with pytest.raises(KeyboardInterrupt):
        work("in")


def test_failures_that_were_not_tried_again_stay_listed_after_a_signal(work, ears, tmp_path):
    (tmp_path / "in" / "a.wav").write_text("bad")
    work("in", out="out")
    (tmp_path / "in" / "d.wav").write_text("four")
    ears.signal_at = "four"
    assert work("in", out="out")[0].left == 1
    assert "a.wav" in (tmp_path / "out" / "failures.jsonl").read_text()


def test_shards_divide_the_work_and_their_outputs_are_one_tree(work, ears, tmp_path):
    whole, _ = work("in", "gone.wav", out="whole")
    reports = [work("in", "gone.wav", out="out", shard=Shard(i, 2))[0] for i in (1, 2)]
    assert [(report.done, len(report.failures)) for report in reports] == [(2, 1), (1, 0)]
    files = tree(tmp_path / "out")
    for i in (1, 2):
        assert files.pop(f"speechcli.{i}-of-2.jsonl")
    assert files.pop("failures.1-of-2.jsonl")
    assert files == {name: text for name, text in tree(tmp_path / "whole").items() if name.endswith(".txt")}
    ears.heard = []
    for shard in (Shard(1, 1), Shard(2, 3)):
        assert work("in", out="out", shard=shard)[0].done == 0
    assert ears.heard == []


def test_shards_call_outputs_the_same_although_only_one_has_the_collision(work, tmp_path):
    (tmp_path / "in" / "a.mp3").write_text("other")
    for i in (1, 2, 3, 4):
        work("in", out="out", shard=Shard(i, 4))
    assert {"a.mp3.txt", "a.wav.txt"} < set(tree(tmp_path / "out"))


def test_a_second_process_on_the_same_folder_is_refused(work, tmp_path):
    (tmp_path / "out").mkdir()
    with locked(journal_path(tmp_path / "out", Shard(1, 1))):
        with pytest.raises(OutputError, match="by one job at a time, but another job is running"):
            work("in", out="out")
        assert work("in", out="out", shard=Shard(1, 2))[0].done == 2
    assert os.path.exists(tmp_path / "out" / "speechcli.1-of-2.jsonl")
    assert not os.path.exists(tmp_path / "out" / "speechcli.jsonl")
    assert work("in", out="out")[0].done == 1


def test_a_full_disk_ends_the_job_and_keeps_finished_outputs(work, monkeypatch, tmp_path):
    calls = []

    def full_at_the_third(descriptor):
        calls.append(descriptor)
        if len(calls) > 4:  # two lines of the journal and an output, then a line of the journal
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_at_the_third)
    with pytest.raises(OutputError, match="No space left") as caught:
        work("in", out="out")
    assert caught.value.exit_code == 8
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert (tmp_path / "out" / "c.txt").read_text() == "three\n"
    assert not list((tmp_path / "out").rglob("*.partial"))
    report, _ = work("in", out="out")
    assert (report.done, report.skipped) == (2, 1)


def test_output_that_a_crash_left_unjournaled_is_made_again(work, tmp_path):
    work("in", out="out")
    path = tmp_path / "out" / "speechcli.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    report, _ = work("in", out="out")
    assert (report.done, report.skipped) == (1, 2)


def test_a_further_format_is_added_by_a_second_run(work, tmp_path):
    work("in", out="out")
    assert work("in", out="out", formats=("txt", "json"))[0].done == 3
    assert work("in", out="out", formats=("txt", "json"))[0].skipped == 3


def test_outputs_of_other_options_are_replaced_only_with_overwrite(work, ears):
    work("in", out="out", kind=TranslateOptions, targets=("es",))
    with pytest.raises(UsageError, match="already exist"):
        work("in", out="out", kind=TranslateOptions, targets=("de",))
    assert ears.opened == 1
    report, _ = work("in", out="out", kind=TranslateOptions, targets=("de",), overwrite=True)
    assert report.done == 3
    assert work("in", out="out", kind=TranslateOptions, targets=("de",))[0].skipped == 3


def test_a_changed_model_language_model_or_list_of_hotwords_makes_everything_again(work, tmp_path, ears):
    inside = tmp_path / "m" / "language_model"
    inside.mkdir(parents=True)
    (tmp_path / "lm").mkdir()
    files = [tmp_path / "m" / "config.json", inside / "model.safetensors", tmp_path / "lm" / "w", tmp_path / "words"]
    for file in files:
        file.write_text("{}")
    used = {"model": ModelOptions("m"), "decoding": DecodingOptions(lm="lm", hotwords="words")}
    assert work("in", out="out", **used)[0].done == 3
    for seconds, file in enumerate(files, start=1):
        assert work("in", out="out", **used)[0].skipped == 3
        newest = max(each.stat().st_mtime_ns for each in files)
        os.utime(file, ns=(newest + seconds, newest + seconds))
        assert work("in", out="out", overwrite=True, **used)[0].done == 3


@pytest.mark.parametrize("name", ["~nobody-of-this-name/model", "long" * 100])
def test_a_model_that_is_no_possible_folder_is_a_matter_for_its_loader(work, name):
    assert work("in/a.wav", out="out", model=ModelOptions(name))[0].done == 1


def test_files_that_no_earlier_run_wrote_are_kept(work, tmp_path, ears):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_text("precious")
    for resume in (True, False):
        with pytest.raises(UsageError, match="a.txt already exists"):
            work("in", out="out", resume=resume)
    assert (tmp_path / "out" / "a.txt").read_text() == "precious" and ears.opened == 0


@pytest.mark.parametrize("named", ["@in/list.txt", "in/notes.txt"])
def test_an_input_is_never_replaced_even_with_overwrite(work, tmp_path, ears, named):
    path = tmp_path / named.removeprefix("@")
    path.write_text("in/list.wav\n")
    (path.parent / f"{path.stem}.wav").write_text("five")
    with pytest.raises(UsageError, match=f"An output must not replace an input, but .*{path.name} is one"):
        work(named, str(path.with_suffix(".wav")), out="in", overwrite=True)
    assert path.read_text() == "in/list.wav\n" and ears.opened == 0


def test_outputs_may_stand_beside_the_recordings_and_be_made_again(work, tmp_path):
    for more in ({}, {"resume": False}, {"overwrite": True, "formats": ("txt", "json")}):
        report, _ = work("in", out="in", **more)
        assert (report.done, (tmp_path / "in" / "a.txt").read_text()) == (3, "one\n")


def test_no_resume_does_everything_again(work, ears):
    work("in", out="out")
    assert work("in", out="out", resume=False)[0].done == 3


def test_a_bad_file_is_reported_listed_and_retried(work, tmp_path):
    (tmp_path / "in" / "c.wav").write_text("bad")
    events = []
    report, _ = work("in", out="out", events=events)
    assert [event.path for event in events] == ["in/c.wav"]
    assert json.loads((tmp_path / "out" / "failures.jsonl").read_text())["path"] == "in/c.wav"
    with pytest.raises(SomeInputsFailed, match="1 of 3 inputs failed"):
        report.check()
    (tmp_path / "in" / "c.wav").write_text("good")
    report, _ = work("in", out="out")
    assert (report.done, report.skipped, report.failures) == (1, 2, [])
    assert not (tmp_path / "out" / "failures.jsonl").exists()


def test_missing_inputs_are_failures_of_the_job(work):
    events = []
    report, text = work("in/a.wav", "gone.wav", events=events)
    assert text == "in/a.wav\tone\n" and [event.path for event in events] == ["gone.wav"]
    with pytest.raises(SomeInputsFailed):
        report.check()


def test_all_bad_is_another_error_and_memory_a_third(work, tmp_path):
    (tmp_path / "in" / "a.wav").write_text("bad")
    with pytest.raises(AllInputsFailed):
        work("in/a.wav")[0].check()
    (tmp_path / "in" / "a.wav").write_text("bad and big")
    with pytest.raises(OutOfMemory, match="1 of 3"):
        work("in")[0].check()


def test_collision_is_found_before_the_model_loads(work, ears, tmp_path):
    (tmp_path / "in" / "b" / "a.wav").write_text("other")
    with pytest.raises(UsageError, match="both be written"):
        work("in/a.wav", "in/b/a.wav", out="out")
    with pytest.raises(InputError):
        work("nowhere", out="out")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        work("in", out="file")
    assert ears.opened == 0 and not (tmp_path / "out").exists()


def test_a_manifest_cannot_name_a_recording_on_the_web(work, ears):
    with pytest.raises(UsageError, match=r"file names, but https://example.org/a.mp3 has none"):
        work("in", "https://example.org/a.mp3", formats=("manifest",))
    assert ears.opened == 0


def test_a_manifest_has_a_line_for_each_segment_and_standard_input_none(work, tmp_path):
    report, written = work("in", formats=("manifest",))
    rows = [json.loads(line) for line in written.splitlines()]
    assert [(row["audio"], row["text"], row["end"]) for row in rows] == [
        (str(tmp_path / "in/a.wav"), "one", 2.0),
        (str(tmp_path / "in/b/b.wav"), "two", 2.0),
        (str(tmp_path / "in/c.wav"), "three", 2.0),
    ]
    with pytest.raises(UsageError, match="standard input has none"):
        work("-", formats=("manifest",))


def test_a_model_transcribes_and_translates_real_recordings_in_order(tmp_path):
    model = ModelOptions(str(save_model(tmp_path / "tiny")), device="cpu")
    names = [str(write_tone(tmp_path / f"{i}.wav", 0.3 + 0.1 * i)) for i in range(3)]
    written, events = [], []
    for options in (
        TranscribeOptions(model=model, inputs=InputOptions(inputs=("gone.wav", *names))),
        TranslateOptions(model=model, inputs=InputOptions(inputs=(names[0],)), language="fr", targets=("es", "de")),
    ):
        run_job(options, OutputOptions(formats=("jsonl",)), sink=written.append, report=events.append)
    rows = [json.loads(line) for line in b"".join(written).splitlines()]
    assert [row["path"] for row in rows] == [*names, names[0], names[0]]
    assert [(row["language"], row["target_language"]) for row in rows[3:]] == [("fr", "es"), ("fr", "de")]
    assert rows[0]["model"] == model.model
    assert Loaded(model.model, "cpu", "float32") in events
    assert [event.path for event in events if isinstance(event, Failure)] == ["gone.wav"]


def test_times_of_a_row_with_its_own_stretch_count_from_there_whatever_start_says(tmp_path):
    model = ModelOptions(str(save_model(tmp_path / "tiny")), device="cpu")
    name = write_tone(tmp_path / "a.wav", 1.0)
    manifest = tmp_path / "m.tsv"
    manifest.write_text(f"audio\tstart\tend\ttext\n{name}\t0\t0.8\thi\n{name}\t0.2\t\thi\n{name}\t\t0.6\thi\n")
    for start in (None, 0.3):
        written = []
        inputs = InputOptions(manifest=manifest, start=start)
        options = TranscribeOptions(model=model, inputs=inputs, language="de")
        run_job(options, OutputOptions(formats=("jsonl",)), sink=written.append)
        rows = [json.loads(line) for line in b"".join(written).splitlines()]
        assert [row["segments"][0]["start"] for row in rows] == [0.0, 0.2, 0.0]
