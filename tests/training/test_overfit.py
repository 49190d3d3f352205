import pytest
from typer.testing import CliRunner

from speechcli.cli.app import app
from speechcli.errors import InputError, TrainingDiverged, UsageError
from speechcli.pipelines import overfit as module
from speechcli.pipelines.overfit import overfit
from speechcli.training.events import Started, Stepped
from speechcli.training.merge import merge_options


def options(places, **more):
    values = {
        "model.path": str(places[0]),
        "data.train": str(places[1]),
        "optimizer.learning_rate": 0.02,
        "run.device": "cpu",
        "run.dtype": "float32",
        "run.max_steps": 1,
    }
    return merge_options(explicit=values | {key.replace("__", "."): value for key, value in more.items()})


def test_a_working_set_up_memorizes_a_few_recordings(places):
    events = []
    result = overfit(options(places), 2, report=events.append)
    assert result.recordings == 2
    assert 0 < result.steps <= 500
    started, *steps = events
    assert isinstance(started, Started) and started.utterances == 2
    assert isinstance(steps[-1], Stepped) and steps[-1].losses["accuracy"] == 1.0


def test_a_setup_that_cannot_learn_is_an_error(places, monkeypatch):
    monkeypatch.setattr(module, "MAX_STEPS", 3)
    with pytest.raises(TrainingDiverged, match="after 3 steps only") as caught:
        overfit(options(places, optimizer__learning_rate=1e-9), 2, report=lambda event: None)
    assert caught.value.exit_code == 9


def test_recordings_that_cannot_be_read_are_an_input_error(places, tmp_path):
    (tmp_path / "x.wav").write_bytes(b"RIFF")
    (tmp_path / "bad.tsv").write_text("audio\tduration\tsrc_lang\ttext_en\nx.wav\t1.0\ten\tlow\n")
    with pytest.raises(InputError):
        overfit(options(places, data__train=str(tmp_path / "bad.tsv")), 2, report=lambda event: None)


def test_none_at_all_is_refused(places):
    with pytest.raises(UsageError, match="at least 1"):
        overfit(options(places), 0, report=lambda event: None)


def test_the_command_writes_nothing(places, tmp_path):
    flags = ["--model", str(places[0]), "--train", str(places[1]), "--debug-overfit", "2", "--device", "cpu"]
    more = ["--set", "optimizer.learning_rate=0.02", "--set", "run.dtype=float32"]
    result = CliRunner().invoke(app, ["train", *flags, *more, "-o", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert "the model can learn: it overfitted 2 recordings in" in result.stderr
    assert not (tmp_path / "run").exists()
