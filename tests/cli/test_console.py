import json

import pytest

from speechcli.cli.console import Console
from speechcli.pipelines.outcome import Failure, JobReport, Loaded, Progress, Warned

EVENTS = (
    Loaded("m", "cpu", "float32"),
    Progress(1, 3, 12.0),
    Warned("careful [b]"),
    Failure("x[/red].wav", "It is bad.", "mend it"),
)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def shown(capsys, kind, *, clock=None, events=EVENTS, **options):
    with Console(kind, clock=clock or Clock(), **options) as console:
        for event in events:
            console.report(event)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_failures_and_warnings_are_lines_with_any_content(capsys):
    text = "warning: careful [b]\nerror: x[/red].wav: It is bad.\nhint: mend it\n"
    assert shown(capsys, "plain") == shown(capsys, "none") == shown(capsys, "auto") == text


def test_a_path_is_not_printed_twice(capsys):
    assert shown(capsys, "none", events=[Failure("x", "There is no file x.")]) == "error: There is no file x.\n"


def test_quiet_prints_errors_only_and_verbose_the_model_too(capsys):
    assert shown(capsys, "auto", quiet=True).startswith("error: ")
    assert shown(capsys, "auto", verbose=True).startswith("model: m on cpu in float32\n")


def test_plain_progress_is_a_line_every_ten_seconds(capsys):
    clock = Clock()
    lines = []
    with Console("plain", clock=clock) as console:
        for second in range(25):
            clock.now = float(second)
            console.report(Progress(second, 99, 2.0 * second))
            lines += capsys.readouterr().err.splitlines()
    assert lines == [
        "10/99 inputs, 20 s of audio (2.0 × real time)",
        "20/99 inputs, 40 s of audio (2.0 × real time)",
    ]


def test_progress_shows_the_remaining_time(capsys):
    clock = Clock()
    event = Progress(1, 3, 30.0, 7230.0)
    with Console("plain", clock=clock) as plain, Console("json", clock=clock) as as_json:
        clock.now = 10.0
        plain.report(event)
        line = "1/3 inputs, 30 of about 7230 s of audio (3.0 × real time), about 40:00 left\n"
        assert capsys.readouterr().err == line
        as_json.report(event)
        values = json.loads(capsys.readouterr().err)
    assert (values["seconds"], values["speed"], values["seconds_left"]) == (10.0, 3.0, 2400.0)


def test_json_progress_is_an_object_a_line(capsys):
    lines = [json.loads(line) for line in shown(capsys, "json").splitlines()]
    assert lines == [
        {"event": "loaded", "model": "m", "device": "cpu", "dtype": "float32"},
        {"event": "progress", "done": 1, "total": 3, "audio_seconds": 12.0, "expected_seconds": None}
        | {"seconds": 0.0, "speed": None, "seconds_left": None},
        {"event": "warning", "message": "careful [b]"},
        {"event": "failure", "path": "x[/red].wav", "message": "It is bad.", "hint": "mend it", "exit_code": 4},
    ]


def test_bar_goes_to_standard_error_and_steps_aside(capsys):
    with Console("bar") as console:
        console.report(Progress(1, 3, 12.0))
        console.data(b"text\n")
        console.report(Warned("careful [b]"))
    captured = capsys.readouterr()
    assert captured.out == "text\n" and "careful [b]" in captured.err


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (JobReport(2, 0, 30.0), "2 done; 30.0 s of audio in 10.0 s, 3.0 × real time\n"),
        (
            JobReport(0, 2, 0.0, [Failure("a", "bad")]),
            "0 done, 2 skipped (done before), 1 failed; 0.0 s of audio in 10.0 s\n",
        ),
    ],
)
def test_summary_counts_everything(capsys, report, text):
    clock = Clock()
    console = Console("none", clock=clock)
    clock.now = 10.0
    console.summary(report)
    assert capsys.readouterr().err == text
    Console("json").summary(report)
    assert json.loads(capsys.readouterr().err)["event"] == "summary"
    Console("none", quiet=True).summary(report)
    assert capsys.readouterr().err == ""
