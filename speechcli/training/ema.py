"""An exponential moving average of the weights, which often scores better than the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class RunningMean:
    """Exponential moving average of the trainable parameters.

    Args:
        model: its parameters are the initial average.
        decay: decay of the average at each step; smaller in the first steps.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.start_from(model)

    def start_from(self, model: nn.Module) -> None:
        """Set the average to the model's current weights."""
        self.weights: dict[str, Tensor] = {name: item.detach().clone() for name, item in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move the average toward the model's weights."""
        decay = min(self.decay, (1 + step) / (10 + step))
        parameters = dict(model.named_parameters())
        names = [name for name, parameter in parameters.items() if parameter.requires_grad]
        torch._foreach_lerp_([self.weights[name] for name in names], [parameters[name] for name in names], 1.0 - decay)

    @contextmanager
    def swapped(self, model: nn.Module) -> Iterator[None]:
        """Swap the averaged weights into the model within a with-statement."""
        parameters = dict(model.named_parameters())
        for name, parameter in parameters.items():
            parameter.data, self.weights[name] = self.weights[name].to(parameter.device), parameter.data
        try:
            yield
        finally:
            for name, parameter in parameters.items():
                parameter.data, self.weights[name] = self.weights[name], parameter.data
