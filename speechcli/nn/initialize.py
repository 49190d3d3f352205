"""Random initialization, as in the reference implementations of all families."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from speechcli.nn.positions import NormedConv


@contextmanager
def without_weights() -> Iterator[None]:
    """Build modules without allocating or initializing their weights, which are loaded from a file afterwards."""
    with torch.device("meta"), _NoFilling():
        yield


class _NoFilling(TorchFunctionMode):
    # torch also initializes tensors without storage, and importing that code takes longer than the rest of torch.
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == nn.init.__name__:
            return kwargs.get("tensor", *args[:1])
        return func(*args, **kwargs)


@torch.no_grad()
def initialize(module: nn.Module, std: float) -> None:
    """Initialize one module, not its children: linear maps and embeddings N(0, std), convolutions Kaiming, norms 1.

    Args:
        module: any module; modules without weights of their own are left unchanged.
        std: standard deviation; `initializer_range` or `init_std` of the configuration.
    """
    if isinstance(module, nn.Linear | nn.Embedding):
        module.weight.normal_(0.0, std)
        padding = getattr(module, "padding_idx", None)
        if padding is not None:
            module.weight[padding].zero_()
    elif isinstance(module, NormedConv):
        # The positional convolution has its own, wider distribution (wav2vec 2.0).
        width, _, kernel = module.direction.shape
        module.direction.normal_(0.0, 2 / math.sqrt(kernel * width))
        module.scale.copy_(module.direction.norm(dim=(0, 1), keepdim=True))
    elif isinstance(module, nn.Conv1d):
        nn.init.kaiming_normal_(module.weight)
    elif isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.BatchNorm1d):
        if module.weight is not None:
            module.weight.fill_(1.0)
    bias = getattr(module, "bias", None)
    if isinstance(bias, torch.Tensor):
        bias.zero_()
