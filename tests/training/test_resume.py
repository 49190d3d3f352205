"""A run that is interrupted in any way is resumed as if it had not been interrupted."""

import json
import os
import signal

import pytest
import torch
from forks import kill_at_change, needs_fork, start, wait

from speechcli.errors import UsageError
from speechcli.pipelines.training_run.log import RunLog
from speechcli.training.events import Evaluated, Saved, Started, Stepped, Warned
from speechcli.training.merge import RUN_OPTIONS, merge_options, write_options
from speechcli.training.resume import changed_options
from speechcli.training.state import (
    TrainState,
    checkpoint_folder,
    latest_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)

pytestmark = pytest.mark.usefixtures("copied")

SETTINGS = {
    "objective.ctc_weight": 0.3,
    "optimizer.learning_rate": 0.01,
    "optimizer.warmup_steps": 5,
    "run.max_steps": 60,
    "run.save_every": 20,
    "run.log_every": 1,
    "run.ema_decay": 0.9,
    "run.device": "cpu",
    "run.dtype": "float32",
}


def options(**more):
    return merge_options(explicit=SETTINGS | {key.replace("__", "."): value for key, value in more.items()}).options


def run_log(folder, *, best_step):
    """Return the log of a run that has started."""
    log = RunLog(folder, options(), lambda event: None, best_step=best_step)
    if not (folder / "log.jsonl").exists():
        log(Started(0, 8, 0.1, {"en->en": 8}, 100, 50, "cpu", "float32"))
    return log


def losses(events):
    return [(event.step, event.losses, event.gradient_norm) for event in events if isinstance(event, Stepped)]


@needs_fork
def test_sixty_steps_have_the_same_losses_as_twenty_then_kill_9_then_forty(start_run, tmp_path):
    straight = start_run(options(), folder=tmp_path / "straight")
    straight.trainer.run()

    def killed():
        run = start_run(options(), folder=tmp_path / "killed")
        run.trainer.report = lambda event: (
            os.kill(os.getpid(), signal.SIGKILL) if isinstance(event, Stepped) and event.step == 27 else None
        )
        run.trainer.run()

    assert wait(start(killed)) == -signal.SIGKILL
    checkpoint = latest_checkpoint(tmp_path / "killed")
    rest = start_run(options(), folder=tmp_path / "killed")
    rest.model.load_state_dict(torch.load(checkpoint / "model.pt", weights_only=True))
    rest.trainer.run(load_checkpoint(checkpoint))
    assert losses(rest.events) == losses(straight.events)[20:]
    assert len(losses(rest.events)) == 40


