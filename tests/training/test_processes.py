"""Two processes, as torchrun starts them, train one model."""

import itertools
import json
import os
import signal
import socket
from types import SimpleNamespace

import pytest
import torch
from accelerate.state import AcceleratorState
from forks import needs_fork, start, wait
from tiny_run import Letters, TinyModel, make_feed, sound

from speechcli.errors import InputError, UsageError
from speechcli.training import loop
from speechcli.training.events import Stepped, Warned
from speechcli.training.learner import Learner
from speechcli.training.loop import Evaluation
from speechcli.training.merge import merge_options
from speechcli.training.state import latest_checkpoint, load_checkpoint

pytestmark = [needs_fork, pytest.mark.usefixtures("copied")]

SETTINGS = {
    "objective.ctc_weight": 0.3,
    "optimizer.learning_rate": 0.01,
    "optimizer.warmup_steps": 5,
    "run.max_steps": 6,
    "run.save_every": 100,
    "run.log_every": 1,
    "run.device": "cpu",
    "run.dtype": "float32",
}


@pytest.fixture
def run(start_run, tmp_path):
    """Return a function that starts or resumes a run in a folder, and returns the losses of every step."""

    def trained(name, *, stop_at=None, model=None, read=sound, validate=None, shuffle=True, **more):
        options = merge_options(explicit=SETTINGS | {key.replace("__", "."): more[key] for key in more}).options
        share = {"rank": int(os.environ.get("RANK", 0)), "world_size": int(os.environ.get("WORLD_SIZE", 1))}
        feed = make_feed(count=24, read=read, shuffle=shuffle, **share)
        found = start_run(options, model=model or TinyModel(0.1), feed=feed, folder=tmp_path / name, validate=validate)
        state = None
        if (tmp_path / name / "checkpoints").is_dir():
            checkpoint = latest_checkpoint(tmp_path / name)
            found.model.load_state_dict(torch.load(checkpoint / "model.pt", weights_only=True))
            state = load_checkpoint(checkpoint)
        if stop_at is not None:
            found.trainer._step = killing(found.trainer, stop_at)
        found.trainer.run(state)
        told = [event.message for event in found.events if isinstance(event, Warned)]
        steps = [(e.step, e.losses, e.gradient_norm, e.learning_rate) for e in found.events if isinstance(e, Stepped)]
        rate = found.trainer.learner.optimizer.param_groups[0]["lr"]
        progress = found.trainer.progress
        return {"steps": steps, "told": told, "rate": rate, "progress": progress.step, "skipped": progress.skipped}

    return trained


def killing(trainer, number):
    """Return a trainer's step that ends the process after the step with this number."""
    step = trainer._step

    def stepping(batches):
        step(batches)
        if trainer.progress.step == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return stepping


@pytest.fixture
def together(run, tmp_path):
    """Return a function that does the same in two processes, and returns their results."""

    def trained(name, *, codes=(0, 0), **settings):
        port = free_port()

        def process(rank):
            world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            # As set by torchrun; Accelerate warns if it is unset.
            os.environ.update({key: str(value) for key, value in (world | {"OMP_NUM_THREADS": 1}).items()})
            AcceleratorState._reset_state(reset_partial_state=True)
            (tmp_path / f"{rank}.json").write_text(json.dumps(run(name, **settings)))

        children = [start(lambda rank=rank: process(rank)) for rank in range(2)]
        assert tuple(wait(child) for child in children) == codes
        return [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)] if not any(codes) else None

    return trained


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def assert_near(steps, others):
    assert len(steps) == len(others)
    for (step, losses, norm, rate), (other_step, other_losses, other_norm, other_rate) in zip(
        steps, others, strict=True
    ):
        assert (step, rate) == (other_step, pytest.approx(other_rate))
        assert losses == pytest.approx(other_losses, rel=1e-5)
        assert norm == pytest.approx(other_norm, rel=1e-4)


