"""Keys and values that decoding keeps between steps: an argument of the forward pass, never a buffer of a module."""

import torch
from torch import Tensor


class KeyValues:
    """Projected keys and values of one attention, each (rows, heads, tokens, head width)."""

    def __init__(self, key: Tensor | None = None, value: Tensor | None = None) -> None:
        self.key = key
        self.value = value

    @property
    def length(self) -> int:
        """Tokens held."""
        return 0 if self.key is None else self.key.size(2)

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add the newest tokens and return everything held, each (rows, heads, tokens, head width)."""
        if self.key is not None and self.value is not None:
            key, value = torch.cat([self.key, key], dim=2), torch.cat([self.value, value], dim=2)
        self.key, self.value = key, value
        return key, value

    def reorder(self, rows: Tensor) -> None:
        """Keep the rows with these indices, in this order; an index may come more than once."""
        if self.key is not None and self.value is not None:
            self.key, self.value = self.key.index_select(0, rows), self.value.index_select(0, rows)


class LayerCache:
    """What one decoder layer keeps: its own tokens, and the encoder memory in its own projection."""

    def __init__(self, memory: KeyValues) -> None:
        self.tokens = KeyValues()
        self.memory = memory


class DecoderCache:
    """What a decoder keeps between steps.

    The memory has one row an utterance. The token rows may be more: hypotheses of one utterance stand next to each
    other and share its memory row, so that beams never copy the encoder's output.

    Args:
        layers: one cache a layer, with the projected memory in it.
        memory_mask: (batch, frames), true where the memory is real; None when all of it is.
    """

    def __init__(self, layers: list[LayerCache], memory_mask: Tensor | None) -> None:
        self.layers = layers
        self.memory_mask = memory_mask

    @property
    def length(self) -> int:
        """Tokens already decoded."""
        return self.layers[0].tokens.length if self.layers else 0

    def reorder(self, rows: Tensor) -> None:
        """Keep the token rows with these indices, in this order.

        Args:
            rows: (new rows,) indices of old rows. Every utterance must keep the same number of rows, next to each
                other and in the utterances' order, as beam search does.
        """
        for layer in self.layers:
            layer.tokens.reorder(rows)
