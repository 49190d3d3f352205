"""Reader of Flax weights (flax_model.msgpack) without JAX; names and layout are converted to those of torch."""

import math
import mmap
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgpack
import torch
from torch import Tensor

from speechcli.errors import ModelError

# Flax's msgpack extension types: an array is (shape, name of the dtype, bytes); a scalar is an array without axes.
_ARRAY, _SCALAR = 1, 3
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int32, torch.int64, torch.bool)
}
# Arrays of more than 2^30 bytes are split.
_CHUNKED = "__msgpack_chunked_array__"

_LEAVES = {"kernel": "weight", "embedding": "weight", "scale": "weight"}
# Written by https://github.com/sanchit-gandhi/seq2seq-speech, which trained the checkpoints of the ESB benchmark:
# `use_scan` stacks all layers in one array, `fuse_matmuls` concatenates projections.
_SCANNED = re.compile(r"Flax\w+Layers")
_FUSED = {"fused_proj": ("q_proj", "k_proj", "v_proj"), "fused_key_value": ("k_proj", "v_proj")}

_MAX_DEPTH = 50


def read_flax(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a Flax model by their names in torch.

    Raises:
        ModelError: the file is damaged, or contains anything but arrays.
        OSError: the file cannot be read.
    """
    tensors: dict[str, Tensor] = {}
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            tree = msgpack.unpackb(content, ext_hook=_array)
        for keys, array in _arrays(tree, ()):
            for name, tensor in _in_torch(keys, array):
                if name in tensors:
                    raise ValueError(f"two arrays are called {name}")
                tensors[name] = tensor.contiguous()
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError, msgpack.UnpackException) as error:
        raise ModelError(
            f"{path} is not a complete Flax model: {str(error).rstrip('.') or type(error).__name__}.",
            hint="Download the model again.",
        ) from error
    return tensors


def _array(code: int, content: bytes) -> Tensor:
    if code not in (_ARRAY, _SCALAR):
        raise ValueError(f"it contains values of the unknown type {code}")
    shape, name, numbers = msgpack.unpackb(content)
    if name not in _DTYPES:
        raise ValueError(f"it contains an array of {name!r}")
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"it contains an array of shape {shape}")
    dtype = _DTYPES[name]
    if math.prod(shape) * dtype.itemsize != len(numbers):
        raise ValueError(f"{len(numbers)} bytes are no {name} array of shape {shape}")
    return (
        torch.frombuffer(bytearray(numbers), dtype=dtype).reshape(shape) if numbers else torch.empty(shape, dtype=dtype)
    )


def _arrays(tree: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    if len(keys) > _MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    if isinstance(tree, Tensor):
        yield keys, tree
    elif isinstance(tree, Mapping) and _CHUNKED in tree:
        yield keys, _joined(tree)
    elif isinstance(tree, dict):
        while tree:  # entries are removed one by one, so that no tensor is in memory twice
            key = next(iter(tree))
            yield from _arrays(tree.pop(key), (*keys, key))
    else:
        raise ValueError(f"{'/'.join(keys) or 'the whole'} is a {type(tree).__name__} where an array is needed")


def _joined(chunks: Mapping[str, Any]) -> Tensor:
    # lists are stored as maps from "0", "1", …
    parts, shape = ([chunks[key][str(n)] for n in range(len(chunks[key]))] for key in ("chunks", "shape"))
    return torch.cat(parts).reshape(shape)


def _in_torch(keys: Sequence[str], array: Tensor) -> Iterator[tuple[str, Tensor]]:
    *modules, leaf = keys
    for place, module in enumerate(modules):
        if _SCANNED.fullmatch(module):
            for number, layer in enumerate(array):
                yield from _in_torch((*modules[:place], str(number), *modules[place + 1 :], leaf), layer)
            return
        if module in _FUSED:
            for name, part in zip(_FUSED[module], array.tensor_split(len(_FUSED[module]), dim=-1), strict=True):
                yield from _in_torch((*modules[:place], name, *modules[place + 1 :], leaf), part)
            return
    # dense: (in, out); convolution: (kernel, in, out)
    turned = array.permute(*reversed(range(array.ndim))) if leaf == "kernel" else array
    yield ".".join((*modules, _LEAVES.get(leaf, leaf))), turned
