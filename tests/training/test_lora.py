"""LoRA: the computation, the file format, and resuming of a run."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from speechcli.checkpoints.bundle import load, save
from speechcli.errors import ModelError, Stopped, UsageError
from speechcli.families.composite import SpeechEncoderDecoderConfig, build
from speechcli.nn.lora import LoraLinear, add_lora, lora_maps, merged_state
from speechcli.pipelines.train import train
from speechcli.training.events import Saved, Started
from speechcli.training.freezing import freeze
from speechcli.training.merge import merge_options

QUERY = "encoder.encoder.layers.0.self_attn.linear_q"


def options(places, **more):
    values = {
        "model.path": str(places[0]),
        "model.learn": "lora",
        "model.lora_rank": 2,
        "data.train": str(places[1]),
        "batch.workers": 0,
        "batch.max_items": 4,
        "optimizer.learning_rate": 0.01,
        "optimizer.warmup_steps": 1,
        "run.max_steps": 4,
        "run.save_every": 2,
        "run.device": "cpu",
        "run.dtype": "float32",
    }
    return merge_options(explicit=values | {key.replace("__", "."): value for key, value in more.items()})


@pytest.fixture(scope="module")
def run(places, tmp_path_factory):
    events = []
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(options(places), folder, report=events.append)
    return folder, events


def weights(folder):
    return load(folder).model.state_dict()


def test_an_addition_is_a_scaled_product_and_nothing_at_first():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 3))
    x, before = torch.randn(4, 5), model[0].weight
    plain = model(x)
    add_lora(model, ["0"], 2, alpha=6.0, dropout=0.0, seed=1)
    assert isinstance(model[0], LoraLinear) and model[0].weight is before
    assert torch.equal(model(x), plain)
    model[0].lora_B.weight.data.normal_()
    added = 3.0 * x @ model[0].lora_A.weight.T @ model[0].lora_B.weight.T
    torch.testing.assert_close(model(x), plain + added)
    state = merged_state(model)
    assert set(state) == {"0.weight", "0.bias"}
    torch.testing.assert_close(x @ state["0.weight"].T + state["0.bias"], model(x))


def test_a_run_with_lora_trains_only_the_adapters(run, places):
    folder, events = run
    started = next(event for event in events if isinstance(event, Started))
    assert 0 < started.learning < 0.1 * started.parameters
    before, after = weights(places[0]), weights(folder / "last")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.endswith(("attn.query.weight", "attn.value.weight")) for name in changed)


def test_the_stored_names_are_those_of_peft(run, places):
    stored = load_file(run[0] / "last" / "lora" / "adapter_model.safetensors")
    assert stored[f"base_model.model.{QUERY}.lora_A.weight"].shape == (2, 16)
    assert stored[f"base_model.model.{QUERY}.lora_B.weight"].shape == (16, 2)
    values = json.loads((run[0] / "last" / "lora" / "adapter_config.json").read_text())
    assert (values["peft_type"], values["r"], values["lora_alpha"], values["bias"]) == ("LORA", 2, 16.0, "none")
    assert values["base_model_name_or_path"] == str(places[0])
    assert QUERY in values["target_modules"]


def test_additions_and_base_make_the_merged_model(run):
    merged, added = weights(run[0] / "last"), weights(run[0] / "last" / "lora")
    assert merged.keys() == added.keys()
    for name, tensor in merged.items():
        torch.testing.assert_close(added[name], tensor, rtol=0, atol=1e-6)


def test_peft_and_transformers_read_the_additions(run, places):
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    base = transformers.SpeechEncoderDecoderModel.from_pretrained(places[0])
    theirs = peft.PeftModel.from_pretrained(base, run[0] / "last" / "lora").eval()
    ours = load(run[0] / "last" / "lora").model
    inputs, ids = torch.randn(2, 30, 320), torch.randint(4, 20, (2, 5))
    mask = torch.ones(2, 30, dtype=torch.long)
    with torch.no_grad():
        wanted = theirs(input_features=inputs, attention_mask=mask, decoder_input_ids=ids).logits
        found = ours(inputs, torch.tensor([30, 30]), ids).logits
        plain = load(places[0]).model(inputs, torch.tensor([30, 30]), ids).logits
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain, wanted, atol=1e-5)


def test_additions_that_peft_wrote_are_read(places, tmp_path):
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    base = transformers.SpeechEncoderDecoderModel.from_pretrained(places[0])
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "linear_v", "fc1"], use_rslora=True)
    theirs = peft.get_peft_model(base, config)
    for name, parameter in theirs.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    theirs.save_pretrained(tmp_path / "added")
    merged = theirs.merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    wanted = weights(tmp_path / "merged")
    for name, tensor in weights(tmp_path / "added").items():
        torch.testing.assert_close(tensor, wanted[name], rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")
def test_adapters_of_transposed_layers_are_read_with_any_fan_in_fan_out(tmp_path):
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    encoder = transformers.Wav2Vec2Config(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        conv_dim=(4,), conv_kernel=(4,), conv_stride=(4,), num_conv_pos_embeddings=2, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    decoder = transformers.GPT2Config(vocab_size=12, n_embd=8, n_layer=1, n_head=2, n_positions=16)
    config = transformers.SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    base = transformers.SpeechEncoderDecoderModel(config)
    base.save_pretrained(tmp_path / "base")
    base.name_or_path = str(tmp_path / "base")
    theirs = peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["c_attn", "c_proj"]))
    for name, parameter in theirs.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    theirs.save_pretrained(tmp_path / "added")
    theirs.merge_and_unload().save_pretrained(tmp_path / "merged")
    values = json.loads((tmp_path / "added" / "adapter_config.json").read_text())
    for said in (False, True):
        (tmp_path / "added" / "adapter_config.json").write_text(json.dumps(values | {"fan_in_fan_out": said}))
        found, wanted, plain = (weights(tmp_path / each) for each in ("added", "merged", "base"))
        for name, tensor in found.items():
            torch.testing.assert_close(tensor, wanted[name], rtol=1e-5, atol=1e-6)
        changed = {name.rsplit(".", 2)[-2] for name in plain if not torch.equal(plain[name], found[name])}
        assert changed == {"query", "key", "value", "output", "down"}


def test_parts_that_are_trained_anyway_and_a_tied_head_get_no_additions(places, tmp_path):
    values = {"add_adapter": True, "num_adapter_layers": 1, "output_hidden_size": 12}
    wide, changed = load(places[0]), json.loads((places[0] / "config.json").read_text())
    changed["encoder"] |= values
    config = SpeechEncoderDecoderConfig.from_dict(changed)
    torch.manual_seed(0)
    save(replace(wide, config=config, model=build(config)), tmp_path / "base")
    merged = options((tmp_path / "base", places[1]), model__lora_targets=("*",), run__max_steps=1)
    train(merged, tmp_path / "run", report=lambda event: None)
    stored = load_file(tmp_path / "run" / "last" / "lora" / "adapter_model.safetensors")
    added = {name for name in stored if "lora_A" in name}
    assert any("encoder.layers" in name for name in added) and any("decoder" in name for name in added)
    assert not [name for name in added if "adapter" in name or "enc_to_dec_proj" in name or "lm_head" in name]
    assert any("enc_to_dec_proj" in name for name in stored) and any("encoder.adapter" in name for name in stored)
    one, other = weights(tmp_path / "run" / "last"), weights(tmp_path / "run" / "last" / "lora")
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=0, atol=1e-6)


@pytest.mark.parametrize("more", [{}, {"run__ema_decay": 0.5, "model__freeze_encoder_steps": 3}])
def test_a_stopped_run_with_lora_resumes_to_the_same_weights(places, tmp_path, more):
    def stop(event):
        if isinstance(event, Saved) and event.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped):
        train(options(places, **more), tmp_path / "parts", report=stop)
    merged = merge_options(run=tmp_path / "parts")
    train(merged, tmp_path / "parts", resume=True, report=lambda event: None)
    train(options(places, **more), tmp_path / "straight", report=lambda event: None)
    for file in ("model.safetensors", "lora/adapter_model.safetensors"):
        one, other = (load_file(tmp_path / each / "last" / file) for each in ("straight", "parts"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_model_with_additions_is_saved_as_one_that_transformers_reads(places, tmp_path):
    bundle = load(places[0])
    add_lora(bundle.model, ["decoder.layers.0.ffn.up"], 2, alpha=4.0, dropout=0.1, seed=0)
    bundle.model.decoder.layers[0].ffn.up.lora_B.weight.data.normal_()
    save(bundle, tmp_path / "saved")
    expected = lora_maps(bundle.model)["decoder.layers.0.ffn.up"].merged()
    assert torch.equal(weights(tmp_path / "saved")["decoder.layers.0.ffn.up.weight"], expected)


def test_the_bridge_is_trained_with_the_adapters(places):
    model = load(places[0]).model
    model.projection = torch.nn.Linear(16, 16)
    add_lora(model, ["encoder.layers.0.self_attn.query"], 2, alpha=4.0, dropout=0.0, seed=0)
    freeze(model, (), learn="lora")
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    added = {f"encoder.layers.0.self_attn.query.lora_{letter}.weight" for letter in "AB"}
    assert learning == added | {"projection.weight", "projection.bias"}


def test_targets_that_match_nothing_are_refused(places, tmp_path):
    with pytest.raises(UsageError, match="match none") as caught:
        train(options(places, model__lora_targets=("nothing",)), tmp_path / "run", report=lambda event: None)
    assert "encoder.layers.*.self_attn.query" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"use_dora": True}, "plain LoRA, but .* use_dora"),
        ({"init_lora_weights": "pissa_niter_4"}, "plain LoRA, but .* pissa_niter_4"),
        ({"init_lora_weights": "OLoRA"}, "plain LoRA, but .* OLoRA"),
        ({"init_lora_weights": "lora_ga"}, "plain LoRA, but .* lora_ga"),
        ({"alora_invocation_tokens": [3, 4]}, "plain LoRA, but .* alora_invocation_tokens"),
        ({"peft_type": "IA3"}, "plain LoRA, but .* IA3"),
        ({"base_model_name_or_path": None}, "base_model_name_or_path"),
        ({"base_model_name_or_path": "./gone"}, "is not available"),
        ({"lora_alpha": "x"}, "must be \\(out, rank\\)"),
    ],
)
def test_additions_that_cannot_be_read_are_one_sentence(run, tmp_path, change, complaint):
    source = run[0] / "last" / "lora"
    values = json.loads((source / "adapter_config.json").read_text()) | change
    (tmp_path / "adapter_config.json").write_text(json.dumps(values))
    save_file(load_file(source / "adapter_model.safetensors"), tmp_path / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=complaint):
        load(tmp_path)


def test_additions_to_another_model_are_refused(run, tmp_path):
    source = run[0] / "last" / "lora"
    (tmp_path / "adapter_config.json").write_text((source / "adapter_config.json").read_text())
    save_file({"base_model.model.elsewhere.lora_A.weight": torch.zeros(2, 3)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="has no elsewhere.weight"):
        load(tmp_path)