def test_two_processes_have_the_losses_of_one_with_twice_the_accumulation(run, together):
    alone = run("one", model=TinyModel(0.0), shuffle=False, batch__accumulation=2)
    two = together("two", model=TinyModel(0.0), shuffle=False)
    assert_near(two[0]["steps"], alone["steps"])


def test_sixty_steps_of_two_have_the_same_losses_as_twenty_then_kill_9_of_both_then_forty(together):
    settings = {"run__max_steps": 60, "run__save_every": 20, "run__ema_decay": 0.9}
    straight = together("straight", **settings)
    together("killed", codes=(-signal.SIGKILL, -signal.SIGKILL), stop_at=27, **settings)
    rest = together("killed", **settings)
    assert rest[0]["steps"] == straight[0]["steps"][20:]
    assert len(rest[0]["steps"]) == 40


def test_sharded_weights_are_trained_like_replicated_ones(together):
    copies = together("copies", model=TinyModel(0.1), batch__accumulation=2)
    parts = together("parts", model=TinyModel(0.1), batch__accumulation=2, run__shard_weights=True)
    assert_near(parts[0]["steps"], copies[0]["steps"])


def test_weights_that_are_shared_out_resume_with_the_same_bits_and_are_saved_whole(together, tmp_path):
    settings = {"run__max_steps": 8, "run__save_every": 4, "run__ema_decay": 0.9, "run__shard_weights": True}
    straight = together("straight", **settings)
    together("killed", codes=(-signal.SIGKILL, -signal.SIGKILL), stop_at=6, **settings)
    rest = together("killed", **settings)
    assert rest[0]["steps"] == straight[0]["steps"][4:]
    saved = [latest_checkpoint(tmp_path / name) / "model.pt" for name in ("straight", "killed")]
    ours, theirs = (torch.load(path, weights_only=True) for path in saved)
    assert ours.keys() == TinyModel().state_dict().keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("more", [{"run.dtype": "float16"}, {"model.freeze_encoder_steps": 2}])
def test_weights_are_not_shared_out_where_that_does_not_work(more):
    options = merge_options(explicit={"run.shard_weights": True} | more).options
    with pytest.raises(UsageError, match=next(iter(more))):
        Learner(TinyModel(), options, SimpleNamespace(num_processes=2))


def test_a_step_whose_loss_is_infinite_in_the_second_process_only_is_skipped_by_both(together):
    class Sure(TinyModel):
        def forward(self, *inputs):
            output = super().forward(*inputs)
            if os.environ["RANK"] == "0":
                return output
            # the end of a text cannot be predicted: an infinite loss with finite gradients
            return output._replace(logits=output.logits.index_fill(-1, torch.tensor([Letters.end_id]), -torch.inf))

    two = together("two", model=Sure(0.0), run__max_steps=2)
    assert [each["skipped"] for each in two] == [2, 2]


def test_a_recording_that_only_the_second_process_cannot_read_is_reported_by_the_first(together):
    def half(utterance):
        if utterance.id in ("3", "4"):
            raise InputError(f"`{utterance.id}.wav` is empty.")
        return sound(utterance)

    two = together("two", read=half, run__max_steps=12)
    assert sorted(two[0]["told"]) == ["3 is left out: `3.wav` is empty.", "4 is left out: `4.wav` is empty."]


def test_both_learn_at_the_same_rate_when_their_clocks_differ(together, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(loop, "now", lambda: next(ticks) * (1 + int(os.environ["RANK"])))
    one, other = together("two", run__max_steps=0, run__max_minutes=0.5)
    assert one["progress"] == other["progress"] > 1
    assert one["rate"] == other["rate"]


def test_both_processes_score_the_dev_recordings_and_know_the_best_step(together):
    scores = iter([3.0, 2.0, 1.0])
    two = together(
        "two", validate=lambda: Evaluation({}, {}, next(scores)), run__eval_every=1, run__patience=2, run__max_steps=50
    )
    assert [each["progress"] for each in two] == [3, 3]
