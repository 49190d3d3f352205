import multiprocessing
import os
import re
import signal
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from tiny_run import TinyModel, make_feed, sound

from speechcli.errors import InputError, OutputError, Stopped, TrainingDiverged, UsageError
from speechcli.training.events import Evaluated, Saved, Stepped, Warned
from speechcli.training.loop import Evaluation
from speechcli.training.merge import merge_options
from speechcli.training.signals import StopSignals
from speechcli.training.state import checkpoints, latest_checkpoint, load_checkpoint


def options(**explicit):
    defaults = {
        "optimizer.learning_rate": 0.05,
        "optimizer.warmup_steps": 2,
        "run.max_steps": 8,
        "run.device": "cpu",
        "run.dtype": "float32",
    }
    return merge_options(explicit=defaults | {key.replace("__", "."): value for key, value in explicit.items()}).options


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_a_run_makes_the_loss_smaller_and_logs_it(start_run):
    run = start_run(options(run__max_steps=60, run__log_every=20, objective__ctc_weight=0.3))
    report = run.trainer.run()
    logged = [event for event in run.events if isinstance(event, Stepped)]
    assert report.step == 60
    assert [event.step for event in logged] == [20, 40, 60]
    assert logged[-1].losses["cross_entropy"] < logged[0].losses["cross_entropy"]
    assert logged[-1].losses["ctc"] < logged[0].losses["ctc"]
    assert logged[-1].done == 1.0


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_run_resumed_in_mid_epoch_ends_with_the_same_bits(start_run, tmp_path, ema_decay):
    whole = start_run(options(run__max_steps=9, run__ema_decay=ema_decay), folder=tmp_path / "whole")
    whole.trainer.run()

    settings = options(run__max_steps=9, run__save_every=5, run__ema_decay=ema_decay)
    first = start_run(settings, folder=tmp_path / "parts")
    first.trainer.report = stop_at(5)
    with pytest.raises(Stopped):
        first.trainer.run()
    state = load_checkpoint(latest_checkpoint(tmp_path / "parts"))
    assert state.progress["feed"]["position"] not in (0, len(first.trainer.feed.plan))
    second = start_run(settings, folder=tmp_path / "parts")
    saved = torch.load(latest_checkpoint(tmp_path / "parts") / "model.pt", weights_only=True)
    second.model.load_state_dict(saved)
    second.trainer.run(state)

    assert_same(weights(whole.model), weights(second.model))
    ends = [
        torch.load(latest_checkpoint(tmp_path / name) / "model.pt", weights_only=True) for name in ("whole", "parts")
    ]
    assert_same(*ends)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_run_that_is_made_longer_learns_at_the_rates_of_one_that_was_as_long_from_the_start(start_run, schedule):
    chosen = {"run__log_every": 1, "optimizer__schedule": schedule}
    short = start_run(options(run__max_steps=8, **chosen))
    short.trainer.run()
    longer = start_run(options(run__max_steps=32, **chosen))
    longer.trainer.run(load_checkpoint(latest_checkpoint(short.folder)))
    straight = start_run(options(run__max_steps=32, **chosen), folder=short.folder.with_name("straight"))
    straight.trainer.run()
    assert rates(longer.events) == rates(straight.events)[8:]


def rates(events):
    return [(event.step, event.learning_rate) for event in events if isinstance(event, Stepped)]


def test_a_resumed_run_has_the_options_of_the_optimizer_that_it_is_given(start_run):
    first = start_run(options(run__max_steps=4, optimizer__encoder_scale=0.5))
    first.trainer.run()
    changed = {"optimizer__weight_decay": 0.5, "optimizer__betas": (0.5, 0.75), "optimizer__encoder_scale": 0.25}
    second = start_run(options(run__max_steps=5, **changed))
    second.trainer.run(load_checkpoint(latest_checkpoint(first.folder)))
    optimizer = second.trainer.learner.optimizer
    found = [(group["weight_decay"], group["scale"], group["betas"]) for group in optimizer.param_groups]
    assert found == [
        (0.5, 0.25, (0.5, 0.75)),
        (0.0, 0.25, (0.5, 0.75)),
        (0.5, 1.0, (0.5, 0.75)),
        (0.0, 1.0, (0.5, 0.75)),
    ]
    assert {float(moments["step"]) for moments in optimizer.state.values()} == {5.0}


