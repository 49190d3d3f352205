"""Cached keys and values of decoding: an argument of the forward pass, never a buffer of a module."""

import torch
from torch import Tensor


class KeyValues:
    """Projected keys and values of one attention module, each (rows, heads, tokens, head width)."""

    def __init__(self, key: Tensor | None = None, value: Tensor | None = None) -> None:
        self.key = key
        self.value = value

    @property
    def length(self) -> int:
        """Number of cached tokens."""
        return 0 if self.key is None else self.key.size(2)

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append new tokens and return all keys and values, each (rows, heads, tokens, head width)."""
        if self.key is not None and self.value is not None:
            key, value = torch.cat([self.key, key], dim=2), torch.cat([self.value, value], dim=2)
        self.key, self.value = key, value
        return key, value

    def reorder(self, rows: Tensor) -> None:
        """Keep the rows with these indices, in this order; an index may occur more than once."""
        if self.key is not None and self.value is not None:
            self.key, self.value = self.key.index_select(0, rows), self.value.index_select(0, rows)


class LayerCache:
    """The cache of one decoder layer: keys and values of the tokens and of the encoder memory."""

    def __init__(self, memory: KeyValues) -> None:
        self.tokens = KeyValues()
        self.memory = memory


class DecoderCache:
    """The cache of a decoder.

    The memory has one row per utterance. There may be more token rows: the hypotheses of one utterance are adjacent
    and share its memory row, so that beam search never copies the encoder's output.

    Args:
        layers: one cache per layer, with the projected memory.
        memory_mask: (batch, frames), false for padding; None if there is no padding.
    """

    def __init__(self, layers: list[LayerCache], memory_mask: Tensor | None) -> None:
        self.layers = layers
        self.memory_mask = memory_mask

    @property
    def length(self) -> int:
        """Number of decoded tokens."""
        return self.layers[0].tokens.length if self.layers else 0

    def reorder(self, rows: Tensor) -> None:
        """Keep the token rows with these indices, in this order.

        Args:
            rows: (new rows,) indices of old rows. Every utterance must keep the same number of rows, adjacent and in
                the order of the utterances, as in beam search.
        """
        for layer in self.layers:
            layer.tokens.reorder(rows)
