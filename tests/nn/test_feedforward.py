import pytest
import torch
from transformers.activations import ACT2FN

from speechcli.errors import ModelError
from speechcli.nn.feedforward import ACTIVATIONS, activation


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_have_the_numbers_of_transformers(name: str) -> None:
    x = torch.linspace(-20, 20, 4001)
    torch.testing.assert_close(activation(name)(x), ACT2FN[name](x), atol=1e-6, rtol=1e-6)


def test_only_activations_with_parameters_are_unsupported() -> None:
    plain = {name for name in ACT2FN if not list(ACT2FN[name].parameters())}
    assert plain == ACTIVATIONS.keys()
    with pytest.raises(ModelError, match="The activation must be one of gelu, .* but is 'prelu'"):
        activation("prelu")