def test_a_resumed_run_whose_optimizer_would_group_parameters_differently_is_refused(start_run):
    run = start_run(options(run__max_steps=4))
    run.trainer.run()
    state = load_checkpoint(latest_checkpoint(run.folder))
    for changed, groups in (
        ({"optimizer__weight_decay": 0.0}, [7]),
        ({"optimizer__encoder_scale": 0.5}, [1, 3, 2, 1]),
    ):
        with pytest.raises(UsageError, match=re.escape(f"groups of [3, 4] became {groups}.")):
            start_run(options(**changed)).trainer.run(state)


def stop_at(step):
    def report(event):
        if isinstance(event, Saved) and event.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return report


def test_a_signal_saves_and_the_error_names_the_command_to_continue(start_run):
    run = start_run(options(run__max_steps=50, run__save_every=4))
    run.trainer.report = stop_at(4)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as caught:
        run.trainer.run()
    assert caught.value.exit_code == 75
    assert "--resume" in caught.value.hint
    assert load_checkpoint(latest_checkpoint(run.folder)).progress["step"] == 4
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_a_launcher_sends_again_does_not_keep_the_run_from_saving():
    with StopSignals(echoed=True) as signals:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.received


def test_accumulated_batches_move_the_weights_as_one_big_batch(start_run, tmp_path):
    settings = {"run__max_steps": 3, "objective__ctc_weight": 0.4, "objective__label_smoothing": 0.1}
    small = start_run(
        options(batch__accumulation=4, **settings), model=TinyModel(0.0), feed=make_feed(), folder=tmp_path / "a"
    )
    big_feed = make_feed(max_seconds=12.0, max_items=12)
    big = start_run(options(**settings), model=TinyModel(0.0), feed=big_feed, folder=tmp_path / "b")
    small.trainer.run()
    big.trainer.run()
    assert (len(small.trainer.feed.plan), len(big.trainer.feed.plan)) == (4, 1)
    for name, tensor in big.model.state_dict().items():
        torch.testing.assert_close(small.model.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)


def test_worker_processes_change_nothing(start_run, tmp_path):
    alone = start_run(options(run__max_steps=3), folder=tmp_path / "a")
    helped = start_run(options(run__max_steps=3), feed=make_feed(workers=1), folder=tmp_path / "b")
    alone.trainer.run()
    helped.trainer.run()
    assert_same(weights(alone.model), weights(helped.model))


def test_worker_processes_end_with_the_run_even_while_its_error_is_kept(start_run):
    run = start_run(options(run__max_steps=50, run__save_every=2), feed=make_feed(workers=1))
    run.trainer.report = stop_at(2)
    with pytest.raises(Stopped) as kept:
        run.trainer.run()
    assert multiprocessing.active_children() == []
    assert kept.value.__traceback__ is not None


def test_worker_processes_end_when_one_of_them_fails(start_run):
    def broken(utterance):
        raise ZeroDivisionError(utterance.id)

    with pytest.raises(ZeroDivisionError) as kept:
        start_run(options(), feed=make_feed(workers=1, read=broken)).trainer.run()
    assert multiprocessing.active_children() == []
    assert kept.value.__traceback__ is not None


def test_a_step_that_is_not_finite_is_skipped_and_counted(start_run):
    def sometimes(utterance):
        return sound(utterance) * (np.nan if utterance.id == "7" else 1.0)

    run = start_run(options(run__max_steps=8, run__log_every=4), feed=make_feed(read=sometimes))
    report = run.trainer.run()
    assert report.skipped == 2
    assert all(torch.isfinite(tensor).all() for tensor in run.model.state_dict().values())
    assert all(np.isfinite(event.losses["cross_entropy"]) for event in run.events if isinstance(event, Stepped))


def test_a_line_of_the_log_over_skipped_steps_alone_has_no_losses(start_run):
    silent = make_feed(read=lambda utterance: sound(utterance) * np.nan)
    run = start_run(options(run__max_steps=2, run__log_every=1), feed=silent)
    run.trainer.run()
    assert [event.losses for event in run.events if isinstance(event, Stepped)] == [{}, {}]


