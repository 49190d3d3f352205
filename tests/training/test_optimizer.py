import re

import pytest
import torch
from tiny_run import TinyModel
from tiny_speech import save_tiny_model

from speechcli.checkpoints.bundle import load
from speechcli.errors import UsageError
from speechcli.nn.positions import SinusoidalPositions
from speechcli.training.freezing import freeze, region
from speechcli.training.optimizer import (
    build_optimizer,
    clip_gradients,
    current_learning_rate,
    learning_rate,
    set_learning_rate,
)
from speechcli.training.train_options import OptimizerSection


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.25, 0.5, 0.75, 1.0, 1.0, 0.5, 0.1]),
        ("cosine", [0.25, 0.5, 0.75, 1.0, 1.0, 0.5, 0.1]),
        ("inverse-sqrt", [0.25, 0.5, 0.75, 1.0, (4 / 5) ** 0.5, (4 / 9) ** 0.5, (4 / 13) ** 0.5]),
    ],
)
def test_the_schedules_have_exact_values(schedule, expected):
    options = OptimizerSection(learning_rate=1.0, warmup_steps=4, schedule=schedule, min_learning_rate=0.1)
    steps = [0, 1, 2, 3, 4, 8, 12]
    rates = [learning_rate(options, step, step / 12, warmup_share=4 / 12) for step in steps]
    assert rates == pytest.approx(expected)


def test_without_a_warm_up_the_first_step_has_the_highest_rate():
    assert learning_rate(OptimizerSection(learning_rate=2.0, warmup_steps=0), 0, 0.0) == 2.0


def test_norms_and_biases_have_no_weight_decay_and_each_part_has_its_own_learning_rate():
    model = TinyModel()
    options = OptimizerSection(weight_decay=0.1, encoder_scale=0.5, bridge_scale=3.0, decoder_scale=2.0)
    optimizer = build_optimizer(model, options)
    set_learning_rate(optimizer, 1.0)
    found = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = next(name for name, item in model.named_parameters() if item is parameter)
            found[name] = (group["weight_decay"], group["lr"])
    assert found["encoder.0.weight"] == (0.1, 0.5)
    assert found["encoder.0.bias"] == found["encoder.1.weight"] == (0.0, 0.5)
    assert found["decoder.weight"] == (0.1, 2.0)
    assert found["ctc_head.bias"] == (0.0, 3.0)


@pytest.mark.parametrize(("scales", "expected"), [((0.0, 0.5, 2.0), 1.0), ((0.0, 0.0, 0.0), 0.0)])
def test_a_part_with_scale_0_keeps_its_weights_and_the_rate_of_the_others_is_reported(scales, expected):
    options = OptimizerSection(encoder_scale=scales[0], bridge_scale=scales[1], decoder_scale=scales[2])
    model = TinyModel()
    optimizer = build_optimizer(model, options)
    set_learning_rate(optimizer, 1.0)
    assert current_learning_rate(optimizer) == expected
    before = model.encoder[0].weight.detach().clone()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert torch.equal(model.encoder[0].weight, before)


def test_gradients_are_clipped_to_the_given_norm():
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.grad = torch.full((1, 1), 8.0)
    assert clip_gradients(model, 0) == 8.0
    assert clip_gradients(model, 2.0) == 8.0
    assert model.weight.grad.item() == pytest.approx(2.0)


def test_frozen_parts_are_not_trained_and_can_be_unfrozen():
    model = TinyModel()
    everything = freeze(model, ())
    assert freeze(model, ("encoder",)) == everything - (4 * 6 + 6 + 6 + 6)
    assert not model.encoder[0].weight.requires_grad and model.decoder.weight.requires_grad
    assert freeze(model, ("decoder.weight",)) == everything - 8 * 6
    assert model.encoder[0].weight.requires_grad


def test_a_part_that_the_model_lacks_is_refused():
    with pytest.raises(UsageError, match="no 'projection'"):
        freeze(TinyModel(), ("projection",))
    with pytest.raises(UsageError, match="must leave something to train"):
        freeze(TinyModel(), ("encoder", "decoder", "ctc_head"))


def test_a_pattern_freezes_the_parameters_that_match():
    model = TinyModel()
    freeze(model, ("*.bias",))
    learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert learning == ["encoder.0.weight", "encoder.1.weight", "decoder.weight", "ctc_head.weight"]
    with pytest.raises(UsageError, match="no '\\*.ffn.\\*'"):
        freeze(model, ("*.ffn.*",))


def test_tables_of_sinusoidal_positions_are_never_trained():
    model = torch.nn.ModuleDict({"decoder": torch.nn.Linear(3, 2), "positions": SinusoidalPositions(4, 3)})
    assert freeze(model, ()) == 3 * 2 + 2
    assert not model["positions"].weight.requires_grad


def test_lna_trains_only_norms_attention_and_the_bridge(tmp_path):
    save_tiny_model(tmp_path / "model")
    model = load(tmp_path / "model").model
    freeze(model, (), learn="lna")
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    kinds = {re.sub(r"(encoder|decoder)\.|layers\.\d+\.|\.(weight|bias)$", "", name) for name in learning}
    assert kinds == {
        *(f"self_attn.{name}" for name in ("query", "key", "value", "output", "distances")),
        *(f"cross_attn.{name}" for name in ("query", "key", "value", "output")),
        *(f"{name}_norm" for name in ("self_attn", "cross_attn", "ffn", "ffn1", "ffn2", "embedding")),
        *("norm", "projection.norm", "conv.norm", "conv.depthwise_norm"),
    }
    freeze(model, ("decoder",), learn="lna")
    assert not any(parameter.requires_grad for parameter in model.decoder.parameters())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("encoder.layers.0.ffn.up.weight", "encoder"),
        ("encoder.adapter.layers.0.weight", "bridge"),
        ("projection.weight", "bridge"),
        ("ctc_head.bias", "bridge"),
        ("decoder.tokens.weight", "decoder"),
    ],
)
def test_every_parameter_belongs_to_encoder_bridge_or_decoder(name, expected):
    assert region(name) == expected
