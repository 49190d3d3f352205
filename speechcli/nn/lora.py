"""Low-rank adaptation of linear maps (LoRA, Hu et al. 2022)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LoraLinear(nn.Linear):
    """A linear map with a low-rank update.

        y = W x + b + alpha / rank * B A x

    The weight and bias of the map keep their names. B is initialized to zero, so that training starts from the map.

    Args:
        base: the linear map; its weight and bias are shared, not copied.
        rank: rank of the update.
        alpha: scale of the update.
        dropout: dropout on the input of the update.
    """

    def __init__(self, base: nn.Linear, rank: int, *, alpha: float, dropout: float = 0.0) -> None:
        super().__init__(base.in_features, base.out_features, bias=base.bias is not None, device="meta")
        self.weight, self.bias = base.weight, base.bias
        self.lora_A = nn.Linear(base.in_features, rank, bias=False, device=base.weight.device)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False, device=base.weight.device)
        self.dropout = nn.Dropout(dropout)
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        added: Tensor = self.lora_B(self.lora_A(self.dropout(x)))
        return F.linear(x, self.weight, self.bias) + added * self.scale

    def merged(self) -> Tensor:
        """Return the weight with the update merged: (out, in)."""
        return self.weight + self.scale * (self.lora_B.weight @ self.lora_A.weight)


def add_lora(model: nn.Module, names: Sequence[str], rank: int, *, alpha: float, dropout: float, seed: int) -> None:
    """Add low-rank updates to linear maps of a model, in place.

    Args:
        model: the model.
        names: names of the linear maps.
        rank: rank of the updates.
        alpha: scale of the updates.
        dropout: dropout on the input of the updates.
        seed: random seed of the matrices A; the matrices B are zero.
    """
    generator = torch.Generator().manual_seed(seed)
    for name in names:
        parent, _, leaf = name.rpartition(".")
        base = model.get_submodule(name)
        assert isinstance(base, nn.Linear)
        added = LoraLinear(base, rank, alpha=alpha, dropout=dropout)
        with torch.no_grad():
            bound = base.in_features**-0.5
            added.lora_A.weight.copy_(torch.empty(rank, base.in_features).uniform_(-bound, bound, generator=generator))
            added.lora_B.weight.zero_()
        setattr(model.get_submodule(parent), leaf, added)


def lora_maps(model: nn.Module) -> dict[str, LoraLinear]:
    """Return the linear maps with low-rank updates, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}


@torch.no_grad()
def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's state with all low-rank updates merged into the weights."""
    state = {key: tensor.detach() for key, tensor in model.state_dict().items()}
    for name, module in lora_maps(model).items():
        state[f"{name}.weight"] = module.merged()
        del state[f"{name}.lora_A.weight"], state[f"{name}.lora_B.weight"]
    return state
