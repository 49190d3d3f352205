"""The one place where errors become sentences and exit codes."""

import errno
import json
import os
import signal
import sys

import pytest
import torch

from speechcli.cli import console, deliver
from speechcli.cli.app import main
from speechcli.errors import ModelError, OutputError
from speechcli.pipelines.outcome import Failure, JobReport
from tests.pipelines.tiny_model import save_model, write_tone


@pytest.fixture
def fails_with(monkeypatch):
    """Return a function that runs a command whose pipeline raises an error."""

    def run(error):
        def run_job(*given, **more):
            raise error

        monkeypatch.setattr(deliver, "run_job", run_job)
        return main(["transcribe", "a.wav"])

    return run


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ModelError("No model.", hint="Get one."), 3, "error: No model.\nhint: Get one.\n"),
        (OutputError("Full."), 8, "error: Full.\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 0, ""),
        (MemoryError(), 7, "error: Memory ran out."),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), 7, "error: Memory ran out."),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"), 7, "error: Memory ran out."),
        (ZeroDivisionError("by zero\nmore"), 1, "error: ZeroDivisionError: by zero\nhint: This is a bug"),
        (FileNotFoundError(2, "Gone", "a/b"), 1, "error: a/b cannot be used: Gone.\n"),
        (AssertionError(), 1, "error: AssertionError: no message\n"),
    ],
)
def test_every_error_has_its_sentence_and_exit_code(fails_with, capsys, error, code, words):
    assert fails_with(error) == code
    captured = capsys.readouterr()
    assert captured.err.startswith(words) and "Traceback" not in captured.err and captured.out == ""


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "Detected that PyTorch and TorchAudio were compiled with different CUDA versions. PyTorch has 12.6"
        ),
        OSError("libc10_cuda.so: cannot open shared object file: No such file or directory"),
        OSError("Could not load this library: /x/torchaudio/lib/_torchaudio.abi3.so"),
    ],
)
def test_torchaudio_that_does_not_fit_is_explained(fails_with, capsys, error):
    assert fails_with(error) == 1
    text = capsys.readouterr().err
    assert text.startswith("error: torchaudio does not fit the installed torch") and "CPU wheel index" in text


def test_debug_shows_the_traceback(fails_with, capsys, monkeypatch):
    monkeypatch.setenv("SPEECHCLI_DEBUG", "1")
    assert fails_with(ModelError("No model.")) == 3
    text = capsys.readouterr().err
    assert "Traceback" in text and text.endswith("error: No model.\n")


def test_sigterm_unwinds_and_exits_with_143(monkeypatch):
    cleaned = []

    def run_job(*given, **more):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            cleaned.append(True)

    monkeypatch.setattr(deliver, "run_job", run_job)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["transcribe", "a.wav"]) == 143
    assert cleaned == [True] and signal.getsignal(signal.SIGTERM) is before


def test_closed_standard_streams_are_reported_or_ignored(monkeypatch, tmp_path, capsys):
    def run_job(options, outputs, *, sink, report):
        sink(b"text")

    monkeypatch.setattr(deliver, "run_job", run_job)
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stdout", None)
        assert main(["transcribe", "a.wav"]) == 8
    assert capsys.readouterr().err == "error: Standard output is closed.\nhint: Write files with -o DIR.\n"
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stderr", None)
        assert main(["transcribe", "--bogus"]) == 2
        sys.stderr.close()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("flag", ["--threads", "--seed"])
def test_a_number_that_torch_does_not_survive_is_a_usage_error(capsys, flag):
    assert main(["transcribe", "a.wav", flag, "99999999999999999999"]) == 2
    assert f"'{flag}'" in capsys.readouterr().err


def test_full_disk_behind_standard_output_is_an_output_error(monkeypatch, capsys):
    class Full:
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    class Stdout:
        buffer = Full()

        def fileno(self):
            raise ValueError

        def flush(self):
            pass

    monkeypatch.setattr(console.sys, "stdout", Stdout())
    monkeypatch.setattr(deliver, "run_job", lambda *given, sink, report: sink(b"x"))
    assert main(["transcribe", "a.wav"]) == 8
    assert "No space left" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (JobReport(done=2), 0),
        (JobReport(skipped=2), 0),
        (JobReport(done=1, failures=[Failure("a", "bad")]), 5),
        (JobReport(skipped=1, failures=[Failure("a", "bad")]), 5),
        (JobReport(failures=[Failure("a", "bad")]), 6),
        (JobReport(done=1, failures=[Failure("a", "big", None, 7)]), 7),
    ],
)
def test_the_exit_code_depends_on_how_many_inputs_failed(monkeypatch, capsys, report, code):
    monkeypatch.setattr(deliver, "run_job", lambda *given, **more: report)
    assert main(["transcribe", "a.wav"]) == code
    assert bool(capsys.readouterr().err) == bool(code)


