"""The mean of several checkpoints' weights."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from speechcli.errors import InputError, ModelError


def average_states(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Average weights with the same names and shapes; only the running mean is in memory.

    Integers (such as batch counters) are taken from the last. Sums are float64; the result has the dtype of the first.

    Args:
        states: the weights of each model, preferably memory-mapped.

    Raises:
        InputError: if there are none.
        ModelError: if names or shapes differ.
    """
    if not states:
        raise InputError("An average needs at least one checkpoint, but there is none.")
    first = states[0]
    different = {
        name
        for state in states
        for name in first.keys() | state.keys()
        if name not in first or name not in state or first[name].shape != state[name].shape
    }
    if different:
        names = ", ".join(sorted(different)[:5])
        raise ModelError(f"Checkpoints to average must have the same weights, but differ in {names}.")
    return {name: _mean([state[name] for state in states]) for name in first}


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    if not tensors[0].is_floating_point():
        return tensors[-1].clone()
    total = torch.zeros_like(tensors[0], dtype=torch.float64)
    for tensor in tensors:
        total += tensor
    return total.div_(len(tensors)).to(tensors[0].dtype)
