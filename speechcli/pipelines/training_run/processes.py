"""Set up training in several processes, started by torchrun or `accelerate launch`."""

import os
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs

from speechcli.errors import UsageError
from speechcli.pipelines.load import choose_device
from speechcli.training.train_options import RunSection

LONGEST_WAIT = timedelta(hours=6)
"""Timeout for other processes: one may be decoding much longer recordings, or writing to a slow disk."""


def meet(run: RunSection) -> Accelerator:
    """Choose the device of this process, and connect to the others.

    Raises:
        UsageError: if the device is not available, or `accelerate` is configured to use its own engine.
    """
    for engine, instead in (("FSDP", "--set run.shard_weights=true"), ("DEEPSPEED", ""), ("MEGATRON_LM", "")):
        if os.environ.get(f"ACCELERATE_USE_{engine}", "").lower() in ("1", "true", "yes"):
            raise UsageError(
                f"`accelerate launch` may start the processes, but must not use its own {engine}.",
                hint=f"leave out --use_{engine.lower()}{' for ' if instead else ''}{instead}",
            )
    if run.threads:
        torch.set_num_threads(run.threads)
    device = choose_device(run.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    # layer drop and rows without a transcript leave weights without a gradient in some steps
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    patient = InitProcessGroupKwargs(timeout=LONGEST_WAIT)
    return Accelerator(cpu=device.type == "cpu", mixed_precision="no", kwargs_handlers=[unused, patient])
