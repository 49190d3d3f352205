"""Model folders: reading, refusals, and atomic saving."""

import errno
import json
import math
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from speechcli.checkpoints import folder as folders
from speechcli.checkpoints.folder import (
    read_config,
    read_json,
    read_optional_json,
    read_weights,
    write_json,
    write_tensors,
    write_weights,
    writing,
)
from speechcli.errors import ModelError, OutputError


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {"a.weight": torch.randn(4, 3), "a.bias": torch.randn(4), "n": torch.tensor(7), "h": torch.ones(2).half()}


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    assert all(torch.equal(left[key], right[key]) and left[key].dtype == right[key].dtype for key in left)


def write_index(folder: Path, weight_map: dict[str, str], name: str = "model.safetensors.index.json") -> None:
    (folder / name).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_a_json_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    value = {"b": [1, {"c": None}], "a": "ü", "x": 1e-5, "big": math.inf, "neg": -math.inf}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value
    assert '"__float__": "Infinity"' in (tmp_path / "x.json").read_text()


@pytest.mark.parametrize("text", [b"{", b"", b"\xff\xfe{}", b"[1]", b'"x"'])
def test_a_file_that_is_not_a_json_object_is_refused_with_its_name(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(ModelError, match=r"config\.json must"):
        read_config(tmp_path)


def test_an_optional_json_file_may_be_absent(tmp_path: Path) -> None:
    assert read_optional_json(tmp_path / "generation_config.json") is None


def test_the_error_for_a_folder_without_config_lists_its_files(tmp_path: Path) -> None:
    (tmp_path / "flax_model.msgpack").touch()
    with pytest.raises(ModelError, match=r"contains no config\.json.*flax_model\.msgpack"):
        read_config(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not there"):
        read_config(tmp_path / "nowhere")


def test_the_error_for_a_folder_without_weights_lists_the_possible_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"looked for model\.safetensors, .*pytorch_model\.bin.*; it contains nothing"):
        read_weights(tmp_path)


def test_weights_are_written_and_read_bit_for_bit(tmp_path: Path) -> None:
    write_weights(tmp_path, tensors())
    assert_same(read_weights(tmp_path), tensors())


def test_written_weights_have_the_format_of_torch(tmp_path: Path) -> None:
    write_weights(tmp_path, tensors())
    header = (tmp_path / "model.safetensors").read_bytes()[8:200]
    assert b'"__metadata__":{"format":"pt"}' in header


def test_large_weights_are_written_in_shards_with_an_index(tmp_path: Path) -> None:
    write_weights(tmp_path, tensors(), max_shard_bytes=50)
    assert not (tmp_path / "model.safetensors").exists()
    index = read_json(tmp_path / "model.safetensors.index.json")
    assert index["metadata"]["total_size"] == 4 * 3 * 4 + 4 * 4 + 8 + 4
    assert sorted(set(index["weight_map"].values())) == [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    assert_same(read_weights(tmp_path), tensors())


@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_of_all_torch_versions_are_read(tmp_path: Path, zipped: bool) -> None:
    torch.save(tensors(), tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert_same(read_weights(tmp_path), tensors())


def test_sharded_pickles_are_read(tmp_path: Path) -> None:
    whole = tensors()
    torch.save({"n": whole.pop("n")}, tmp_path / "pytorch_model-1.bin")
    torch.save(whole, tmp_path / "pytorch_model-2.bin")
    names = {key: f"pytorch_model-{1 if key == 'n' else 2}.bin" for key in tensors()}
    write_index(tmp_path, names, "pytorch_model.bin.index.json")
    assert_same(read_weights(tmp_path), tensors())


def test_safetensors_win_over_a_pickle(tmp_path: Path) -> None:
    save_file({"x": torch.ones(1)}, tmp_path / "model.safetensors")
    torch.save({"x": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    assert read_weights(tmp_path)["x"] == 1


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_executed(tmp_path: Path, zipped: bool) -> None:
    proof = tmp_path / "executed"
    torch.save({"x": Evil(proof)}, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match="was not executed"):
        read_weights(tmp_path)
    assert not proof.exists()


def test_a_pickle_without_named_tensors_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="tensors by name"):
        read_weights(tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 40, -3])
def test_a_truncated_safetensors_file_is_one_sentence(tmp_path: Path, keep: int) -> None:
    write_weights(tmp_path, tensors())
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match="not a complete safetensors file") as caught:
        read_weights(tmp_path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_git_lfs_pointer_is_recognized(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ModelError) as caught:
        read_weights(tmp_path)
    assert caught.value.hint is not None and "git lfs pull" in caught.value.hint


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "..", "", "a/b.safetensors", "a\\b", "c:x"])
def test_an_index_may_not_name_files_elsewhere(tmp_path: Path, name: str) -> None:
    home = tmp_path / "model"
    home.mkdir()
    save_file({"x": torch.ones(1)}, tmp_path / "x.safetensors")
    write_index(home, {"x": name})
    with pytest.raises(ModelError, match="must name files of that folder"):
        read_weights(home)


def test_an_index_may_not_name_a_link_that_leaves_the_folder(tmp_path: Path) -> None:
    home = tmp_path / "model"
    home.mkdir()
    save_file({"x": torch.ones(1)}, tmp_path / "x.safetensors")
    (home / "x.safetensors").symlink_to(tmp_path / "x.safetensors")
    write_index(home, {"x": "x.safetensors"})
    with pytest.raises(ModelError, match="must name files of that folder"):
        read_weights(home)


def test_the_links_of_the_download_cache_are_followed(tmp_path: Path) -> None:
    home = tmp_path / "snapshots" / "c0ffee"
    home.mkdir(parents=True)
    (tmp_path / "blobs").mkdir()
    save_file({"x": torch.ones(1)}, tmp_path / "blobs" / "hash")
    (home / "x.safetensors").symlink_to("../../blobs/hash")
    write_index(home, {"x": "x.safetensors"})
    assert read_weights(home)["x"] == 1


def test_every_missing_shard_is_named(tmp_path: Path) -> None:
    save_file({"x": torch.ones(1)}, tmp_path / "1.safetensors")
    write_index(tmp_path, {"x": "1.safetensors", "y": "2.safetensors", "z": "3.safetensors"})
    with pytest.raises(ModelError, match=r"lacks 2 of the 3 weight files: 2\.safetensors, 3\.safetensors"):
        read_weights(tmp_path)


def test_a_tensor_of_the_index_that_its_file_lacks_is_named(tmp_path: Path) -> None:
    save_file({"x": torch.ones(1)}, tmp_path / "1.safetensors")
    write_index(tmp_path, {"x": "1.safetensors", "y": "1.safetensors"})
    with pytest.raises(ModelError, match="lack: y"):
        read_weights(tmp_path)


def test_an_index_without_a_weight_map_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(ModelError, match="weight_map"):
        read_weights(tmp_path)


def test_a_new_folder_appears_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model"
    with writing(target) as stage:
        (stage / "config.json").write_text("{}")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["config.json"]
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def test_a_failed_save_leaves_an_old_folder_as_it_was(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"old": True})
    with pytest.raises(ZeroDivisionError), writing(tmp_path) as stage:
        write_json(stage / "config.json", {"old": False})
        raise ZeroDivisionError
    assert read_config(tmp_path) == {"old": True}
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_saving_again_removes_the_weights_of_before_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with writing(target) as stage:
        write_weights(stage, tensors(), max_shard_bytes=50)
        write_tensors(stage / "ctc_head.safetensors", {"weight": torch.ones(1)})
    (target / "README.md").touch()
    with writing(target) as stage:
        write_weights(stage, {"x": torch.ones(1)})
    assert sorted(path.name for path in target.iterdir()) == ["README.md", "model.safetensors"]
    assert read_weights(target).keys() == {"x"}


