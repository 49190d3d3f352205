"""Files with a shared tensor once, twice, or under its other name, and files without tensors that can be computed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from speechcli.checkpoints.bundle import load

GOLDEN = Path(__file__).parent.parent / "fixtures" / "golden"
BERT = ("decoder.bert.embeddings.word_embeddings.weight", "decoder.cls.predictions.decoder.weight")
BERT_BIAS = ("decoder.cls.predictions.bias", "decoder.cls.predictions.decoder.bias")
BART = ("decoder.model.decoder.embed_tokens.weight", "decoder.lm_head.weight")
ELECTRA = ("decoder.electra.embeddings.word_embeddings.weight", "decoder.generator_lm_head.weight")
PEGASUS = "decoder.model.decoder.embed_positions.weight"
SPEECH2TEXT2 = "decoder.model.decoder.embed_positions.weights"
PAIRS = [
    ("wav2vec2-group__bert", BERT),
    ("wav2vec2-group__bert", BERT_BIAS),
    ("wav2vec2-layer-stable__bart", BART),
    ("hubert-bn__electra", ELECTRA),
    ("wav2vec2__speech_to_text_2", BART),
]


def loaded(folder: Path, tmp_path: Path, change: Callable[[dict[str, Tensor]], None]) -> dict[str, Tensor]:
    shutil.copytree(folder, tmp_path / "changed", ignore=lambda *_: ["golden.safetensors"])
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "changed" / "model.safetensors")
    return load(tmp_path / "changed").model.state_dict()


def same(ours: dict[str, Tensor], folder: Path) -> bool:
    golden = load(folder).model.state_dict()
    return ours.keys() == golden.keys() and all(torch.equal(ours[key], golden[key]) for key in golden)


@pytest.mark.parametrize(("name", "pair"), PAIRS)
def test_a_shared_tensor_may_stand_in_the_file_twice(name: str, pair: tuple[str, str], tmp_path: Path) -> None:
    def double(tensors: dict[str, Tensor]) -> None:
        tensors[pair[1]] = tensors[pair[0]].clone()

    assert same(loaded(GOLDEN / name, tmp_path, double), GOLDEN / name)


@pytest.mark.parametrize(("name", "pair"), PAIRS)
def test_a_shared_tensor_may_stand_under_its_other_name(name: str, pair: tuple[str, str], tmp_path: Path) -> None:
    def rename(tensors: dict[str, Tensor]) -> None:
        tensors[pair[1]] = tensors.pop(pair[0])

    assert same(loaded(GOLDEN / name, tmp_path, rename), GOLDEN / name)


def test_the_table_of_speech2text2_is_computed_where_the_file_has_none(tmp_path: Path) -> None:
    folder = GOLDEN / "wav2vec2__speech_to_text_2"
    ours = loaded(folder, tmp_path, lambda tensors: tensors.__delitem__(SPEECH2TEXT2))["decoder.positions.weight"]
    torch.testing.assert_close(ours, load_file(folder / "model.safetensors")[SPEECH2TEXT2], atol=1e-6, rtol=0)


def test_the_table_of_pegasus_is_computed_where_the_file_has_none(tmp_path: Path) -> None:
    folder = GOLDEN / "data2vec-audio__pegasus"
    ours = loaded(folder, tmp_path, lambda tensors: tensors.__delitem__(PEGASUS))["decoder.positions.weight"]
    config = transformers.PegasusConfig.from_dict(json.loads((folder / "config.json").read_text())["decoder"])
    theirs = transformers.PegasusForCausalLM(config).model.decoder.embed_positions.weight
    torch.testing.assert_close(ours, theirs.detach(), atol=1e-6, rtol=0)
