"""Tensors of a file become the weights of a model that was built without numbers."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from speechcli.families.composite import SpeechEncoderDecoderConfig
from speechcli.families.family import tie
from speechcli.nn.positions import Tables


def ready(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Put a tensor of a file into the memory layout and the numbers that a model computes in."""
    return (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()


def assign(model: nn.Module, tensors: Mapping[str, Tensor], *, tied: tuple[str, str] | None) -> None:
    """Make tensors the weights of a model, without copying them.

    Args:
        model: may lie on the meta device.
        tensors: one for each name in its state, no more and no fewer.
        tied: names of the head's matrix and of the embeddings, which become one parameter.
    """
    model.load_state_dict(dict(tensors), assign=True)
    tie(model, tied)


def untie_if_different(config: SpeechEncoderDecoderConfig, tensors: Mapping[str, Tensor]) -> None:
    """Say in the configuration that head and embeddings are two, where they are although it calls them one.

    Old transformers overwrote such a head in silence; the current one keeps both, and so do we.
    """
    if config.tied is None:
        return
    head, tokens = (tensors[name] for name in config.tied)
    if head.data_ptr() != tokens.data_ptr() and not torch.equal(head, tokens):
        config.decoder = config.decoder.with_values({"tie_word_embeddings": False})


def ctc_head(weight: Tensor | None, bias: Tensor | None, *, width: int, dtype: torch.dtype) -> nn.Linear | None:
    """Make a CTC head of the tensors of a file.

    Args:
        weight: (vocabulary, width), if the file is right.
        bias: (vocabulary,), if the file is right.
        width: of the frames.
        dtype: of the weights in memory.

    Returns:
        the head; None when the tensors are not there, or of other shapes
    """
    if weight is None or bias is None or weight.shape[1:] != (width,) or bias.shape != weight.shape[:1]:
        return None
    head = nn.Linear(width, weight.size(0), device="meta")
    fill(head, {"weight": weight, "bias": bias}, dtype=dtype)
    return head


def optional_tensors(expected: Mapping[str, torch.Size], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a checkpoint may lack without harm: the vector of SpecAugment, which only training reads, and a counter."""
    generator = torch.Generator().manual_seed(0)
    absent = [key for key in expected if key not in tensors]
    return {
        key: torch.zeros((), dtype=torch.long)
        if key.endswith("num_batches_tracked")
        else torch.rand(expected[key], generator=generator)
        for key in absent
    }


def table_of(model: nn.Module, name: str) -> Tables | None:
    """Find what computes a tensor of a model; None when nothing does."""
    owner = model.get_submodule(name.rpartition(".")[0])
    return owner if isinstance(owner, Tables) else None


def compute_tables(model: nn.Module, names: Iterable[str]) -> None:
    """Fill the tables of these names that follow from the configuration, where the checkpoint lacks them."""
    for name in names:
        if (table := table_of(model, name)) is not None:
            table.reset()


def fill(
    model: nn.Module, tensors: Mapping[str, Tensor], *, dtype: torch.dtype, tied: tuple[str, str] | None = None
) -> None:
    """Make the tensors of a checkpoint the weights of a model; what a checkpoint may lack is made.

    Args:
        model: may lie on the meta device.
        tensors: by the names in the model's state.
        dtype: of the weights in memory.
        tied: names of the head's matrix and of the embeddings, which become one parameter.
    """
    lacking = optional_tensors({key: tensor.shape for key, tensor in model.state_dict().items()}, tensors)
    assign(model, {key: ready(tensor, dtype) for key, tensor in {**tensors, **lacking}.items()}, tied=tied)
    compute_tables(model, lacking)
