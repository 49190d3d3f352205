"""A model in training: in one process, replicated in several (DDP), or sharded over several (FSDP)."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from speechcli.errors import UsageError
from speechcli.training.ema import RunningMean
from speechcli.training.freezing import freeze
from speechcli.training.optimizer import build_optimizer
from speechcli.training.sharding import shard, shard_like, synchronize_gradients, whole
from speechcli.training.train_options import TrainOptions

MEAN = "mean."
"""Prefix of averaged weights in a checkpoint: with LoRA, its model folder contains only merged weights."""


class Learner:
    """A model, its optimizer and the average of its weights, for any number of processes.

    Args:
        model: the model, not sharded; with sharding, its weights are current only within `final_weights`.
        options: sections `optimizer`, `model` and `run` are read.
        accelerator: device and processes.
        frozen: parts that are always frozen, see `freezing`.

    Attributes:
        model: the model.
        weights: the module with the trained parameters, with the names of the model.
        module: the module to call in training, like the model.
        optimizer: the optimizer.

    Raises:
        UsageError: if the weights cannot be sharded with these options.
    """

    def __init__(
        self, model: nn.Module, options: TrainOptions, accelerator: Accelerator, frozen: tuple[str, ...] = ()
    ) -> None:
        self.model, self._options, self._frozen = model, options, frozen
        self._sharded = options.run.shard_weights and accelerator.num_processes > 1
        self._accelerator = accelerator
        self.weights = self.module = model
        if self._sharded:
            _check_sharding(options)
            self.weights = self.module = shard(model, accelerator.device)
            model.to("cpu")
        else:
            self.module = accelerator.prepare(model)
        self.optimizer = build_optimizer(self.weights, options.optimizer)
        self._mean = RunningMean(self.weights, options.run.ema_decay) if options.run.ema_decay else None

    def freeze(self, *, encoder_frozen: bool) -> None:
        """Choose the trainable parameters, with or without the encoder."""
        freeze(self.weights, self._frozen, learn=self._options.model.learn, encoder_frozen=encoder_frozen)

    def accumulate(self, *, last: bool) -> AbstractContextManager[None]:
        """Return a context manager for one batch of a step; gradients are synchronized after the last one."""
        if self._sharded:
            synchronize_gradients(self.weights, last)
            return nullcontext()
        return nullcontext() if last else self._accelerator.no_sync(self.module)

    def update_mean(self, step: int) -> None:
        """Update the average with the weights of a step."""
        if self._mean:
            self._mean.update(self.weights, step)

    @contextmanager
    def final_weights(self) -> Iterator[None]:
        """Give `model` the weights to evaluate and save (the average, not sharded) within a with-statement.

        With sharding, all processes must call this together.
        """
        if not self._sharded:
            with self._mean.swapped(self.model) if self._mean else nullcontext():
                yield
            return
        self.model.load_state_dict({name: whole(tensor).cpu() for name, tensor in self.weights.state_dict().items()})
        if self._mean:
            parameters = dict(self.model.named_parameters())
            for name, tensor in self._mean.weights.items():
                parameters[name].data.copy_(whole(tensor))
        self.model.to(self._accelerator.device)
        yield
        self.model.to("cpu")

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor] | None]:
        """Return the optimizer's state, and the weights if the saved model contains their average instead.

        With sharding, all processes must call this together.
        """
        optimizer = self.optimizer.state_dict()
        moments = {
            number: {name: whole(tensor) for name, tensor in tensors.items()}
            for number, tensors in optimizer["state"].items()
        }
        state = self.weights.state_dict()
        # a model folder contains averaged weights, merged LoRA weights and no teacher head
        differs = self._mean is not None or _has_lora(state) or any("teacher_head." in name for name in state)
        weights = {name: whole(tensor).clone() for name, tensor in state.items()} if differs else None
        if weights is not None and self._mean and _has_lora(state):
            means = {name: whole(tensor) for name, tensor in self._mean.weights.items()}
            changed = {name: tensor for name, tensor in means.items() if not torch.equal(tensor, weights[name])}
            weights |= {MEAN + name: tensor.clone() for name, tensor in changed.items()}
        return optimizer | {"state": moments}, weights

    def load_state(self, optimizer: Mapping[str, Any], weights: Mapping[str, Tensor] | None) -> None:
        """Restore what `state` returned; the model already has the weights of the checkpoint.

        The optimizer keeps its own options (learning rates, betas, weight decay), which may have changed.

        Raises:
            UsageError: if weight decay or scales changed so that they divide the parameters into other groups.
        """
        groups = self.optimizer.state_dict()["param_groups"]
        before, now = ([len(group["params"]) for group in each] for each in (optimizer["param_groups"], groups))
        if before != now:
            raise UsageError(
                "A resumed run must group its parameters by weight decay and scale as before, but groups of "
                f"{before} became {now}.",
                hint="leave optimizer.weight_decay and optimizer.…_scale as they were, or start a new run with --model",
            )
        parameters = [each for group in self.optimizer.param_groups for each in group["params"]]
        moments = {
            number: {name: shard_like(tensor, parameters[number]) for name, tensor in tensors.items()}
            for number, tensors in optimizer["state"].items()
        }
        self.optimizer.load_state_dict({"param_groups": groups, "state": moments})
        if self._mean:
            self._mean.start_from(self.weights)
        if weights is not None:
            ours = self.weights.state_dict()
            sharded = {name: shard_like(each, ours[name.removeprefix(MEAN)]) for name, each in weights.items()}
            means = {name.removeprefix(MEAN): each for name, each in sharded.items() if name.startswith(MEAN)}
            self.weights.load_state_dict({name: each for name, each in sharded.items() if not name.startswith(MEAN)})
            if self._mean and _has_lora(ours):
                self._mean.start_from(self.weights)
                self._mean.weights |= means


def _has_lora(names: Iterable[str]) -> bool:
    return any(".lora_" in name for name in names)


def _check_sharding(options: TrainOptions) -> None:
    refused = {
        "run.dtype=float16": options.run.dtype == "float16",
        "model.freeze_encoder_steps": options.model.freeze_encoder_steps > 0,
    }
    for name, wanted in refused.items():
        if wanted:
            raise UsageError(
                f"`run.shard_weights` does not work together with `{name}`.",
                hint="leave one of them out; bfloat16 needs no loss scaling, and model.freeze is for the whole run",
            )
