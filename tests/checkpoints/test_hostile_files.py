"""Damaged and hostile model folders: each is reported in one sentence, and no content of a file is executed."""

import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file

from speechcli.checkpoints.bundle import load
from speechcli.checkpoints.bundle import save as save_bundle
from speechcli.checkpoints.folder import read_weights
from speechcli.checkpoints.tensors import read_tensors
from speechcli.errors import ModelError

from .tiny_models import write_model

Header = dict[str, Any]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "good", "wav2vec2", "bart")


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    for path in good.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def refused(folder: Path, words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        load(folder)
    assert "\n" not in caught.value.message and caught.value.exit_code == 3


def change_json(path: Path, change: Callable[[Header], Any]) -> None:
    value = json.loads(path.read_text())
    path.write_text(json.dumps(change(value) or value))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def write_header(path: Path, header: Header | bytes, data: bytes = bytes(48)) -> None:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)


def entry(start: int = 0, end: int = 24, shape: object = (2, 3), dtype: object = "F32") -> Header:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("part", "key", "value", "words"),
    [
        (None, "encoder", None, "configuration of the speech encoder must be a JSON object, but is None"),
        (None, "decoder", [1], "configuration of the text decoder must be a JSON object"),
        (None, "model_type", 3, "`model_type` is 3"),
        (None, "pad_token_id", "x", "`pad_token_id` must be the id of a token, but is 'x'"),
        ("encoder", "hidden_size", "16", "`hidden_size` of a wav2vec2 configuration must be int, but is '16'"),
        ("encoder", "hidden_size", None, "`hidden_size` .* must be int, but is None"),
        ("encoder", "hidden_size", -16, "`hidden_size` .* must be at least 1, but is -16"),
        ("encoder", "hidden_size", 10**15, "`hidden_size` .* must be from 1 to 2147483648"),
        ("decoder", "max_position_embeddings", 2**70, "`max_position_embeddings` .* must be from 1 to 2147483648"),
        ("encoder", "num_hidden_layers", 10**9, "`num_hidden_layers` .* but is 1000000000"),
        ("encoder", "conv_stride", [5, 2**70], "`conv_stride` .* must be from 1 to 2147483648, but is "),
        ("encoder", "num_attention_heads", 0, "`num_attention_heads` .* must be at least 1, but is 0"),
        ("encoder", "conv_kernel", [8, 0, 8], "`conv_kernel` .* must be at least 1"),
        ("encoder", "conv_dim", [8, "x"], r"`conv_dim` .* must be tuple\[int, ...\]"),
        ("encoder", "hidden_dropout", 1.5, "`hidden_dropout` .* must be from 0 to 1, but is 1.5"),
        ("encoder", "hidden_act", "exec", "activation must be one of"),
        ("decoder", "d_model", {"a": 1}, "`d_model` .* must be int"),
        ("decoder", "d_model", 24, "do not fit the configuration: .* misshapen"),
        ("decoder", "pad_token_id", 1.5, "must be int | None"),
        ("decoder", "pad_token_id", [0], r"`pad_token_id` of a bart configuration must be int \| None, but is"),
    ],
)
def test_a_value_of_the_wrong_kind_in_the_configuration_is_named(folder, part, key, value, words) -> None:
    change_json(folder / "config.json", lambda config: (config[part] if part else config).update({key: value}))
    refused(folder, words)


def test_null_is_false_for_a_switch(folder: Path) -> None:
    change_json(folder / "config.json", lambda config: config["encoder"].update(conv_bias=None, add_adapter=0))
    assert load(folder).config.encoder.to_dict()["conv_bias"] is None


