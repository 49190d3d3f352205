"""A torch model as Flax would have written it, without Flax: its names, its matrices, its msgpack."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgpack
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

Arrays = dict[tuple[str, ...], Tensor]


def flax_arrays(model: nn.Module) -> Arrays:
    """The parameters of a model by their paths in Flax; a head that is tied to the embeddings is left out."""
    arrays: Arrays = {}
    for name, parameter in model.named_parameters():
        *path, leaf = name.replace("parametrizations.weight.original0", "weight_g").split(".")
        if leaf == "original1":
            *path, leaf = [*path[:-2], "weight_v"]
        module = model.get_submodule(".".join(path))
        tensor = parameter.detach()
        if leaf == "weight" and isinstance(module, nn.Linear | Conv1D):
            leaf, tensor = "kernel", tensor.T
        elif leaf == "weight" and isinstance(module, nn.Conv1d):
            leaf, tensor = "kernel", tensor.permute(2, 1, 0)
        elif leaf == "weight":
            leaf = "embedding" if isinstance(module, nn.Embedding) else "scale"
        arrays[*path, leaf] = tensor
    return arrays


def scanned(arrays: Arrays, layers: tuple[str, ...], name: str) -> Arrays:
    """All layers below a path in one array each."""
    depth = len(layers)
    inside = {path: array for path, array in arrays.items() if path[:depth] == layers}
    numbers = sorted({path[depth] for path in inside}, key=int)
    leaves = {path[depth + 1 :] for path in inside}
    stacks = {
        (*layers, name, *leaf): torch.stack([inside[*layers, number, *leaf] for number in numbers]) for leaf in leaves
    }
    return {path: array for path, array in arrays.items() if path not in inside} | stacks


def fused(arrays: Arrays, is_one: Callable[[str], bool], name: str, parts: tuple[str, ...]) -> Arrays:
    """Several projections of the attentions that are meant in one array."""
    homes = {path[:-2] for path in arrays if path[-2] in parts and is_one(path[-3])}
    result = dict(arrays)
    for home in homes:
        for leaf in ("kernel", "bias"):
            result[*home, name, leaf] = torch.cat([result.pop((*home, part, leaf)) for part in parts], dim=-1)
    return result


def write_flax(path: Path, arrays: Mapping[tuple[str, ...], Tensor], *, chunk: int = 2**30) -> None:
    tree: dict[str, Any] = {}
    for keys, array in arrays.items():
        branch = tree
        for key in keys[:-1]:
            branch = branch.setdefault(key, {})
        branch[keys[-1]] = _chunked(array, chunk) if array.numel() * array.element_size() > chunk else packed(array)
    path.write_bytes(msgpack.packb(tree))


def packed(array: Tensor) -> msgpack.ExtType:
    numbers = bytes(array.contiguous().view(torch.uint8).numpy()) if array.ndim else array.numpy().tobytes()
    name = str(array.dtype).removeprefix("torch.")
    return msgpack.ExtType(1, msgpack.packb((tuple(array.shape), name, numbers)))


def _chunked(array: Tensor, chunk: int) -> dict[str, Any]:
    flat = array.reshape(-1)
    size = max(1, chunk // array.element_size())
    parts = [packed(flat[n * size : (n + 1) * size]) for n in range(math.ceil(len(flat) / size))]
    return {
        "__msgpack_chunked_array__": True,
        "shape": {str(n): size for n, size in enumerate(array.shape)},
        "chunks": {str(n): part for n, part in enumerate(parts)},
    }
