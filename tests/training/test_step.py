import pytest
import torch
from tiny_run import TinyModel, make_feed

from speechcli.errors import OutOfMemory, TrainingDiverged
from speechcli.training.merge import merge_options
from speechcli.training.state import latest_checkpoint, load_checkpoint
from speechcli.training.step import cut


def options(**explicit):
    defaults = {
        "objective.ctc_weight": 0.3,
        "optimizer.learning_rate": 0.05,
        "optimizer.warmup_steps": 2,
        "run.max_steps": 3,
        "run.device": "cpu",
        "run.dtype": "float32",
    }
    return merge_options(explicit=defaults | {key.replace("__", "."): value for key, value in explicit.items()}).options


class Small(TinyModel):
    """A model on a device that has room for a few recordings only."""

    def __init__(self, room):
        super().__init__(dropout=0.0)
        self.room = room
        self.heard = []

    def forward(self, inputs, *rest):
        self.heard.append(len(inputs))
        if len(inputs) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(inputs, *rest)


def test_a_step_that_does_not_fit_into_memory_is_split_with_the_same_result(start_run, tmp_path):
    large, small = TinyModel(0.0), Small(room=1)
    start_run(options(), model=large, folder=tmp_path / "large").trainer.run()
    run = start_run(options(), model=small, folder=tmp_path / "small")
    run.trainer.run()
    assert small.heard[:4] == [3, 2, 1, 1]
    assert set(small.heard[4:]) == {1}
    assert run.trainer.progress.pieces == 4
    for name, tensor in large.state_dict().items():
        torch.testing.assert_close(small.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)


def test_a_recording_that_does_not_fit_alone_ends_the_run(start_run):
    with pytest.raises(OutOfMemory, match="single recordings") as caught:
        start_run(options(), model=Small(room=0)).trainer.run()
    assert caught.value.exit_code == 7


def test_a_batch_is_cut_with_the_texts_of_its_recordings():
    batch = next(iter(make_feed()))
    batch.rows = torch.tensor([0, 0, 2])
    pieces = cut(batch, 2)
    assert [len(piece) for piece in pieces] == [2, 1]
    assert [piece.rows.tolist() for piece in pieces] == [[0, 0], [0]]
    assert torch.equal(torch.cat([piece.labels for piece in pieces]), batch.labels)
    assert torch.equal(pieces[1].ctc_labels, batch.ctc_labels[2:])
    assert cut(batch, 1) == [batch]
    assert len(cut(batch, 8)) == 3


def test_float16_scales_the_loss_and_updates_weights_like_float32(start_run, tmp_path):
    full = start_run(options(), model=TinyModel(0.0), folder=tmp_path / "full")
    half = start_run(options(run__dtype="float16"), model=TinyModel(0.0), folder=tmp_path / "half")
    full.trainer.run()
    half.trainer.run()
    assert half.trainer.progress.scaler["scale"] == 2.0**16
    assert half.trainer.progress.skipped == 0
    for name, tensor in full.model.state_dict().items():
        torch.testing.assert_close(half.model.state_dict()[name], tensor, rtol=0, atol=0.02)


def test_a_gradient_that_overflows_float16_halves_the_scale_and_the_run_resumes_with_it(start_run):
    class Steep(TinyModel):
        def forward(self, *inputs):
            output = super().forward(*inputs)
            return output._replace(logits=1e36 * (output.logits * 1e-36))

    run = start_run(options(run__dtype="float16"), model=Steep(0.0))
    run.trainer.run()
    assert run.trainer.progress.skipped > 0
    scale = run.trainer.progress.scaler["scale"]
    assert scale == 2.0 ** (16 - run.trainer.progress.skipped)
    state = load_checkpoint(latest_checkpoint(run.folder))
    again = start_run(options(run__dtype="float16", run__max_steps=4), model=Steep(0.0))
    again.trainer.run(state)
    assert again.trainer.progress.scaler["scale"] in (scale, scale / 2)


def test_a_loss_that_is_never_finite_ends_a_float16_run_too(start_run):
    class Broken(TinyModel):
        def forward(self, *inputs):
            output = super().forward(*inputs)
            return output._replace(logits=output.logits * float("nan"))

    with pytest.raises(TrainingDiverged):
        start_run(options(run__dtype="float16", run__max_steps=50), model=Broken()).trainer.run()
