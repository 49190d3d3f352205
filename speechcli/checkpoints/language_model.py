"""Loading of causal language models: text decoders without cross-attention."""

from pathlib import Path

import torch

from speechcli.checkpoints import folder as files
from speechcli.checkpoints.convert import check_numbers, to_ours
from speechcli.checkpoints.weights import fill
from speechcli.errors import ModelError
from speechcli.families import TEXT_DECODERS
from speechcli.families.composite import family_config
from speechcli.models.decoder import TextDecoder
from speechcli.nn.initialize import without_weights
from speechcli.nn.layer import TransformerLayer


def load_language_model(
    folder: Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> tuple[TextDecoder, int | None]:
    """Load a causal language model of any decoder family, such as a GPT-2.

    Args:
        folder: folder with config.json and weights.
        dtype: data type of the weights in memory.
        device: the device of the model.

    Returns:
        the model, in evaluation mode, and its first token, if it is in the configuration

    Raises:
        ModelError: a file is missing, damaged or not supported, or the weights do not fit.
    """
    values = files.read_config(folder)
    try:
        config = family_config(values, TEXT_DECODERS, role="language model")
        family = TEXT_DECODERS[config.model_type]
        theirs = files.read_weights(folder)
        with without_weights():
            model: TextDecoder = family.build(config)
        keys, tied = family.keys_in(config), family.tied_in(config)
        # BART's causal language models have an unused cross-attention; GPT-2's have none.
        if not any(".cross_attn." in key for key in to_ours(keys, theirs, _shapes(model), strict=False)[0]):
            forget_memory(model)
        expected = _shapes(model)
        tensors, _ = to_ours(keys, theirs, expected, tied=tied)
        check_numbers(model.state_dict(), tensors)
    except ModelError as error:
        raise ModelError(f"The language model {folder} cannot be loaded. {error.message}", hint=error.hint) from error
    fill(model, tensors, dtype=dtype, tied=tied)
    forget_memory(model)
    begin = getattr(config, "bos_token_id", None)
    return model.to(device).eval(), begin if isinstance(begin, int) and begin < model.vocabulary else None


def _shapes(model: TextDecoder) -> dict[str, torch.Size]:
    return {key: tensor.shape for key, tensor in model.state_dict().items()}


def forget_memory(model: TextDecoder) -> None:
    """Remove the cross-attention of a decoder, in place: it becomes a language model."""
    for layer in model.layers:
        assert isinstance(layer, TransformerLayer)
        layer.cross_attn = layer.cross_attn_norm = None
