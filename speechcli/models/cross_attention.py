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
        decoder: that reads.
        ids: (batch, tokens).
        memory: (batch, frames, memory width).
        memory_mask: bool, true where the memory is real, (batch, frames).

    Returns:
        by the number of the layer, for those that read the memory: (batch, heads, tokens, frames), float32, with a sum
        of one over the frames
    """
    readers = {number: layer.cross_attn for number, layer in enumerate(decoder.layers)}
    queries: dict[int, Tensor] = {}
    cache = decoder.start(memory, memory_mask)
    with ExitStack() as hooks:
        for number, reader in readers.items():
            if isinstance(reader, CrossAttention):

                def keep(_: object, __: object, query: Tensor, number: int = number) -> None:
                    queries[number] = query

                hooks.callback(reader.query.register_forward_hook(keep).remove)
        decoder.step(ids, cache)
    found = {}
    for number, query in queries.items():
        reader = readers[number]
        assert isinstance(reader, CrossAttention)
        found[number] = reader.weights(query, cache.layers[number].memory, mask=memory_mask)
    return found
