"""The page about a run."""

import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from speechcli.checkpoints.bundle import load
from speechcli.cli.app import app
from speechcli.data.manifest import ManifestOptions, read_manifest
from speechcli.errors import InputError, UsageError
from speechcli.pipelines.report.attention import attention_maps
from speechcli.pipelines.report.charts import Series, line_chart, number, ticks
from speechcli.pipelines.report.differences import marked
from speechcli.pipelines.report.write import write_report
from speechcli.pipelines.train import train
from speechcli.pipelines.training_run.history import read_history
from speechcli.training.events import (
    Evaluated,
    Sample,
    Saved,
    Started,
    Stepped,
    Warned,
    event_from_dict,
    event_to_dict,
)
from speechcli.training.merge import merge_options

VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """Fails if tags are not closed in order; remembers tags, text, and addresses that would be fetched."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.fetched, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def run(places, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    values = {
        "model.path": str(places[0]),
        "data.train": str(places[1]),
        "data.dev": str(places[1]),
        "batch.workers": 0,
        "objective.ctc_weight": 0.3,
        "run.max_steps": 4,
        "run.eval_every": 2,
        "run.log_every": 1,
        "run.device": "cpu",
        "run.dtype": "float32",
        "run.max_new_tokens": 3,
    }
    train(merge_options(explicit=values), folder / "<b> & run", report=lambda event: None)
    return folder / "<b> & run"


def test_the_page_is_whole_alone_and_shows_everything(run):
    text = write_report(run).read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags
    assert all(place.startswith("data:image/png;base64,") for place in page.fetched)
    for title in ("WER", "CHRF", "Loss: cross entropy", "Loss: ctc", "Learning rate", "Throughput", "CTC"):
        assert title in page.text
    assert page.tags.count("image") == 3  # cross-attention of the transcript and of the translation, and CTC
    assert page.tags.count("article") == 5
    assert "<b> & run" in page.text
    assert "steps4" in "".join(page.text.split())


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_chromium_shows_the_page(run, tmp_path):
    page = write_report(run, tmp_path / "page.html")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    shown = subprocess.run(
        ["chromium", *flags, f"--screenshot={tmp_path / 'page.png'}", "--dump-dom", str(page)],
        capture_output=True,
        timeout=120,
        check=True,
    )
    dom = shown.stdout.decode()
    assert dom.count("<svg") == page.read_text(encoding="utf-8").count("<svg") >= 8
    assert (tmp_path / "page.png").stat().st_size > 20_000


def test_the_command_prints_the_path_of_the_page(run, tmp_path):
    result = CliRunner().invoke(app, ["report", str(run), "-o", str(tmp_path / "new" / "page.html")])
    assert result.exit_code == 0
    assert (tmp_path / "new" / "page.html").is_file()
    assert str(tmp_path / "new" / "page.html") in result.stderr


def test_a_report_only_replaces_a_page(run):
    before = (run / "log.jsonl").read_bytes()
    with pytest.raises(UsageError, match="must end in .html, but is .*log.jsonl"):
        write_report(run, run / "log.jsonl")
    assert (run / "log.jsonl").read_bytes() == before


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="log.jsonl"):
        write_report(tmp_path)
    (tmp_path / "log.jsonl").write_text('{"event": "step')
    with pytest.raises(InputError, match="begins with"):
        write_report(tmp_path)


def started(step):
    return Started(
        step=step, utterances=8, hours=1.0, languages={"en->en": 8}, parameters=9, learning=9, device="cpu", dtype="f"
    )


def stepped(step, loss):
    return Stepped(
        step=step, epoch=1.0, losses={"cross_entropy": loss}, learning_rate=0.0, gradient_norm=1.0, audio_rate=1.0,
        seconds=1.0, done=0.5, skipped=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    "event",
    [
        started(3),
        stepped(3, float("inf")),
        Evaluated(3, {"a": 1.0}, {"en->en": {"wer": 2.0}}, 1.0, True, (Sample("1", "en", "a", "b"),), {"en->en": "x"}),
        Saved(3, Path("run/checkpoints/step-00000003")),
        Warned("a sentence"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_every_event_is_read_back_from_the_log_as_it_was_written(event):
    assert event_from_dict(json.loads(json.dumps(event_to_dict(event)))) == event


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"losses": None}, r"Line 2 of .*log\.jsonl is not an event of a run: None is no dict"),
        ({"losses": {"cross_entropy": "low"}}, "'low' is no float"),
        ({"step": True}, "True is no int"),
        ("losses", "it lacks `losses`"),
    ],
)
def test_a_log_with_an_event_that_somebody_changed_is_refused_in_one_sentence(tmp_path, change, complaint):
    values = event_to_dict(stepped(1, 0.5))
    if isinstance(change, str):
        del values[change]
    else:
        values |= change
    lines = [json.dumps(each) for each in (event_to_dict(started(0)), values)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    with pytest.raises(InputError, match=complaint):
        write_report(tmp_path)


def test_steps_that_were_made_again_after_an_interruption_count_once(tmp_path):
    events = [
        started(0),
        *(stepped(step, 1.0) for step in (1, 2, 3)),
        started(2),
        *(stepped(step, 0.5) for step in (3, 4)),
    ]
    lines = [json.dumps(event_to_dict(event)) for event in events]
    others = ['{"event": "stepp', '{"event": []}', '{"event": "sang"}', "[]"]
    (tmp_path / "log.jsonl").write_text("\n".join([*lines[:4], *others, *lines[4:]]) + "\n")
    history = read_history(tmp_path)
    assert history.losses(history.steps, "cross_entropy") == [(1, 1.0), (2, 1.0), (3, 0.5), (4, 0.5)]
    assert history.step == 4


@torch.no_grad()
def test_an_evaluation_that_is_not_a_number_is_never_the_best(tmp_path):
    scores = {1: math.nan, 2: -3.0, 3: math.nan, 4: -4.0}
    events = [
        Started(step=0, utterances=1, hours=1.0, languages={}, parameters=9, learning=9, device="cpu", dtype="float32"),
        *(Evaluated(step=step, losses={}, scores={}, score=score, best=False) for step, score in scores.items()),
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(event_to_dict(event)) + "\n" for event in events))
    best = read_history(tmp_path).best
    assert best is not None
    assert best.step == 2


def test_the_shown_weights_are_those_of_the_attention(run, places, monkeypatch):
    bundle = load(run / "best")
    utterance = read_manifest(places[1], options=ManifestOptions(task="both")).utterances[3]
    attention = bundle.model.decoder.layers[0].cross_attn
    used = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def watched(query, key, value, **options):
        if key.size(2) != query.size(2):
            eye = torch.eye(key.size(2)).expand(*key.shape[:2], -1, -1)
            used.append(plain(query, key, eye, attn_mask=options["attn_mask"]).mean(1))
        return plain(query, key, value, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    looked = attention_maps(bundle, utterance)
    assert attention.heads == 2
    assert [language for language, _, _ in looked.attention] == ["en", "es"]
    for row, (_, tokens, weights) in enumerate(looked.attention):
        np.testing.assert_allclose(weights, used[-1][row, : len(tokens)].numpy(), atol=1e-6)
        np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-5)
    names, probabilities = looked.ctc
    assert len(names) == len(probabilities)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("the cat sat", "the cat sat", "the cat sat"),
        ("the cat sat", "the sat", "the <del>cat</del> sat"),
        ("the cat", "the big cat", "the <ins>big</ins> cat"),
        ("a <b> c", "a & c", "a <del>&lt;b&gt;</del> <ins>&amp;</ins> c"),
        ("", "noise", "<ins>noise</ins>"),
        ("word", "", "<del>word</del>"),
        ("", "", ""),
        ("今日は雨", "今日も雨", "今日<del>は</del><ins>も</ins>雨"),
    ],
)
def test_differences_are_marked_word_by_word(reference, hypothesis, expected):
    assert marked(reference, hypothesis) == expected


def test_ticks_are_round_and_cover_the_range():
    assert ticks(0.0, 1.0) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert ticks(3.0, 97.0) == [0.0, 25.0, 50.0, 75.0, 100.0]
    assert ticks(5.0, 5.0)[0] <= 5.0 <= ticks(5.0, 5.0)[-1]
    assert ticks(0.0, 2e-4)[-1] >= 2e-4


@pytest.mark.parametrize(
    ("value", "written"), [(0.0, "0"), (1234.0, "1,234"), (0.25, "0.25"), (2e-5, "2e-5"), (1.5e-4, "1.5e-4")]
)
def test_numbers_on_axes_are_short(value, written):
    assert number(value) == written


def test_a_chart_leaves_out_values_that_are_not_finite_and_is_empty_without_points():
    assert line_chart("x", [Series("a", [(1, float("nan"))])]) == ""
    drawn = line_chart("x", [Series("a", [(1, 1.0), (2, float("inf")), (3, 2.0)])])
    assert drawn.count("<circle") == 2 and "nan" not in drawn and "inf" not in drawn


def test_the_smooth_line_neither_lags_nor_moves_a_straight_one():
    drawn = line_chart("x", [Series("a", [(i, 2.0 * i) for i in range(100)], smooth=True)])
    faint, smooth = re.findall(r' d="([^"]*)"', drawn)
    assert smooth == faint


def test_thousands_of_steps_are_drawn_as_a_few_hundred_points():
    assert line_chart("x", [Series("a", [(i, float(i % 7)) for i in range(5000)])]).count("<circle") == 300
