"""The files of a model folder: JSON and weights in all formats, sharded or not; folders are written atomically."""

import errno
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from speechcli.checkpoints.tensors import after_colon, read_tensors
from speechcli.errors import ModelError, OutputError
from speechcli.text.vocabulary import FILE_NAMES as TOKENIZER_FILES

CONFIG = "config.json"
GENERATION = "generation_config.json"
PREPROCESSOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"
OURS = "speechcli.json"
CTC_HEAD = "ctc_head.safetensors"
LANGUAGE_MODEL = "language_model"
"""A folder inside the model's."""
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "flax_model.msgpack",
    "flax_model.msgpack.index.json",
)
"""The first that exists is read."""

MAX_SHARD_BYTES = 5 * 1000**3

# Files of an earlier save that would take precedence over, or be left beside, the new ones.
_STALE = re.compile(
    r"model\.safetensors(\.index\.json)?|model-\d{5}-of-\d{5}\.safetensors|ctc_head\.safetensors|speechcli\.json"
    r"|language_model"
)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object; ``{"__float__": "Infinity"}``, which transformers 5 writes, becomes a float.

    Raises:
        ModelError: the file is missing, unreadable, not JSON, or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"), object_hook=_plain_float)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:  # the first is both JSONDecodeError and UnicodeDecodeError
        raise ModelError(f"{path} must be JSON, but it is not: {error}.") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} must have a JSON object, but contains a {type(value).__name__}.")
    return value