def test_too_many_steps_in_a_row_that_are_not_finite_end_the_run(start_run):
    run = start_run(options(run__max_nonfinite=3), feed=make_feed(read=lambda utterance: sound(utterance) * np.nan))
    with pytest.raises(TrainingDiverged, match="4 steps in a row"):
        run.trainer.run()


def test_unreadable_recordings_are_left_out_and_remembered(start_run):
    def broken(utterance):
        if utterance.id == "3":
            raise InputError("`3.wav` is empty.")
        return sound(utterance)

    run = start_run(options(run__log_every=4), feed=make_feed(read=broken))
    run.trainer.run()
    told = [event.message for event in run.events if isinstance(event, Warned)]
    assert told == ["3 is left out: `3.wav` is empty."]
    assert run.trainer.feed.failures == {"3": "`3.wav` is empty."}


@pytest.mark.parametrize("end", ["max_steps", "patience", "signal"])
def test_the_last_losses_and_failures_are_logged_before_the_last_checkpoint_whatever_ends_the_run(start_run, end):
    def broken(utterance):
        if utterance.id == "3":
            raise InputError("`3.wav` is empty.")
        return sound(utterance)

    def validate():
        step = run.trainer.progress.step
        if (end, step) == ("signal", 4):
            os.kill(os.getpid(), signal.SIGTERM)
        return Evaluation({}, {}, -float(step))

    settings = {"run__max_steps": 4 if end == "max_steps" else 50, "run__patience": int(end == "patience")}
    chosen = options(run__log_every=50, run__eval_every=2, run__keep_best=0, **settings)
    run = start_run(chosen, feed=make_feed(read=broken), validate=validate)
    with pytest.raises(Stopped) if end == "signal" else nullcontext():
        run.trainer.run()
    warned, *rest = [event for event in run.events if not isinstance(event, Evaluated)]
    assert warned == Warned("3 is left out: `3.wav` is empty.")
    assert [(type(event), event.step) for event in rest] == [(Stepped, 4), (Saved, 4)]


def test_a_run_without_readable_recordings_is_an_error_with_the_reason(start_run):
    def broken(utterance):
        raise InputError("`x.wav` is empty.")

    with pytest.raises(InputError, match="x.wav"):
        start_run(options(), feed=make_feed(read=broken)).trainer.run()


def test_a_run_without_an_end_is_refused(start_run):
    with pytest.raises(UsageError, match="needs an end"):
        start_run(options(run__max_steps=0)).trainer.run()


def test_epochs_end_a_run(start_run):
    run = start_run(options(run__max_steps=0, run__max_epochs=2))
    assert run.trainer.run().step == 2 * 4


def test_the_best_and_the_newest_checkpoints_stay(start_run):
    scores = iter([10.0, 50.0, 20.0, 30.0])
    run = start_run(
        options(run__max_steps=8, run__eval_every=2, run__save_every=2, run__keep_last=1, run__keep_best=1),
        validate=lambda: Evaluation({"cross_entropy": 1.0}, {}, next(scores)),
    )
    report = run.trainer.run()
    assert (report.best_step, report.best_score) == (4, 50.0)
    assert [path.name for path in checkpoints(run.folder)] == ["step-00000004", "step-00000008"]
    assert [event.best for event in run.events if isinstance(event, Evaluated)] == [True, True, False, False]
    assert not (checkpoints(run.folder)[0] / "training").exists()


def test_a_score_that_is_not_a_number_is_worse_than_all_others(start_run):
    scores = iter([np.nan, -3.0, np.nan, -2.0])
    run = start_run(options(run__max_steps=8, run__eval_every=2), validate=lambda: Evaluation({}, {}, next(scores)))
    report = run.trainer.run()
    assert (report.best_step, report.best_score) == (8, -2.0)
    evaluated = [(event.score, event.best) for event in run.events if isinstance(event, Evaluated)]
    assert evaluated == [(-np.inf, True), (-3.0, True), (-np.inf, False), (-2.0, True)]


