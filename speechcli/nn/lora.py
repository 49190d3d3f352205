"""Low-rank additions to linear maps (LoRA, Hu et al. 2022)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LoraLinear(nn.Linear):
    """A linear map with a product of two thin matrices added to its own.

        y = W x + b + alpha / rank * B A x

    Its own weight and bias keep their names, and B is zero at first: nothing changes until it learns.

    Args:
        base: the map; its weight and bias are shared, not copied.
        rank: width between the two matrices.
        alpha: size of the addition.
        dropout: on the input of the addition, in training.
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
        """Return the weight with the addition in it: (out, in)."""
        return self.weight + self.scale * (self.lora_B.weight @ self.lora_A.weight)


def add_lora(model: nn.Module, names: Sequence[str], rank: int, *, alpha: float, dropout: float, seed: int) -> None:
    """Give linear maps of a model low-rank additions, in place.

    Args:
        model: the model.
        names: of the linear maps.
        rank: width between the two matrices.
        alpha: size of the addition.
        dropout: on the input of the addition, in training.
        seed: of the random first matrices; the second ones are zero.
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
    """Return the maps that have additions, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}


@torch.no_grad()
def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's state with all additions in the weights that they belong to."""
    state = {key: tensor.detach() for key, tensor in model.state_dict().items()}
    for name, module in lora_maps(model).items():
        state[f"{name}.weight"] = module.merged()
        del state[f"{name}.lora_A.weight"], state[f"{name}.lora_B.weight"]
    return state