def test_a_model_may_be_saved_over_the_folder_it_was_mapped_from(tmp_path: Path) -> None:
    write_weights(tmp_path, tensors())
    mapped = read_weights(tmp_path)
    with writing(tmp_path) as stage:
        write_weights(stage, mapped)
    assert_same(load_file(tmp_path / "model.safetensors"), tensors())


def test_a_changed_tensor_does_not_change_the_file_it_was_mapped_from(tmp_path: Path) -> None:
    write_weights(tmp_path, tensors())
    read_weights(tmp_path)["a.bias"].zero_()
    assert_same(read_weights(tmp_path), tensors())


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folders, "_flush", full)
    with pytest.raises(OutputError, match="No space left") as caught, writing(tmp_path / "model") as stage:
        write_weights(stage, tensors())
    assert caught.value.exit_code == 8 and caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_weights_file_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"model\.safetensors cannot be written"):
        write_weights(tmp_path / "nowhere", tensors())


def test_a_target_below_a_file_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError), writing(tmp_path / "file" / "model"):
        pass


def test_weights_have_the_permissions_of_other_files(tmp_path):
    (tmp_path / "plain").touch()
    write_tensors(tmp_path / "model.safetensors", {"a": torch.zeros(2)})
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_folder_of_a_run_names_the_model_inside(tmp_path: Path) -> None:
    for name in ("last", "best"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="contains no config.json") as caught:
        read_config(tmp_path)
    assert caught.value.hint == f"Did you mean {tmp_path / 'best'}?"
