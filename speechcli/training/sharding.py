"""Weights sharded over processes (FSDP; Zhao et al. 2023).

What torch has for it is imported where it is needed: it takes a second.
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
        model: not changed; the same in all processes.
        device: the device of this process and of the copy.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    # what a linear map returns is a view, and nothing here changes one in place
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
    """Return a sharded tensor as a whole, for which all processes must call this; other tensors as they are."""
    return cast("DTensor", tensor).full_tensor() if _is_part(tensor) else tensor


def shared_alike(tensor: Tensor, other: Tensor) -> Tensor:
    """Shard a tensor like another one, if they have the same shape."""
    if not _is_part(other) or tensor.shape != other.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    shared = cast("DTensor", other)
    return distribute_tensor(tensor, shared.device_mesh, shared.placements)


def exchange_gradients(model: nn.Module, wanted: bool) -> None:
    """Choose whether the next backward passes synchronize gradients."""
    cast("FSDPModule", model).set_requires_gradient_sync(wanted)


def _is_part(tensor: Tensor) -> bool:
    return hasattr(tensor, "full_tensor")
