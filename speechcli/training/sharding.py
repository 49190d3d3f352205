"""Weights shared out among processes, each of which keeps and moves its part (FSDP; Zhao et al. 2023)."""

import copy
import warnings

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(model: nn.Module, device: torch.device) -> nn.Module:
    """Return a copy of a model whose weights are shared out: each layer of the encoder, the decoder, and the rest.

    The decoder is one part, because its layers are more than functions of what goes in: they fill a cache. No layer of
    the copy is skipped at random: all processes put a layer's weights together at the same time, or wait forever.

    Args:
        model: stays as it is; all processes have the same.
        device: of this process; the copy is there.
    """
    # what a linear map returns is a view, and nothing here changes one in place
    warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)
    copied = copy.deepcopy(model)
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for module in copied.modules():
        if hasattr(module, "layer_dropout"):
            module.layer_dropout = 0.0
    encoder = copied.get_submodule("encoder")
    for part in (*getattr(encoder, "layers", ()), copied.get_submodule("decoder"), copied):
        fully_shard(part, mesh=mesh)
    return copied


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor with the parts of all processes, which come here together; others as they are."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shared_alike(tensor: Tensor, other: Tensor) -> Tensor:
    """Share a tensor out as another one is, if that has its shape."""
    if isinstance(other, DTensor) and tensor.shape == other.shape:
        return distribute_tensor(tensor, other.device_mesh, other.placements)
    return tensor