@needs_fork
def test_a_run_killed_at_any_point_of_a_save_can_be_resumed(tmp_path):
    state = TrainState({"step": 2, "best": []}, {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": []}, None)

    def begin(run):
        save_checkpoint(checkpoint_folder(run, 1), lambda target: (target / "model").write_text("1"), state)
        log = run_log(run, best_step=1)
        log(Saved(1, checkpoint_folder(run, 1)))
        save_checkpoint(checkpoint_folder(run, 2), lambda target: (target / "model").write_text("2"), state)
        log(Saved(2, checkpoint_folder(run, 2)))

    def go_on(run):
        save_checkpoint(checkpoint_folder(run, 4), lambda target: (target / "model").write_text("4"), state)
        prune_checkpoints(run, keep=set(), newest=1)
        run_log(run, best_step=4)(Saved(4, checkpoint_folder(run, 4)))

    outcomes = []
    for number in range(200):
        run = tmp_path / str(number)
        begin(run)

        def interrupted(run=run, number=number):
            kill_at_change(number)
            go_on(run)

        code = wait(start(interrupted))
        newest = latest_checkpoint(run)
        run_log(run, best_step=4 if newest.name.endswith("4") else 1).catch_up()
        outcomes.append(((newest / "model").read_text(), (run / "last" / "model").read_text()))
        assert load_checkpoint(newest).progress["step"] == 2
        assert (run / "best" / "model").read_text() in ("1", "4")
        go_on(run)
        assert {path.name for path in (run / "checkpoints").iterdir()} == {"step-00000004"}
        if code == 0:
            break
        assert code == 9
    assert code == 0 and len(outcomes) > 20
    assert set(outcomes) == {("2", "2"), ("4", "4")}


def test_a_continued_log_has_the_best_step(tmp_path):
    state = TrainState({}, {"state": {}, "param_groups": []}, None)
    for step in (1, 2):
        save_checkpoint(checkpoint_folder(tmp_path, step), lambda target: (target / "model").write_text("x"), state)
    log = run_log(tmp_path, best_step=1)
    log.catch_up()
    assert (tmp_path / "best").is_dir() and (tmp_path / "last").is_dir()
    log(Evaluated(2, {}, {}, 1.0, True))
    log(Saved(2, checkpoint_folder(tmp_path, 2)))
    events = [json.loads(line)["event"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert events == ["started", "evaluated", "saved"]


def test_an_event_after_half_a_line_of_the_log_has_a_line_of_its_own(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"event": "stepped", "step": 9, "lo')
    log = RunLog(tmp_path, options(), lambda event: None)
    log(Warned("näher"))
    log(Warned("two"))
    assert (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()[1:] == [
        '{"event": "warned", "message": "näher"}',
        '{"event": "warned", "message": "two"}',
    ]


def test_a_run_whose_log_was_deleted_is_still_published(tmp_path):
    state = TrainState({}, {"state": {}, "param_groups": []}, None)
    save_checkpoint(checkpoint_folder(tmp_path, 1), lambda target: (target / "model").write_text("x"), state)
    RunLog(tmp_path, options(), lambda event: None, best_step=1).catch_up()
    assert [path.name for path in (tmp_path / "best").iterdir()] == ["model"]


def begun(folder, **explicit):
    folder.mkdir(exist_ok=True)
    merged = merge_options(explicit={key.replace("__", "."): value for key, value in explicit.items()})
    write_options(merged, folder / RUN_OPTIONS)
    return folder


def resumed(folder, **explicit):
    values = {key.replace("__", "."): value for key, value in explicit.items()}
    return changed_options(folder, merge_options(run=folder, explicit=values).options)


def test_a_run_may_be_made_longer_without_a_word(tmp_path):
    run = begun(tmp_path / "run", run__max_steps=10)
    assert resumed(run) == []
    assert resumed(run, run__max_steps=20, run__eval_every=5, batch__workers=3) == []


def test_a_change_that_makes_it_another_run_is_reported(tmp_path):
    run = begun(tmp_path / "run", optimizer__learning_rate=0.1)
    assert resumed(run, optimizer__learning_rate=0.2) == [
        "`optimizer.learning_rate` was 0.1 and is 0.2: the run is not the same as without the interruption."
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"model__path": "a"}, {"model__path": "b"}),
        ({"objective__ctc_weight": 0.0}, {"objective__ctc_weight": 0.3}),
        ({"run__ema_decay": 0.9}, {"run__ema_decay": 0.0}),
    ],
)
def test_a_change_that_needs_other_weights_is_refused(tmp_path, before, after):
    run = begun(tmp_path / "run", **before)
    with pytest.raises(UsageError, match="must train the same weights") as caught:
        resumed(run, **after)
    assert caught.value.exit_code == 2


def test_a_resumed_run_never_compares_scores_with_losses(tmp_path):
    run = begun(tmp_path / "run", data__dev="dev.tsv")
    with pytest.raises(UsageError, match="compare its evaluations as before, but `run.best_by` was score and is loss"):
        resumed(run, run__best_by="loss")
    without = begun(tmp_path / "without")
    assert "`run.best_by` was score and is loss" in resumed(without, data__dev="dev.tsv", run__best_by="loss")[0]
