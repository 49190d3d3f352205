"""Assigning the tensors of a file to a model that was built without allocating weights."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from speechcli.checkpoints.convert import check_numbers
from speechcli.checkpoints.folder import naming
from speechcli.checkpoints.tensors import read_tensors
from speechcli.errors import ModelError
from speechcli.families.composite import SpeechEncoderDecoderConfig
from speechcli.families.family import tie
from speechcli.nn.positions import Tables


def ready(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a tensor of a file as a contiguous tensor of the model's data type."""
    return (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()


def assign(model: nn.Module, tensors: Mapping[str, Tensor], *, tied: tuple[str, str] | None) -> None:
    """Set the weights of a model, without copying them.

    Args:
        model: the model; may be on the meta device.
        tensors: exactly one for each name in its state.
        tied: names of the head's matrix and of the embeddings, which are tied.
    """
    model.load_state_dict(dict(tensors), assign=True)
    tie(model, tied)


def untie_if_different(config: SpeechEncoderDecoderConfig, tensors: Mapping[str, Tensor]) -> None:
    """Set `tie_word_embeddings` to false if head and embeddings differ.

    Old versions of transformers silently replaced such a head; the current one keeps both, and so do we.
    """
    if config.tied is None:
        return
    head, tokens = (tensors[name] for name in config.tied)
    if head.data_ptr() != tokens.data_ptr() and not torch.equal(head, tokens):
        config.decoder = config.decoder.with_values({"tie_word_embeddings": False})


def read_ctc_head(path: Path, *, prefix: str = "", width: int, dtype: torch.dtype) -> nn.Linear:
    """Read a CTC head from a file.

    Args:
        path: the file.
        prefix: prefix of its keys.
        width: width of the frames.
        dtype: data type of the weights in memory.

    Raises:
        ModelError: the file is damaged, or does not contain a head for frames of this width.
    """
    theirs = read_tensors(path)
    tensors = {name: theirs[prefix + name] for name in ("weight", "bias") if prefix + name in theirs}
    shapes = [tensor.shape for tensor in tensors.values()]
    vocabulary = shapes[0][0] if shapes and shapes[0] else 0
    if shapes != [(vocabulary, width), (vocabulary,)]:
        raise ModelError(f"{path} must have a weight (vocabulary, {width}) and a bias (vocabulary), but does not.")
    head = nn.Linear(width, vocabulary, device="meta")
    with naming(path):
        check_numbers(head.state_dict(), tensors)
    fill(head, tensors, dtype=dtype)
    return head


def optional_tensors(expected: Mapping[str, torch.Size], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return values for missing optional tensors: SpecAugment's vector (only used in training) and counters."""
    generator = torch.Generator().manual_seed(0)
    absent = [key for key in expected if key not in tensors]
    return {
        key: torch.zeros((), dtype=torch.long)
        if key.endswith("num_batches_tracked")
        else torch.rand(expected[key], generator=generator)
        for key in absent
    }


def table_of(model: nn.Module, name: str) -> Tables | None:
    """Return the module that computes a tensor of a model; None if it is not computed."""
    owner = model.get_submodule(name.rpartition(".")[0])
    return owner if isinstance(owner, Tables) else None


def compute_tables(model: nn.Module, names: Iterable[str]) -> None:
    """Compute the tables among these names, which a checkpoint lacks."""
    for name in names:
        if (table := table_of(model, name)) is not None:
            table.reset()


def fill(
    model: nn.Module, tensors: Mapping[str, Tensor], *, dtype: torch.dtype, tied: tuple[str, str] | None = None
) -> None:
    """Set the weights of a model from a checkpoint; optional tensors that are missing are created.

    Args:
        model: the model; may be on the meta device.
        tensors: tensors by the names in the model's state.
        dtype: data type of the weights in memory.
        tied: names of the head's matrix and of the embeddings, which are tied.
    """
    lacking = optional_tensors({key: tensor.shape for key, tensor in model.state_dict().items()}, tensors)
    assign(model, {key: ready(tensor, dtype) for key, tensor in {**tensors, **lacking}.items()}, tied=tied)
    compute_tables(model, lacking)