def read_optional_json(path: Path) -> dict[str, Any] | None:
    """Read one JSON object as `read_json` does, or return None if there is no such file."""
    return read_json(path) if path.exists() else None


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """Add the name of the folder to a ModelError that does not contain it yet."""
    try:
        yield
    except ModelError as error:
        if str(folder) in error.message:
            raise
        raise ModelError(f"{folder} cannot be loaded. {error.message}", hint=error.hint) from error


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json of a model folder.

    Raises:
        ModelError: the folder or its config.json is missing or damaged.
    """
    if not folder.is_dir():
        raise ModelError(f"A model is a folder, but {folder} is {'a file' if folder.exists() else 'not there'}.")
    try:
        names = _listing(folder)
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error.strerror or error}.") from error
    if not (folder / CONFIG).exists():
        inside = sorted(folder.glob(f"*/{CONFIG}"))  # in the folder of a run: best, then last
        raise ModelError(
            f"{folder} contains no {CONFIG}, so it is not a model folder; it contains {names}.",
            hint=f"Did you mean {inside[0].parent}?" if inside else None,
        )
    return read_json(folder / CONFIG)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write one JSON object, sorted by key and formatted as by transformers."""
    text = json.dumps(_strict_floats(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def has_weights(folder: Path) -> bool:
    """Return whether a folder contains weights, complete or some shards."""
    return any((folder / name).exists() for name in WEIGHTS if not name.endswith(".json")) or any(
        next(folder.glob(pattern), None)
        for pattern in ("model-*.safetensors", "pytorch_model-*.bin", "flax_model-*.msgpack")
    )


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read all tensors of a folder's weight files by their names in the files.

    Safetensors and zip-format pickles are memory-mapped: data is read when it is used, and nothing is copied.

    Raises:
        ModelError: there are no weights, a shard is missing or outside the folder, a file is damaged or contains code.
    """
    for name in WEIGHTS:
        path = folder / name
        if path.exists() and name.endswith(".index.json"):
            return _read_shards(folder, name)
        if path.exists():
            return read_tensors(path)
    raise ModelError(
        f"{folder} contains no weights: looked for {', '.join(WEIGHTS)}; it contains {_listing(folder)}.",
        hint="Download the model again, or convert its weights to model.safetensors.",
    )


def write_weights(folder: Path, tensors: Mapping[str, Tensor], *, max_shard_bytes: int = MAX_SHARD_BYTES) -> None:
    """Write model.safetensors, or numbered shards and their index if the tensors are larger than one shard."""
    shards = _split(tensors, max_shard_bytes)
    if len(shards) == 1:
        write_tensors(folder / "model.safetensors", shards[0])
        return
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_tensors(folder / name, shard)
        weight_map.update(dict.fromkeys(shard, name))
    size = sum(_bytes(tensor) for tensor in tensors.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": weight_map})


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write one safetensors file that transformers accepts.

    Raises:
        OutputError: the file cannot be written, for example because the disk is full.
    """
    try:
        path.touch()
        mode = path.stat().st_mode
        save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, path, metadata={"format": "pt"})
        path.chmod(mode)  # safetensors makes the file readable only for its owner
    except SafetensorError as error:
        if "I/O error" not in str(error):
            raise
        raise OutputError(f"{path.name} cannot be written: {after_colon(error)}.") from error
    except OSError as error:
        raise OutputError(f"{path.name} cannot be written: {error.strerror or error}.") from error


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; its files are moved to `folder` if the block succeeds, and deleted otherwise.

    A new folder is created atomically. In an existing folder each file is replaced atomically, weights of an earlier
    save are removed, also its tokenizer if there is a new one, and other files are kept.

    Raises:
        OutputError: the folder cannot be written, for example because the disk is full.
    """
    new = not folder.exists()
    home = folder.parent if new else folder
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=home, ignore_cleanup_errors=True) as scratch:
            # one level deeper, because the temporary folder itself is not accessible to other users
            stage = Path(scratch) / "model"
            stage.mkdir()
            yield stage
            for path in stage.rglob("*"):
                if path.is_file():
                    _flush(path)
            if new:
                os.rename(stage, folder)
            else:
                _replace_files(stage, folder)
        with suppress(OSError):  # some file systems cannot flush a folder
            _flush(home)
    except OSError as error:
        hint = "Free some space, or choose another folder." if error.errno in _NO_SPACE else None
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}.", hint=hint) from error


def _replace_files(stage: Path, folder: Path) -> None:
    written = sorted(path.name for path in stage.iterdir())
    for path in folder.iterdir():
        if path.is_dir() and _STALE.fullmatch(path.name):  # it cannot be replaced, but is complete in `stage`
            shutil.rmtree(path)
    for name in written:
        os.replace(stage / name, folder / name)
    # Files of two tokenizers would be read as one.
    tokenizer = TOKENIZER_FILES if not set(written).isdisjoint(TOKENIZER_FILES) else ()
    for path in folder.iterdir():
        if (_STALE.fullmatch(path.name) or path.name in tokenizer) and path.name not in written:
            path.unlink()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_shards(folder: Path, index: str) -> dict[str, Tensor]:
    weight_map = read_json(folder / index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise ModelError(f'{folder / index} must name a file for each tensor under "weight_map", but does not.')
    names = sorted(set(weight_map.values()))
    for name in names:
        _refuse_outside(folder, name, index)
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        raise ModelError(f"{folder} lacks {len(absent)} of the {len(names)} weight files: {', '.join(absent)}.")
    tensors: dict[str, Tensor] = {}
    for name in names:
        shard = read_tensors(folder / name)
        tensors.update({key: tensor for key, tensor in shard.items() if weight_map.get(key, name) == name})
    # Tensors of Flax shards are renamed when they are read; missing ones are found when the model is filled.
    lost = [] if index.startswith("flax") else sorted(set(weight_map) - set(tensors))
    if lost:
        raise ModelError(f"{index} of {folder} lists tensors that its files lack: {', '.join(lost)}.")
    return tensors


def _refuse_outside(folder: Path, name: str, index: str) -> None:
    # Names with "/", "\", "..", a drive or a root are not plain file names; links may still point elsewhere.
    plain = name not in ("", ".", "..") and not set(name) & set("/\\:\0")
    real, home = (folder / name).resolve() if plain else folder, folder.resolve()
    # In huggingface_hub's cache, snapshots/COMMIT/FILE is a link to blobs/HASH.
    blobs = home.parent.parent / "blobs" if home.parent.name == "snapshots" else home
    if not plain or real.parent not in (home, blobs):
        raise ModelError(f"{index} of {folder} must name files of that folder, but names {name!r}.")


def _split(tensors: Mapping[str, Tensor], max_shard_bytes: int) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for key, tensor in tensors.items():
        if size and size + _bytes(tensor) > max_shard_bytes:
            shards.append({})
            size = 0
        shards[-1][key] = tensor
        size += _bytes(tensor)
    return shards


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "") if names else "nothing"


def _plain_float(value: dict[str, Any]) -> Any:
    return float(value["__float__"]) if value.keys() == {"__float__"} else value


def _strict_floats(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _strict_floats(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict_floats(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"__float__": {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")}
    return value