@pytest.mark.parametrize(
    "command",
    [
        ["transcribe", "a.wav", "-o", ""],
        ["transcribe", "a.wav", "--output-dir="],
        ["transcribe", "a.wav", ""],
        ["translate", "a.wav", "--manifest", "", "-o", "out"],
        ["init", "--encoder", "bert", "--decoder", "bert", "-o", ""],
        ["train", "--train", "", "-o", "run"],
        ["average", "run", "-o", ""],
        ["report", "", "-o", "page.html"],
        ["data", "check", "a.tsv", "-o", ""],
        ["data", "vocabulary", "a.tsv", "--size", "9", "-o", ""],
        ["evaluate", "a.tsv", "--hypotheses", ""],
        ["info", ""],
    ],
)
def test_an_empty_name_is_not_the_current_folder(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = next(command[i - 1] for i, text in enumerate(command) if not text) if "" in command else "--output-dir="
    assert main(command) == 2
    told = f"error: The argument after `{place}` must not be empty.\nhint: Is a shell variable not set?\n"
    assert capsys.readouterr().err == told


def test_version_is_shown(capsys):
    assert main(["--version"]) == main(["-V"]) == 0
    assert capsys.readouterr().out.startswith("speechcli 0.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("job")
    save_model(root / "model")
    for name, seconds in {"in/a.wav": 0.3, "in/b/[red]c[/b].wav": 0.4}.items():
        write_tone(root / name, seconds)
    (root / "in" / "bad.wav").write_bytes(b"no sound at all")
    return root


def test_closed_standard_input_is_a_failure_of_that_input_alone(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["transcribe", "in/a.wav", "-m", "model"]) == 0
    assert main(["transcribe", "-", "in/a.wav", "-m", "model"]) == 5
    told = capsys.readouterr()
    assert told.out.splitlines()[1].startswith("in/a.wav\t")
    assert told.err.startswith("error: -: Standard input is closed.\nhint: Pipe a recording into it, or name a file.\n")


@pytest.mark.parametrize(
    "command",
    [["transcribe", "in/a.wav", "-m", "model"], ["average", "model"], ["init", "--encoder", "x", "--decoder", "y"]],
)
def test_a_file_in_place_of_the_output_folder_is_reported_before_any_work(folder, monkeypatch, capsys, command):
    monkeypatch.chdir(folder)
    before = (folder / "in" / "a.wav").read_bytes()
    assert main([*command, "-o", "in/a.wav", "--overwrite"]) == 8
    assert capsys.readouterr().err == "error: Outputs go to a folder, but in/a.wav is a file.\nhint: -o DIR\n"
    assert (folder / "in" / "a.wav").read_bytes() == before


def test_a_whole_job_from_end_to_end(folder, monkeypatch, capsysbinary):
    monkeypatch.chdir(folder)
    common = ["--model", "model", "--device", "cpu", "--threads", "1"]
    assert main(["translate", "in", "--to", "es", "--to", "de", "-o", "out", "-f", "txt", "-f", "json", *common]) == 5
    captured = capsysbinary.readouterr()
    assert captured.out == b""
    assert b"error: `in/bad.wav`" in captured.err and b"2 done, 1 failed" in captured.err
    assert {str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*.*")} == {
        "speechcli.jsonl",
        "failures.jsonl",
        *(f"{stem}.{label}" for stem in ("a", "b/[red]c[/b]") for label in ("es.txt", "es.json", "de.txt", "de.json")),
    }
    value = json.loads((folder / "out" / "a.es.json").read_text())
    assert (value["path"], value["target_language"], value["model"]) == ("in/a.wav", "es", "model")
    assert main(["transcribe", "in/a.wav", "in/b/[red]c[/b].wav", "-v", *common]) == 0
    captured = capsysbinary.readouterr()
    assert [line.split(b"\t")[0] for line in captured.out.splitlines()] == [b"in/a.wav", b"in/b/[red]c[/b].wav"]
    assert b"model: model on cpu in float32" in captured.err


def test_an_unknown_language_is_reported_with_similar_ones(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["translate", "in/a.wav", "--model", "model", "--to", "Spanisch"]) == 2
    assert "did you mean Spanish (es_XX)" in capsys.readouterr().err


def test_model_that_is_not_there_is_exit_code_3(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["transcribe", "in/a.wav", "--model", "./none"]) == 3
    assert main(["info", "--model", "in", "--json"]) == 3
    assert capsys.readouterr().out == ""


def test_info_is_text_or_json(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["info", "model"]) == 0
    assert "languages   de_DE, en_XX, es_XX\n" in capsys.readouterr().out
    assert main(["info", "--model", "model", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["languages"] == ["de_DE", "en_XX", "es_XX"]
