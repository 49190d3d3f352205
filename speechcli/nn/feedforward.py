"""The position-wise network, and activations by Hugging Face's names."""

from torch import Tensor, nn

from speechcli.errors import ModelError

ACTIVATIONS: dict[str, nn.Module] = {
    "gelu": nn.GELU(),
    "gelu_python": nn.GELU(),
    "gelu_new": nn.GELU("tanh"),
    "gelu_pytorch_tanh": nn.GELU("tanh"),
    "relu": nn.ReLU(),
    "silu": nn.SiLU(),
    "swish": nn.SiLU(),
    "tanh": nn.Tanh(),
}
"""They hold no parameters, so one object serves every layer."""


def activation(name: str) -> nn.Module:
    """Find an activation by the name that configurations use.

    Raises:
        ModelError: no such activation.
    """
    if name not in ACTIVATIONS:
        raise ModelError(f"The activation must be one of {', '.join(ACTIVATIONS)}, but is {name!r}.")
    return ACTIVATIONS[name]


class FeedForward(nn.Module):
    """Two linear maps with an activation between them.

    Args:
        width: of the input and the output.
        inner: width between the two maps.
        activation: between the two maps.
        dropout: after the activation, in training.
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
