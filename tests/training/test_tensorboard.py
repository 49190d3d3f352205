import errno
import sys

import pytest

from speechcli.errors import OutputError, UsageError
from speechcli.pipelines.training_run.tensorboard import TensorBoard
from speechcli.training.events import Evaluated, Sample, Stepped


def test_curves_and_examples_are_read_back_by_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    told = []
    log = TensorBoard(tmp_path, told.append)
    log(Stepped(10, 0.5, {"cross_entropy": 2.5}, 1e-3, 0.7, 30.0, 1.0, 0.1, 0))
    log(Evaluated(10, {"cross_entropy": 2.0}, {"en->es": {"bleu": 12.0}}, 12.0, True, (Sample("a", "es", "sí", "no"),)))
    assert len(told) == 2
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    numbers = {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    assert numbers["training/cross_entropy"] == [(10, 2.5)]
    assert numbers["dev/cross_entropy"] == [(10, 2.0)]
    assert numbers["en-es/bleu"] == [(10, 12.0)]
    assert numbers["run/audio_rate"] == [(10, 30.0)]
    assert "a es/text_summary" in found.Tags()["tensors"]


def test_steps_repeated_after_an_interruption_are_shown_once(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, loss in ((0, 2.0), (2, 1.0)):
        log = TensorBoard(tmp_path, lambda event: None, start)
        for step in range(start + 1, 5):
            log(Stepped(step, 0.5, {"cross_entropy": loss}, 1e-3, 0.7, 30.0, 1.0, 0.1, 0))
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    shown = [(event.step, event.value) for event in found.Scalars("training/cross_entropy")]
    assert shown == [(1, 2.0), (2, 2.0), (3, 1.0), (4, 1.0)]


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    log = TensorBoard(tmp_path, lambda event: None)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(log._writer, "add_scalar", full)
    with pytest.raises(OutputError, match="cannot be written: No space left"):
        log(Stepped(1, 0.5, {"cross_entropy": 2.5}, 1e-3, 0.7, 30.0, 1.0, 0.1, 0))


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError) as caught:
        TensorBoard(tmp_path, lambda event: None)
    assert "speechcli[tensorboard]" in caught.value.hint
