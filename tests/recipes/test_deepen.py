from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import speechcli
from speechcli.checkpoints.bundle import load
from speechcli.recipes.embedded_data import deepen

MODEL = Path(speechcli.__file__).parent / "default_model"


@pytest.mark.parametrize("added", [0, 1, 5])
def test_a_deeper_decoder_says_the_same(added: int, tmp_path: Path) -> None:
    before = load(MODEL)
    layers = len(before.model.decoder.layers) + added
    deepen.main(["--model", str(MODEL), "--layers", str(layers), "--out", str(tmp_path / "deep")])
    after = load(tmp_path / "deep")
    assert len(after.model.decoder.layers) == layers
    heard, tokens = torch.randn(1, 40, 320), torch.tensor([[2, 4, 30, 31, 32]])
    with torch.inference_mode():
        expected, found = (model.eval()(heard, None, tokens).logits for model in (before.model, after.model))
    torch.testing.assert_close(found, expected)


def test_a_decoder_loses_no_layer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        deepen.main(["--model", str(MODEL), "--layers", "1", "--out", str(tmp_path / "shallow")])
    assert "must be at least the model's" in capsys.readouterr().err
    assert not (tmp_path / "shallow").exists()


def test_its_new_layers_can_learn(tmp_path: Path) -> None:
    old = load_file(MODEL / "model.safetensors")
    grown = deepen.deepened(old, {"decoder_layers": 1, "init_std": 0.04}, 2)
    new = {name: tensor for name, tensor in grown.items() if ".decoder.layers.1." in name}
    weights = {name: tensor.float() for name, tensor in new.items() if tensor.dim() == 2}
    adding = [name for name, tensor in weights.items() if not tensor.any()]
    assert sorted(name.split(".layers.1.")[1] for name in adding) == [
        "encoder_attn.out_proj.weight",
        "fc2.weight",
        "self_attn.out_proj.weight",
    ]
    others = torch.cat([tensor.flatten() for name, tensor in weights.items() if name not in adding])
    assert others.std().item() == pytest.approx(0.04, rel=0.01)
