"""Random weights, by the rules that the families' reference implementations share."""

import math

import torch
from torch import nn


@torch.no_grad()
def initialize(module: nn.Module, std: float) -> None:
    """Fill one module, not its children: linear maps and embeddings N(0, std), convolutions Kaiming, norms one.

    Args:
        module: any module; kinds without weights of their own are left alone.
        std: `initializer_range` or `init_std` of the configuration.
    """
    if isinstance(module, nn.Linear | nn.Embedding):
        module.weight.normal_(0.0, std)
        padding = getattr(module, "padding_idx", None)
        if padding is not None:
            module.weight[padding].zero_()
    elif isinstance(module, nn.Conv1d):
        if nn.utils.parametrize.is_parametrized(module):
            # The positional convolution has its own, wider rule (wav2vec 2.0).
            module.weight = torch.randn_like(module.weight) * 2 / math.sqrt(module.kernel_size[0] * module.in_channels)
        else:
            nn.init.kaiming_normal_(module.weight)
    elif isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.BatchNorm1d):
        if module.weight is not None:
            module.weight.fill_(1.0)
    bias = getattr(module, "bias", None)
    if isinstance(bias, torch.Tensor):
        bias.zero_()
