"""The weights of a decoder's cross-attention."""

from contextlib import ExitStack

import torch
from torch import Tensor

from speechcli.models.decoder import TextDecoder
from speechcli.nn.attention import CrossAttention


@torch.no_grad()
def cross_attention_weights(
    decoder: TextDecoder, ids: Tensor, memory: Tensor, memory_mask: Tensor | None = None
) -> dict[int, Tensor]:
    """Return the cross-attention weights of each layer for each token.

    Args:
        decoder: the decoder.
        ids: (batch, tokens).
        memory: (batch, frames, memory width).
        memory_mask: bool, false for padding, (batch, frames).

    Returns:
        for each layer with cross-attention, by its number: (batch, heads, tokens, frames), float32, with a sum of one
        over the frames
    """
    layers = {number: layer.cross_attn for number, layer in enumerate(decoder.layers)}
    attentions = {number: module for number, module in layers.items() if isinstance(module, CrossAttention)}
    queries: dict[int, Tensor] = {}
    cache = decoder.start(memory, memory_mask)
    with ExitStack() as hooks:
        for number, attention in attentions.items():

            def keep(_: object, __: object, query: Tensor, number: int = number) -> None:
                queries[number] = query

            hooks.callback(attention.query.register_forward_hook(keep).remove)
        decoder.step(ids, cache)
    return {
        number: attention.weights(queries[number], cache.layers[number].memory, mask=memory_mask)
        for number, attention in attentions.items()
    }
