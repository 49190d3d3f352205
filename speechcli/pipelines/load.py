"""Find and load the model that the options name, and put it on its device."""

from pathlib import Path

import torch

from speechcli.checkpoints.bundle import Bundle, load
from speechcli.checkpoints.ctc import CtcBundle, is_ctc, load_ctc
from speechcli.checkpoints.folder import read_config
from speechcli.checkpoints.hub import resolve_model
from speechcli.errors import UsageError
from speechcli.models.pack import pack_decoder
from speechcli.models.quantize import quantize_decoder
from speechcli.pipelines.decoding_options import check
from speechcli.pipelines.speech_options import HubAccess, ModelOptions
from speechcli.training.limits import MAX_THREADS
from speechcli.training.precision import DTYPES, native_bfloat16

LARGE_BYTES = 100_000_000
"""Size of weight files below which `auto` stays at float32 on CPUs, where bfloat16 would not be faster."""


def choose_device(name: str) -> torch.device:
    """Return the device for a name; `auto` means a CUDA GPU if there is one, else Apple's GPU, else the CPU.

    Raises:
        UsageError: it is not a device, or not available.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdecimal())):
        raise UsageError(f"`--device` must be auto, cpu, cuda, cuda:N or mps, but is {name}.")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        seen = f"only cuda:0 to cuda:{count - 1}" if count else "no such GPU"
        raise UsageError(f"`--device {name}` must be available, but torch sees {seen}.", hint="Try --device auto.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError("`--device mps` must be available, but torch sees none.", hint="Try --device auto.")
    return torch.device(name)


def choose_dtype(name: str, device: torch.device, folder: Path) -> torch.dtype:
    """Return the dtype for a name.

    `auto` is bfloat16 if the device multiplies it natively, but float32 for small models on CPUs.

    Args:
        name: `auto`, `float32`, `bfloat16` or `float16`.
        device: the device of the model.
        folder: the folder of the model.
    """
    if name != "auto":
        return DTYPES[name]
    large = device.type != "cpu" or weight_bytes(folder) >= LARGE_BYTES
    return torch.bfloat16 if large and native_bfloat16(device) else torch.float32


def weight_bytes(folder: Path) -> int:
    """Return the size of a folder's weight files."""
    kinds = (".safetensors", ".bin", ".msgpack")
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in kinds)


def prepare(options: ModelOptions, folder: Path) -> tuple[torch.device, torch.dtype]:
    """Choose device and dtype for the model in a folder, and set torch's number of threads.

    Raises:
        UsageError: the device is not available, or the threads are not from 1 to 1024.
    """
    if options.threads is not None:
        check(1 <= options.threads <= MAX_THREADS, "--threads", f"from 1 to {MAX_THREADS}", options.threads)
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    return device, choose_dtype(options.dtype, device, folder)


def find_model(
    name: str | None,
    hub: HubAccess,
    *,
    revision: str | None = None,
    language: str | None = None,
    weights: bool = True,
) -> Path:
    """Return the folder of a model; download it if it is on the Hub.

    Args:
        name: a folder, or a name on the Hub; None: the embedded model.
        hub: how to access the Hub.
        revision: branch, tag or commit on the Hub.
        language: the spoken language, whose adapters are downloaded.
        weights: whether to download weights.

    Raises:
        ModelError: there is no such model.
    """
    return resolve_model(
        name,
        revision=revision,
        token=hub.token,
        cache_dir=hub.cache_dir,
        offline=hub.offline,
        language=language,
        weights=weights,
    )


def load_bundle(options: ModelOptions, language: str | None = None) -> Bundle | CtcBundle:
    """Find a model, load it and put it on its device.

    Args:
        options: which model, and where.
        language: the spoken language, if known.

    Raises:
        ModelError: it cannot be loaded.
        UsageError: the device is not available, or the weights cannot be quantized as requested.
    """
    folder = find_model(options.model, options, revision=options.revision, language=language)
    device, dtype = prepare(options, folder)
    is_ctc_model = is_ctc(read_config(folder))
    if options.quantize == "int8" and is_ctc_model:
        raise UsageError(f"`--quantize int8` makes a decoder faster, but {options.shown} has none.")
    if options.quantize == "int8" and device.type != "cpu":
        raise UsageError(f"`--quantize int8` is for CPUs, but the device is {device}.")
    if is_ctc_model:
        return load_ctc(folder, dtype=dtype, device=device, name=options.shown)
    bundle = load(folder, dtype=dtype, device=device, name=options.shown)
    if options.quantize == "int8":
        quantize_decoder(bundle.model)
    elif device.type == "cpu" and dtype == torch.bfloat16 and native_bfloat16(device):
        pack_decoder(bundle.model)
    return bundle