def test_the_last_step_is_evaluated_before_it_is_saved(start_run):
    run = start_run(
        options(run__max_steps=4, run__eval_every=3, run__save_every=2),
        validate=lambda: Evaluation({"cross_entropy": 1.0}, {}, float(run.trainer.progress.step)),
    )
    run.trainer.run()
    kinds = [(type(event).__name__, event.step) for event in run.events if not isinstance(event, Stepped)]
    assert kinds == [("Saved", 2), ("Evaluated", 3), ("Saved", 3), ("Evaluated", 4), ("Saved", 4)]


def test_the_steps_before_an_evaluation_that_can_read_nothing_are_saved(start_run):
    def unreadable():
        raise InputError("The network drive is gone.")

    run = start_run(options(run__max_steps=4, run__eval_every=3), validate=unreadable)
    with pytest.raises(InputError, match="drive is gone"):
        run.trainer.run()
    state = load_checkpoint(latest_checkpoint(run.folder))
    assert (state.progress["step"], state.progress["best"]) == (3, [])
    again = start_run(run.trainer.options, validate=lambda: Evaluation({}, {}, 1.0))
    assert again.trainer.run(state).best_step == 4


def test_patience_ends_a_run(start_run):
    scores = iter([10.0, 9.0, 8.0, 7.0, 6.0])
    run = start_run(
        options(run__max_steps=50, run__eval_every=1, run__patience=2),
        validate=lambda: Evaluation({}, {}, next(scores)),
    )
    assert run.trainer.run().step == 3
    state = load_checkpoint(latest_checkpoint(run.folder))
    again = start_run(run.trainer.options, validate=lambda: Evaluation({}, {}, next(scores)))
    assert again.trainer.run(state).step == 3


def test_a_full_disk_is_an_output_error_and_leaves_the_last_checkpoint(start_run):
    run = start_run(options(run__max_steps=4, run__save_every=2))

    def save(target):
        if len(checkpoints(run.folder)) == 1:
            raise OSError(28, "No space left on device")
        torch.save(run.model.state_dict(), target / "model.pt")

    run.trainer.save = save
    with pytest.raises(OutputError, match="No space left"):
        run.trainer.run()
    assert load_checkpoint(latest_checkpoint(run.folder)).progress["step"] == 2
    assert [path.name for path in (run.folder / "checkpoints").iterdir()] == ["step-00000002"]


def test_a_frozen_encoder_is_unfrozen_at_its_step(start_run):
    run = start_run(options(model__freeze_encoder_steps=4, run__max_steps=4))
    before = weights(run.model)
    run.trainer.run()
    after = weights(run.model)
    assert torch.equal(before["encoder.0.weight"], after["encoder.0.weight"])
    assert not torch.equal(before["decoder.weight"], after["decoder.weight"])
    run = start_run(options(model__freeze_encoder_steps=4, run__max_steps=5), folder=run.folder.with_name("longer"))
    run.trainer.run()
    assert not torch.equal(before["encoder.0.weight"], run.model.state_dict()["encoder.0.weight"])


class FrameNorm(torch.nn.BatchNorm1d):
    def forward(self, frames):
        return super().forward(frames.transpose(1, 2)).transpose(1, 2)


def test_the_running_means_of_a_batch_norm_stay_while_it_is_frozen(start_run, tmp_path):
    for steps, counted in ((4, 0), (6, 2)):
        model = TinyModel()
        model.encoder.append(FrameNorm(6))
        run = start_run(
            options(model__freeze_encoder_steps=4, run__max_steps=steps), model=model, folder=tmp_path / str(steps)
        )
        run.trainer.run()
        norm = model.encoder[-1]
        assert norm.num_batches_tracked == counted
        assert bool((norm.running_mean == 0).all()) == (counted == 0)


def test_evaluation_uses_the_averaged_weights_and_training_the_current_ones(start_run):
    seen = []
    run = start_run(options(run__max_steps=4, run__ema_decay=0.9))
    run.trainer.validate = lambda: seen.append(weights(run.model)) or Evaluation({}, {}, 0.0)
    run.trainer.run()
    assert not torch.equal(seen[0]["decoder.weight"], run.model.decoder.weight)
    saved = torch.load(latest_checkpoint(run.folder) / "model.pt", weights_only=True)
    assert_same(seen[0], saved)
