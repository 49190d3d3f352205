"""Where a model computes, and in which numbers."""

import torch

from speechcli.errors import UsageError
from speechcli.pipelines.options import ModelOptions

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Return the device that a name means: `auto` takes a GPU if there is one, then Apple's, then the processor.

    Raises:
        UsageError: it is no device, or not there.
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
        raise UsageError(f"`--device {name}` must be there, but torch sees {seen}.", hint="Try --device auto.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError("`--device mps` must be there, but torch sees none.", hint="Try --device auto.")
    return torch.device(name)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the numbers that a name means: `auto` is bfloat16 on GPUs that multiply it natively, else float32."""
    if name != "auto":
        return _DTYPES[name]
    native = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere
    return torch.bfloat16 if native else torch.float32


def prepare(options: ModelOptions) -> tuple[torch.device, torch.dtype]:
    """Choose device and numbers, and set torch's number of threads.

    Raises:
        UsageError: the device is not there, or there are fewer than 1 threads.
    """
    if options.threads is not None:
        if options.threads < 1:
            raise UsageError(f"`--threads` must be at least 1, but is {options.threads}.")
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    return device, choose_dtype(options.dtype, device)
