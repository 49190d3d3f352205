"""The position-wise feed-forward network, and activations by their Hugging Face names."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechcli.errors import ModelError


class QuickGELU(nn.Module):
    """GELU approximated with a sigmoid."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return x * torch.sigmoid(1.702 * x)


class ClippedGELU(nn.Module):
    """GELU clipped to the range from -10 to 10."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.gelu(x).clamp(-10, 10)


class SquaredReLU(nn.Module):
    """The square of ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.relu(x).square()


class Laplace(nn.Module):
    """The cumulative distribution function of a normal distribution, fitted to squared ReLU (Ma et al. 2022, Mega)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, unchanged."""
        mean, deviation = 0.707107, 0.282095
        return 0.5 * (1 + torch.erf((x - mean) / (deviation * math.sqrt(2))))


class SqrtSoftplus(nn.Module):
    """The square root of softplus."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, unchanged."""
        return F.softplus(x).sqrt()


ACTIVATIONS: dict[str, nn.Module] = {
    "gelu": nn.GELU(),
    "gelu_10": ClippedGELU(),
    "gelu_accurate": nn.GELU("tanh"),
    "gelu_fast": nn.GELU("tanh"),
    "gelu_new": nn.GELU("tanh"),
    "gelu_python": nn.GELU(),
    "gelu_python_tanh": nn.GELU("tanh"),
    "gelu_pytorch_tanh": nn.GELU("tanh"),
    "hardswish": nn.Hardswish(),
    "laplace": Laplace(),
    "leaky_relu": nn.LeakyReLU(),
    "linear": nn.Identity(),
    "mish": nn.Mish(),
    "quick_gelu": QuickGELU(),
    "relu": nn.ReLU(),
    "relu2": SquaredReLU(),
    "relu6": nn.ReLU6(),
    "sigmoid": nn.Sigmoid(),
    "silu": nn.SiLU(),
    "sqrtsoftplus": SqrtSoftplus(),
    "swish": nn.SiLU(),
    "tanh": nn.Tanh(),
}
"""They have no parameters, so all layers share one object; those with parameters (prelu, xielu) are not supported."""


def activation(name: str) -> nn.Module:
    """Return an activation by its name in configurations.

    Raises:
        ModelError: there is no such activation.
    """
    if name not in ACTIVATIONS:
        raise ModelError(f"The activation must be one of {', '.join(ACTIVATIONS)}, but is {name!r}.")
    return ACTIVATIONS[name]


class FeedForward(nn.Module):
    """Two linear maps with an activation between them.

    Args:
        width: width of the input and the output.
        inner: width between the two maps.
        activation: activation between the two maps.
        dropout: dropout after the activation.
    """

    def __init__(self, width: int, inner: int, activation: nn.Module, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.up = nn.Linear(width, inner)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) -> (batch, tokens, width)."""
        return self.down(self.dropout(self.activation(self.up(x))))  # type: ignore[no-any-return]
