"""The mean of several checkpoints' weights."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from speechcli.errors import InputError, ModelError


def average_states(states: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Average weights that have the same names and shapes; they are read one after the other.

    Whole numbers (counters of batches) are taken from the last. Sums are float64, the result has the first's type.

    Raises:
        InputError: if there are none.
        ModelError: if names or shapes differ.
    """
    sums: dict[str, Tensor] = {}
    types: dict[str, torch.dtype] = {}
    count = 0
    for state in states:
        if count == 0:
            types = {name: tensor.dtype for name, tensor in state.items()}
        odd = sorted(
            name
            for name in sums.keys() | state.keys()
            if count and (name not in sums or name not in state or sums[name].shape != state[name].shape)
        )
        if odd:
            raise ModelError(f"Checkpoints to average must have the same weights, but differ in {', '.join(odd[:5])}.")
        for name, tensor in state.items():
            if not tensor.is_floating_point():
                sums[name] = tensor.clone()
            elif count == 0:
                sums[name] = tensor.double()
            else:
                sums[name] += tensor.double()
        count += 1
    if count == 0:
        raise InputError("An average needs at least one checkpoint, but there is none.")
    return {
        name: (total / count if total.is_floating_point() else total).to(types[name]) for name, total in sums.items()
    }
