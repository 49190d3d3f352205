"""Weights sharded over processes (FSDP; Zhao et al. 2023).

torch's modules for this are imported where they are needed, because importing them takes a second.
"""

import copy
import warnings
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor


def shard(model: nn.Module, device: torch.device) -> nn.Module:
    """Return a copy of a model with sharded weights: each encoder layer, the decoder, and the rest.

    The decoder is sharded as one unit, because its layers have side effects: they fill a cache. LayerDrop is disabled
    in the copy, because all processes must gather the weights of a layer at the same time, or they deadlock.

    Args:
        model: the model, the same in all processes; it is not changed.
        device: the device of this process and of the copy.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    # the output of a linear layer is a view, which is not changed in place here
    warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)
    copied = copy.deepcopy(model)
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for module in copied.modules():
        if hasattr(module, "layer_dropout"):
            cast(Any, module).layer_dropout = 0.0
    encoder = copied.get_submodule("encoder")
    for part in (*getattr(encoder, "layers", ()), copied.get_submodule("decoder"), copied):
        fully_shard(part, mesh=mesh)
    return copied


def whole(tensor: Tensor) -> Tensor:
    """Gather a sharded tensor, for which all processes must call this; other tensors are returned as they are."""
    return cast("DTensor", tensor).full_tensor() if _is_sharded(tensor) else tensor


def shard_like(tensor: Tensor, other: Tensor) -> Tensor:
    """Shard a tensor like another one, if they have the same shape."""
    if not _is_sharded(other) or tensor.shape != other.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    sharded = cast("DTensor", other)
    return distribute_tensor(tensor, sharded.device_mesh, sharded.placements)


def synchronize_gradients(model: nn.Module, wanted: bool) -> None:
    """Choose whether the next backward passes synchronize gradients."""
    cast("FSDPModule", model).set_requires_gradient_sync(wanted)


def _is_sharded(tensor: Tensor) -> bool:
    return hasattr(tensor, "full_tensor")
