"""flax_model.msgpack, in the layout of Flax and in that of the checkpoints that were trained with scanned layers."""

import json
from pathlib import Path

import msgpack
import pytest
import torch

from speechcli.checkpoints.bundle import load
from speechcli.checkpoints.compose import warm_start
from speechcli.checkpoints.flax import read_flax
from speechcli.errors import ModelError

from .flax_files import Arrays, flax_arrays, fused, packed, scanned, write_flax
from .tiny_models import seq2seq, write_tokenizer

STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "add_adapter": True, "num_adapter_layers": 2}
AUDIO = torch.randn(1, 900, generator=torch.Generator().manual_seed(1))
IDS = torch.tensor([[0, 5, 6, 7]])


def plain(arrays: Arrays) -> Arrays:
    return arrays


def as_the_esb_checkpoints(arrays: Arrays) -> Arrays:
    arrays = fused(
        arrays, lambda home: home in ("attention", "self_attn"), "fused_proj", ("q_proj", "k_proj", "v_proj")
    )
    arrays = fused(arrays, lambda home: home == "encoder_attn", "fused_key_value", ("k_proj", "v_proj"))
    arrays = scanned(arrays, ("encoder", "encoder", "layers"), "FlaxWav2Vec2EncoderLayers")
    return scanned(arrays, ("decoder", "model", "decoder", "layers"), "FlaxBartDecoderLayers")


@pytest.mark.parametrize(
    ("decoder", "layout"),
    [("bart", plain), ("bert", plain), ("roberta", plain), ("gpt2", plain), ("bart", as_the_esb_checkpoints)],
)
@pytest.mark.parametrize("tied", [True, False])
def test_a_flax_model_has_the_same_outputs_as_in_torch(tmp_path, decoder, layout, tied) -> None:
    theirs = seq2seq("wav2vec2", decoder, tie_word_embeddings=tied, **STABLE)
    theirs.config.save_pretrained(tmp_path)
    write_flax(tmp_path / "flax_model.msgpack", layout(flax_arrays(theirs)))
    ours = load(tmp_path).model
    with torch.no_grad():
        expected = theirs(input_values=AUDIO, decoder_input_ids=IDS).logits
        torch.testing.assert_close(ours(AUDIO, None, IDS).logits, expected, atol=1e-5, rtol=0)


def test_a_flax_model_may_be_in_several_files(tmp_path: Path) -> None:
    theirs = seq2seq("wav2vec2", "bart", **STABLE)
    theirs.config.save_pretrained(tmp_path)
    arrays = flax_arrays(theirs)
    write_flax(tmp_path / "flax_model.msgpack", arrays)
    whole = load(tmp_path).model.state_dict()
    (tmp_path / "flax_model.msgpack").unlink()
    halves = [dict(list(arrays.items())[start::2]) for start in range(2)]
    names = [f"flax_model-0000{n}-of-00002.msgpack" for n in (1, 2)]
    for name, half in zip(names, halves, strict=True):
        write_flax(tmp_path / name, half)
    weight_map = {"/".join(path): name for name, half in zip(names, halves, strict=True) for path in half}
    (tmp_path / "flax_model.msgpack.index.json").write_text(json.dumps({"weight_map": weight_map}))
    split = load(tmp_path).model.state_dict()
    assert split.keys() == whole.keys() and all(torch.equal(split[key], whole[key]) for key in whole)
    (tmp_path / names[1]).unlink()
    with pytest.raises(ModelError, match="lacks 1 of the 2 weight files"):
        load(tmp_path)


def test_a_warm_start_takes_parts_of_flax_models(tmp_path: Path) -> None:
    theirs = seq2seq("wav2vec2", "bart", **STABLE)
    for part, model in (("encoder", theirs.encoder), ("decoder", theirs.decoder)):
        model.config.save_pretrained(tmp_path / part)
        write_flax(tmp_path / part / "flax_model.msgpack", flax_arrays(model))
    write_tokenizer(tmp_path / "decoder", "bart")
    bundle, _ = warm_start(tmp_path / "encoder", tmp_path / "decoder")
    assert torch.equal(bundle.model.decoder.tokens.weight, theirs.decoder.model.decoder.embed_tokens.weight)


def test_arrays_keep_their_numbers_and_types(tmp_path: Path) -> None:
    arrays = {
        ("a", "bias"): torch.randn(3).bfloat16(),
        ("b", "bias"): torch.randn(2).half(),
        ("c",): torch.tensor(7),
        ("d", "bias"): torch.empty(0, 3),
    }
    write_flax(tmp_path / "x.msgpack", arrays)
    read = read_flax(tmp_path / "x.msgpack")
    for path, array in arrays.items():
        assert read[".".join(path)].dtype == array.dtype
        assert torch.equal(read[".".join(path)], array)


def test_an_array_that_was_cut_into_chunks_is_whole_again(tmp_path: Path) -> None:
    array = torch.randn(5, 4)
    write_flax(tmp_path / "x.msgpack", {("a", "kernel"): array}, chunk=12)
    assert torch.equal(read_flax(tmp_path / "x.msgpack")["a.weight"], array.T)


def ext(*parts: object, code: int = 1) -> msgpack.ExtType:
    return msgpack.ExtType(code, msgpack.packb(parts))


def nested(depth: int) -> object:
    return packed(torch.ones(1)) if depth == 0 else {"a": nested(depth - 1)}


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"a": ext([2], "float32", b"1234")}, "4 bytes are no float32 array"),
        ({"a": ext([-1], "float32", b"")}, r"shape \[-1\]"),
        ({"a": ext([2**62, 4], "float32", b"")}, "0 bytes are no float32 array"),
        ({"a": ext([1.0], "float32", b"1234")}, r"shape \[1\.0\]"),
        ({"a": ext([1], "object", b"1234")}, "array of 'object'"),
        ({"a": ext([1], ["float32"], b"1234")}, "not a complete Flax model"),
        ({"a": ext("float32", b"1234")}, "not a complete Flax model"),
        ({"a": ext([1], "complex64", b"12345678", code=2)}, "the unknown type 2"),
        ({"a": msgpack.ExtType(1, b"\xc1")}, "not a complete Flax model"),
        ({"a": "text"}, "a is a str where an array is needed"),
        ([1, 2], "the whole is a list"),
        ({"a": {"kernel": packed(torch.ones(1)), "weight": packed(torch.ones(1))}}, "two arrays are called a.weight"),
        ({"a": {"__msgpack_chunked_array__": True}}, "not a complete Flax model"),
        ({"a": {"__msgpack_chunked_array__": True, "chunks": {"0": 1}, "shape": {}}}, "not a complete Flax model"),
        (nested(60), "nested too deeply"),
        (nested(800), "nested too deeply"),
    ],
)
def test_a_file_that_is_not_a_flax_model_is_refused_in_one_sentence(tmp_path: Path, tree: object, words: str) -> None:
    path = tmp_path / "flax_model.msgpack"
    path.write_bytes(msgpack.packb(tree) if not isinstance(tree, bytes) else tree)
    with pytest.raises(ModelError, match=words):
        read_flax(path)


@pytest.mark.parametrize(
    "change", [lambda x: x[:-3], lambda x: b"", lambda x: x + b"\x00", lambda x: b"\xdf\xff\xff\xff\xff"]
)
def test_a_damaged_flax_file_is_one_sentence(tmp_path: Path, change) -> None:
    path = tmp_path / "flax_model.msgpack"
    write_flax(path, {("a", "bias"): torch.ones(3)})
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ModelError, match="not a complete Flax model"):
        read_flax(path)
