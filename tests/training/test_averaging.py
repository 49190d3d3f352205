import pytest
import torch

from speechcli.errors import InputError, ModelError
from speechcli.training.averaging import average_states


def test_an_average_is_the_mean_and_keeps_types():
    states = [{"w": torch.tensor([value], dtype=torch.bfloat16), "n": torch.tensor(int(value))} for value in (1.0, 2.0)]
    mean = average_states(states)
    assert torch.equal(mean["w"], torch.tensor([1.5], dtype=torch.bfloat16))
    assert mean["n"] == 2


def test_sums_of_half_precision_weights_are_exact():
    states = [{"w": torch.tensor([value], dtype=torch.float16)} for value in (2048.0, 1.0, 1.0)]
    assert average_states(states)["w"].item() == 683.5  # the half-precision number next to 2050 / 3


def test_weights_that_differ_cannot_be_averaged():
    with pytest.raises(ModelError, match="differ in w"):
        average_states([{"w": torch.zeros(2)}, {"w": torch.zeros(3)}])
    with pytest.raises(InputError, match="at least one"):
        average_states([])
