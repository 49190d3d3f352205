"""The text decoder."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from speechcli.nn.cache import DecoderCache
from speechcli.nn.layer import TransformerLayer
from speechcli.nn.positions import InterleavedRotaryPositions, Positions


def token_embeddings(vocabulary: int, width: int, padding_id: int | None) -> nn.Embedding:
    """Embeddings of tokens, of which the padding's begins as zeros and learns nothing from being read.

    That matters where a text begins with it, as in Marian and Pegasus.

    Args:
        vocabulary: number of tokens.
        width: of a vector.
        padding_id: None, or one that is no token: all learn.
    """
    known = padding_id is not None and 0 <= padding_id < vocabulary
    return nn.Embedding(vocabulary, width, padding_idx=padding_id if known else None)


class TransformHead(nn.Module):
    """BERT's and RoBERTa's head: a linear map, an activation and a norm before the vocabulary scores.

    Args:
        dense: of the decoder's width.
        activation: after it.
        norm: after the activation.
        scores: to the vocabulary.
    """

    def __init__(self, dense: nn.Linear, activation: nn.Module, norm: nn.Module, scores: nn.Linear) -> None:
        super().__init__()
        self.dense, self.activation, self.norm, self.scores = dense, activation, norm, scores

    def forward(self, x: Tensor) -> Tensor:
        """(rows, tokens, width) -> (rows, tokens, vocabulary)."""
        return self.scores(self.norm(self.activation(self.dense(x))))  # type: ignore[no-any-return]


class TextDecoder(nn.Module):
    """A stack of causal layers with cross-attention to a memory.

        ids -> tokens * scale (-> map) + positions + types -> norm -> widen
            -> layers (reading the memory) -> norm -> head

    Args:
        tokens: embeddings of the vocabulary.
        positions: added to the embeddings, or read by the attention of all layers.
        layers: with cross-attention.
        head: a linear map or a `TransformHead`, to the vocabulary.
        types: tables of types of tokens; the first type of each is added everywhere.
        token_map: of the token embeddings alone, a norm for example.
        embedding_norm: after the sum of the embeddings.
        widen: from the width of the embeddings to that of the layers, where they differ.
        norm: after the layers.
        scale: of the token embeddings.
        dropout: on the input of the layers, in training.
        layer_dropout: probability of skipping a layer, in training.
    """

    def __init__(
        self,
        tokens: nn.Embedding,
        positions: Positions | InterleavedRotaryPositions,
        layers: Sequence[TransformerLayer],
        head: nn.Linear | TransformHead,
        *,
        types: Sequence[nn.Embedding] = (),
        token_map: nn.Module | None = None,
        embedding_norm: nn.Module | None = None,
        widen: nn.Linear | None = None,
        norm: nn.Module | None = None,
        scale: float = 1.0,
        dropout: float = 0.0,
        layer_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tokens, self.positions, self.types = tokens, positions, nn.ModuleList(types)
        self.token_map, self.embedding_norm, self.widen = token_map, embedding_norm, widen
        self.layers, self.norm, self.head = nn.ModuleList(layers), norm, head
        self.scale = scale
        self.dropout = nn.Dropout(dropout)
        self.layer_dropout = layer_dropout
        self.width = tokens.embedding_dim if widen is None else widen.out_features
        self.vocabulary = tokens.num_embeddings
        self.max_tokens = positions.max_tokens

    def forward(
        self, ids: Tensor, memory: Tensor, memory_mask: Tensor | None = None, *, mask: Tensor | None = None
    ) -> Tensor:
        """Return the logits of every position, as in training.

        Args:
            ids: (batch, tokens).
            memory: (batch, frames, memory width).
            memory_mask: bool, true where the memory is real, (batch, frames).
            mask: bool, true where a token is real, (batch, tokens); padding on the right needs none.

        Returns:
            logits (batch, tokens, vocabulary)
        """
        logits: Tensor = self.head(self._hidden(ids, self.start(memory, memory_mask), mask))
        return logits

    def start(self, memory: Tensor, memory_mask: Tensor | None = None) -> DecoderCache:
        """Make the cache for a memory (batch, frames, memory width), which is projected once for every layer."""
        memory = memory.to(self.tokens.weight.dtype)
        return DecoderCache([layer.project(memory) for layer in self._layers()], memory_mask)

    def step(self, ids: Tensor, cache: DecoderCache) -> Tensor:
        """Return the logits after the newest tokens.

        Args:
            ids: (rows, new tokens), what `cache` has not seen yet.
            cache: receives them.

        Returns:
            logits (rows, vocabulary) of the last position
        """
        logits: Tensor = self.head(self._hidden(ids, cache)[:, -1])
        return logits

    def _hidden(self, ids: Tensor, cache: DecoderCache, mask: Tensor | None = None) -> Tensor:
        x = self.tokens(ids) * self.scale
        if self.token_map is not None:
            x = self.token_map(x)
        positions = self.positions(ids, cache.length)
        rotary = positions if isinstance(self.positions, InterleavedRotaryPositions) else None
        if rotary is None:
            x = x + positions
        for table in cast(list[nn.Embedding], list(self.types)):
            x = x + table.weight[0]
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        x = self.dropout(x)
        if self.widen is not None:
            x = self.widen(x)
        for layer, kept in zip(self._layers(), cache.layers, strict=True):
            if self.training and torch.rand(()).item() < self.layer_dropout:
                continue
            x = layer.decode(x, kept, mask=mask, memory_mask=cache.memory_mask, positions=rotary)
        y: Tensor = x if self.norm is None else self.norm(x)
        return y

    @property
    def memory_width(self) -> int:
        """Width of the memory that the layers read."""
        readers = [layer.cross_attn for layer in self._layers() if layer.cross_attn is not None]
        return readers[0].key.in_features if readers else self.width

    def _layers(self) -> list[TransformerLayer]:
        return cast(list[TransformerLayer], list(self.layers))
