"""AdamW with parameter groups, and the learning rate of every step."""

import math

import torch
from torch import nn

from speechcli.training.freezing import region
from speechcli.training.sharding import whole
from speechcli.training.train_options import OptimizerSection


def build_optimizer(model: nn.Module, options: OptimizerSection) -> torch.optim.AdamW:
    """Make AdamW for the trainable parameters.

    Vectors (norms, biases, scales) have no weight decay. The learning rate of encoder, bridge and decoder is multiplied
    by the `scale` of their group.
    """
    scales = {"encoder": options.encoder_scale, "bridge": options.bridge_scale, "decoder": options.decoder_scale}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        decay = options.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((decay, scales[region(name)]), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": decay, "scale": scale}
            for (decay, scale), parameters in groups.items()
        ],
        lr=options.learning_rate,
        betas=options.betas,
        fused=True,
    )


def learning_rate(options: OptimizerSection, step: int, done: float, *, warmup_share: float = 0.0) -> float:
    """Return the learning rate of a step.

    Args:
        options: the schedule and its limits.
        step: number of steps before this one.
        done: finished share of the run, 0 to 1 (by steps, epochs or minutes, whichever ends it first).
        warmup_share: share of the run taken by the warm-up, after which the learning rate decays.
    """
    warmup = options.warmup_steps
    if step < warmup:
        return options.learning_rate * (step + 1) / warmup
    fall = min(max((done - warmup_share) / max(1.0 - warmup_share, 1e-9), 0.0), 1.0)
    factor = {
        "constant": 1.0,
        "linear": 1.0 - fall,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * fall)),
        "inverse-sqrt": math.sqrt(max(warmup, 1) / max(step + 1, 1)),
    }[options.schedule]
    return max(options.learning_rate * factor, options.min_learning_rate)


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the learning rate of every group to `value` times its scale."""
    for group in optimizer.param_groups:
        group["lr"] = value * group["scale"]


def current_learning_rate(optimizer: torch.optim.Optimizer) -> float:
    """Return the learning rate without scales; 0 if all scales are 0."""
    return next((group["lr"] / group["scale"] for group in optimizer.param_groups if group["scale"] > 0), 0.0)


def clip_gradients(model: nn.Module, limit: float) -> float:
    """Clip the gradients to the norm `limit` (0: do not clip), and return the norm before."""
    parameters = [parameter for parameter in model.parameters() if parameter.grad is not None]
    if limit > 0:
        return float(whole(nn.utils.clip_grad_norm_(parameters, limit)))
    norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    return float(whole(norm))
