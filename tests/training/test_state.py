import json
import os

import pytest
import torch

from speechcli.errors import InputError, ModelError, OutputError
from speechcli.training.state import (
    TrainState,
    checkpoint_folder,
    checkpoints,
    latest_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    publish,
    save_checkpoint,
    verify_checkpoint,
)

STATE = TrainState({"step": 3}, {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1}]}, None)


def write(folder, text="weights"):
    save_checkpoint(folder, lambda target: (target / "model.txt").write_text(text), STATE)


def test_a_saved_state_is_read_back(tmp_path):
    folder = checkpoint_folder(tmp_path, 3)
    write(folder)
    state = load_checkpoint(folder)
    assert state.progress == {"step": 3}
    assert state.optimizer["state"][0]["step"] == 3.0
    assert state.optimizer["param_groups"] == [{"lr": 0.1}]


def test_a_failed_save_keeps_the_previous_checkpoint(tmp_path):
    folder = checkpoint_folder(tmp_path, 3)
    write(folder, "old")

    def fail(target):
        (target / "model.txt").write_text("new")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(folder, fail, STATE)
    assert (folder / "model.txt").read_text() == "old"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_save_that_is_killed_is_not_taken_for_a_checkpoint(tmp_path):
    write(checkpoint_folder(tmp_path, 3))
    killed = checkpoint_folder(tmp_path, 6).with_name(".step-00000006.writing")
    killed.mkdir()
    (killed / "model.txt").write_text("half")
    unmarked = checkpoint_folder(tmp_path, 9)
    unmarked.mkdir()
    assert latest_checkpoint(tmp_path) == checkpoint_folder(tmp_path, 3)
    with pytest.raises(ModelError, match="not written completely"):
        verify_checkpoint(unmarked)


@pytest.mark.parametrize("name", ["model.txt", "training/optimizer.safetensors", "COMPLETE"])
def test_a_damaged_file_is_named(tmp_path, name):
    folder = checkpoint_folder(tmp_path, 3)
    write(folder)
    content = bytearray((folder / name).read_bytes())
    content[0] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        verify_checkpoint(folder)


def test_a_damaged_checkpoint_is_skipped_for_the_one_before_it(tmp_path):
    older, newer = checkpoint_folder(tmp_path, 3), checkpoint_folder(tmp_path, 6)
    write(older)
    write(newer)
    (newer / "model.txt").write_text("weight5")
    assert latest_checkpoint(tmp_path) == older
    (older / "model.txt").unlink()
    with pytest.raises(ModelError, match="step-00000006 is damaged: model.txt"):
        latest_checkpoint(tmp_path)


def test_pruning_keeps_the_best_and_the_newest_and_only_the_newest_has_state(tmp_path):
    folders = [checkpoint_folder(tmp_path, step) for step in (2, 4, 6, 8)]
    for folder in folders:
        write(folder)
    (tmp_path / "checkpoints" / ".step-00000006.writing").mkdir()
    (folders[0].with_name("step-00000001")).mkdir()
    prune_checkpoints(tmp_path, keep={folders[0]}, newest=2)
    assert checkpoints(tmp_path) == [folders[0], folders[2], folders[3]]
    assert [(folder / "training").is_dir() for folder in checkpoints(tmp_path)] == [False, False, True]
    for folder in checkpoints(tmp_path):
        verify_checkpoint(folder)
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {path.name for path in checkpoints(tmp_path)}
    with pytest.raises(ModelError, match="only the model"):
        load_checkpoint(folders[0])
    assert latest_checkpoint(tmp_path) == folders[3]


def test_a_published_model_has_no_training_state_and_outlives_its_checkpoint(tmp_path):
    folder = checkpoint_folder(tmp_path, 3)
    write(folder, "first")
    publish(folder, tmp_path / "best", {})
    write(checkpoint_folder(tmp_path, 6), "second")
    prune_checkpoints(tmp_path, keep=set(), newest=1)
    assert {path.name: path.read_text() for path in (tmp_path / "best").iterdir()} == {"model.txt": "first"}
    publish(checkpoint_folder(tmp_path, 6), tmp_path / "best", {"README.md": "# best"})
    assert (tmp_path / "best" / "model.txt").read_text() == "second"
    assert (tmp_path / "best" / "README.md").read_text() == "# best"


def test_a_run_without_checkpoints_cannot_be_resumed(tmp_path):
    with pytest.raises(InputError, match="has none"):
        latest_checkpoint(tmp_path)


def test_the_marker_lists_every_file(tmp_path):
    folder = checkpoint_folder(tmp_path, 3)
    write(folder)
    listed = json.loads((folder / "COMPLETE").read_text())
    assert set(listed) == {"model.txt", "training/optimizer.safetensors", "training/state.json"}


def test_everything_is_flushed_before_the_folder_gets_its_name(tmp_path, monkeypatch):
    folder, flushed = checkpoint_folder(tmp_path, 3), set()

    def flush(descriptor):
        if not folder.exists():
            flushed.add(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("names of open files cannot be asked for")
    monkeypatch.setattr(os, "fsync", flush)
    write(folder)
    written = {path.name for path in folder.rglob("*")}
    assert written - flushed == set() and ".step-00000003.writing" in flushed


def test_a_disk_that_is_full_while_the_optimizer_is_written_is_an_output_error(tmp_path):
    resource = pytest.importorskip("resource")
    write(checkpoint_folder(tmp_path, 3))
    large = STATE._replace(optimizer={"state": {0: {"exp_avg": torch.zeros(100_000)}}, "param_groups": []})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # the largest file that may be written
    try:
        with pytest.raises(OutputError, match="File too large") as caught:
            save_checkpoint(checkpoint_folder(tmp_path, 6), lambda target: None, large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.exit_code == 8
    assert latest_checkpoint(tmp_path) == checkpoint_folder(tmp_path, 3)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000003"]
