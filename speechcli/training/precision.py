"""Which numbers the matrix products of training use."""

from contextlib import AbstractContextManager

import torch


def autocast(device: torch.device, dtype: str) -> AbstractContextManager[None]:
    """Return a with-statement in which products are bfloat16 or float32.

    `auto` is bfloat16 on GPUs that multiply it natively. On processors it is float32, even where AVX512-BF16 exists:
    models small enough to train there lose more time to conversions than they gain.
    """
    wanted = dtype == "bfloat16" or (dtype == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported(False))
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted)