@pytest.mark.parametrize(
    "name", ["config.json", "generation_config.json", "preprocessor_config.json", "tokenizer_config.json"]
)
@pytest.mark.parametrize("content", ["{", "[1]", "7", "[" * 100_000])
def test_a_damaged_file_beside_the_weights_is_named(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    refused(folder, name)


def test_a_decoder_may_name_several_tokens_that_end_a_text(folder: Path) -> None:
    change_json(folder / "config.json", lambda config: config["decoder"].update(eos_token_id=[2, 3]))
    assert load(folder).config.decoder.to_dict()["eos_token_id"] == [2, 3]


def test_weights_that_are_not_numbers_are_refused(folder: Path) -> None:
    change_weights(folder, lambda tensors: [tensor.fill_(torch.nan) for tensor in tensors.values()])
    refused(folder, "must be numbers, but .* tensors contain NaN")


def test_a_single_nan_is_found(folder: Path) -> None:
    change_weights(folder, lambda tensors: tensors["enc_to_dec_proj.weight"][3].fill_(torch.nan))
    refused(folder, r"1 of \d+ tensors contain NaN \(projection.weight\)")


def test_large_finite_numbers_are_no_nan(folder: Path) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["enc_to_dec_proj.weight"] = torch.full((12, 16), 6e4, dtype=torch.float16)
        tensors["enc_to_dec_proj.bias"] = torch.tensor([torch.inf, -torch.inf] * 6)

    change_weights(folder, change)
    assert load(folder).model.projection is not None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_read(folder: Path, dtype: torch.dtype) -> None:
    before = load(folder).model.state_dict()
    tensors = load_file(folder / "model.safetensors")
    save_file({key: tensor.to(dtype) for key, tensor in tensors.items()}, folder / "model.safetensors")
    after = load(folder).model.state_dict()
    assert all(torch.equal(before[key].to(dtype).float(), after[key]) for key in before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_unchanged_weights_in_half_precision_are_saved_bit_for_bit(
    folder: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    halves = {key: tensor.to(dtype) for key, tensor in load_file(folder / "model.safetensors").items()}
    save_file(halves, folder / "model.safetensors")
    save_bundle(load(folder), tmp_path / "again")
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert again.keys() == halves.keys()
    assert all(again[key].dtype == dtype and torch.equal(again[key], halves[key]) for key in halves)
    assert f'"dtype": "{str(dtype).removeprefix("torch.")}"' in (tmp_path / "again" / "config.json").read_text()


def test_changed_weights_in_half_precision_are_saved_in_float32(folder: Path, tmp_path: Path) -> None:
    change_weights(folder, lambda tensors: tensors.update({key: tensor.half() for key, tensor in tensors.items()}))
    bundle = load(folder)
    with torch.no_grad():
        next(bundle.model.parameters()).add_(1e-6)
    save_bundle(bundle, tmp_path / "again")
    again = load_file(tmp_path / "again" / "model.safetensors")
    assert {tensor.dtype for tensor in again.values()} == {torch.float32}
    after = load(tmp_path / "again").model.state_dict()
    assert all(torch.equal(after[key], tensor) for key, tensor in bundle.model.state_dict().items())


def test_a_tied_head_may_be_in_the_file_once_or_twice(folder: Path) -> None:
    name = "decoder.lm_head.weight"
    once = load(folder)
    change_weights(folder, lambda tensors: tensors.update({name: tensors[_EMBEDDINGS].clone()}))
    twice = load(folder)
    change_weights(folder, lambda tensors: tensors.pop(_EMBEDDINGS))
    head_only = load(folder)
    for bundle in (once, twice, head_only):
        assert bundle.model.decoder.head.weight is bundle.model.decoder.tokens.weight
        assert torch.equal(bundle.model.decoder.head.weight, once.model.decoder.head.weight)


_EMBEDDINGS = "decoder.model.decoder.embed_tokens.weight"


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry(), "b": entry()},  # both at one place
        {"a": entry(0, 24), "b": entry(20, 44)},
        {"a": entry(24, 48)},  # a hole before it
        {"a": entry(0, 24)},  # bytes after it
        {"a": entry(0, 48, shape=[2, 3])},
        {"a": entry(0, 4800, shape=[2, 600])},
        {"a": entry(0, 48, shape=[-2, -6])},
        {"a": entry(0, 48, shape=[2**62, 4])},
        {"a": entry(0, 48, shape=[1.5])},
        {"a": entry(0, 48, shape=[12], dtype="F33")},
        {"a": entry(48, 0, shape=[12])},
        {"a": entry(0, 48, shape="x")},
        {"a": {"dtype": "F32"}},
        {"a": None},
        {"__metadata__": {"format": 3}},
        [1],
        b'{"a": ' + json.dumps(entry(0, 48, [12])).encode() + b', "a": ' + json.dumps(entry(0, 24)).encode() + b"}",
        b"{" * 5000,
        b"\xff\xfe",
        b"",
    ],
    ids=repr,
)
def test_a_hostile_header_is_refused(tmp_path: Path, header: Header | bytes) -> None:
    write_header(tmp_path / "model.safetensors", header)
    with pytest.raises(ModelError, match="not a complete safetensors file") as caught:
        read_weights(tmp_path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("size", [100 * 1000**2 + 1, 2**40, 2**63, 2**64 - 1])
def test_a_header_larger_than_any_model_needs_is_not_read(tmp_path: Path, size: int) -> None:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", size))
        file.truncate(min(size, 2**28) + 8)  # a sparse file: no byte of it is on the disk
    with pytest.raises(ModelError, match="not a complete safetensors file"):
        read_weights(tmp_path)


GOOD = save({"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3, dtype=torch.int64)}, {"format": "pt"})


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_mutated_safetensors_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    content = bytearray(GOOD)
    (length,) = struct.unpack("<Q", content[:8])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, length + 7))
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 8))
    path = tmp_path_factory.getbasetemp() / "mutated.safetensors"
    path.write_bytes(content[: len(content) - cut])
    try:
        tensors = read_tensors(path)
    except ModelError as error:
        assert "\n" not in error.message
    else:
        assert sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) <= len(content)


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("place", ["value", "key", "beside", "metadata"])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_never_run(tmp_path: Path, place: str, zipped: bool) -> None:
    canary = Canary(tmp_path / "ran")
    tensors: Any = {"a": torch.ones(2)}
    if place == "metadata":
        tensors = torch.nn.Linear(2, 2).state_dict()
        tensors._metadata["code"] = canary
    elif place == "key":
        tensors[canary] = torch.ones(1)
    else:
        tensors["b"] = canary if place == "value" else [canary]
    torch.save(tensors, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match="not executed"):
        read_weights(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "value",
    [
        torch.eye(3).to_sparse(),
        torch.empty(2, device="meta"),
        {"b": torch.ones(1)},
        "text",
    ],
    ids=["sparse", "meta", "nested", "text"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_pickle_that_is_not_a_dict_of_plain_tensors_is_refused(tmp_path: Path, value: object) -> None:
    torch.save({"a": value}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="must contain tensors by name|not executed"):
        read_weights(tmp_path)


def test_a_compressed_archive_is_not_decompressed(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(10)}, tmp_path / "plain.bin")
    with (
        zipfile.ZipFile(tmp_path / "plain.bin") as plain,
        zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name) + (bytes(10**6) if name.endswith("data.pkl") else b""))
    with pytest.raises(ModelError, match="not executed"):
        read_weights(tmp_path)


