import pytest
import torch
from torch import nn

from speechcli.training.ema import RunningMean


@pytest.fixture
def model():
    linear = nn.Linear(1, 1)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def change(model):
    with torch.no_grad():
        model.weight.fill_(1.0)
        model.bias.fill_(1.0)


def test_the_decay_is_smaller_in_the_first_steps(model):
    mean = RunningMean(model, 0.9)
    change(model)
    mean.update(model, 0)
    assert mean.weights["weight"].item() == pytest.approx(0.9)  # a decay of 1 / 10
    mean.update(model, 1000)
    assert mean.weights["weight"].item() == pytest.approx(0.91)


def test_frozen_parameters_are_not_averaged(model):
    model.bias.requires_grad_(False)
    mean = RunningMean(model, 0.9)
    change(model)
    mean.update(model, 0)
    assert mean.weights["bias"].item() == 0.0


def test_the_average_is_in_the_model_only_within_the_with_statement(model):
    mean = RunningMean(model, 0.9)
    change(model)
    with mean.swapped(model):
        assert (model.weight.item(), mean.weights["weight"].item()) == (0.0, 1.0)
    assert (model.weight.item(), mean.weights["weight"].item()) == (1.0, 0.0)
