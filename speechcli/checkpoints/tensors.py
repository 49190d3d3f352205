"""Reader of one weight file: safetensors, torch pickle (without executing code) or Flax msgpack."""

import json
import math
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from speechcli.checkpoints.flax import read_flax
from speechcli.errors import ModelError

_MAX_HEADER_BYTES = 100 * 1024**2  # as in the safetensors library


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of one weight file; safetensors files and torch's zip archives are memory-mapped.

    Raises:
        ModelError: the file is damaged, or contains anything but tensors by name.
    """
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        return read_flax(path) if path.suffix == ".msgpack" else _read_pickle(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ModelError as error:
        if not _is_lfs(path):
            raise
        raise ModelError(error.message, hint="It is a Git LFS pointer: run `git lfs pull` there.") from error


def read_header(path: Path) -> dict[str, dict[str, Any]]:
    """Read data type and shape of each tensor from the header of a safetensors file.

    Raises:
        ModelError: the file is not safetensors.
    """
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > _MAX_HEADER_BYTES:
                raise ValueError(f"a header of {size} bytes")
            header = json.loads(file.read(size))
        entries = {key: entry for key, entry in header.items() if key != "__metadata__"}
        for entry in entries.values():
            math.prod(entry["shape"]), entry["dtype"]
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise ModelError(
            f"{path} must be a safetensors file, but its header is not: {error}.", hint="Download the model again."
        ) from error
    return entries


def after_colon(error: Exception) -> str:
    """Return the last part of a message of the safetensors library, which describes the problem."""
    return str(error).split(": ", 1)[-1].splitlines()[0]


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    path.open("rb").close()  # raises the actual error; the library reports a missing file for any
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except RuntimeError as error:  # torch cannot memory-map it
        raise ModelError(f"{path} cannot be read: {after_colon(error)}.") from error
    except (SafetensorError, ValueError) as error:
        raise ModelError(
            f"{path} is not a complete safetensors file: {after_colon(error)}.", hint="Download the model again."
        ) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        value = _torch_load(path)
    except OSError:
        raise
    except Exception as error:  # torch.load may raise nearly any exception for damaged files
        raise ModelError(
            f"{path} is damaged, or contains something other than weights, and was not executed.",
            hint="Use a model whose weights are in model.safetensors.",
        ) from error
    if not isinstance(value, dict) or not all(_is_plain(tensor) for tensor in value.values()):
        raise ModelError(f"{path} must contain tensors by name, but contains something else.")
    return {str(key): tensor.detach() for key, tensor in value.items()}


def _torch_load(path: Path) -> Any:
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"  # files written before torch 1.6 are not archives and cannot be memory-mapped
    if zipped:
        with zipfile.ZipFile(path) as archive:
            # torch does not compress archives; this rejects files that would expand in memory
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("compressed")
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)


def _is_plain(value: object) -> bool:
    plain = type(value) in (Tensor, nn.Parameter)
    return plain and value.layout is torch.strided and value.device.type == "cpu" and not value.is_quantized  # type: ignore[attr-defined]


def _is_lfs(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        return file.read(23) == b"version https://git-lfs"
    return False