@pytest.mark.parametrize("keep", [0, 1, 4, 100, -30])
def test_a_truncated_pickle_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match="damaged"):
        read_weights(tmp_path)


UNREADABLE = Path("/proc/self/mem")


@pytest.mark.skipif(not UNREADABLE.exists(), reason="Linux has a file that opens but cannot be read.")
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "flax_model.msgpack"])
def test_a_file_that_opens_but_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(UNREADABLE)
    with pytest.raises(ModelError, match=name) as caught:
        read_weights(tmp_path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("weight_map", [[], "x", {"a": 1}, {"a": ["model.safetensors"]}, None])
def test_an_index_of_the_wrong_kind_is_refused(tmp_path: Path, weight_map: object) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ModelError, match="must name a file for each tensor"):
        read_weights(tmp_path)


def test_a_tensor_in_two_shards_is_taken_from_the_file_that_the_index_names(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "1.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "2.safetensors")
    index = {"weight_map": {"a": "2.safetensors", "b": "1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert read_weights(tmp_path)["a"] == 1


def test_a_shard_that_is_not_a_weight_file_is_not_opened_as_one(tmp_path: Path) -> None:
    torch.save({"a": Canary(tmp_path / "ran")}, tmp_path / "evil.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "evil.safetensors"}}')
    with pytest.raises(ModelError, match="not a complete safetensors file"):
        read_weights(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["bert.embeddings.position_ids", "bert.embeddings.token_type_ids"])
def test_inert_buffers_of_old_versions_are_ignored(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path, "wav2vec2", "bert")
    before = load(folder).model.state_dict()
    change_weights(folder, lambda tensors: tensors.update({f"decoder.{name}": torch.arange(40)[None]}))
    assert load(folder).model.state_dict().keys() == before.keys()
