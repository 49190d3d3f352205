"""The text decoder."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from speechcli.nn.cache import DecoderCache
from speechcli.nn.layer import TransformerLayer
from speechcli.nn.positions import InterleavedRotaryPositions, Positions


def token_embeddings(vocabulary: int, width: int, padding_id: int | None) -> nn.Embedding:
    """Make token embeddings; that of the padding token is zero at first and gets no gradients as an input.

    This matters for decoders that start with the padding token, such as Marian and Pegasus.

    Args:
        vocabulary: number of tokens.
        width: width of an embedding.
        padding_id: id of padding; None, or an id outside the vocabulary: all embeddings are trained.
    """
    known = padding_id is not None and 0 <= padding_id < vocabulary
    return nn.Embedding(vocabulary, width, padding_idx=padding_id if known else None)


class TransformHead(nn.Module):
    """The head of BERT and RoBERTa: a linear layer, an activation and a norm before the vocabulary scores.

    Args:
        dense: the linear layer.
        activation: activation after it.
        norm: norm after the activation.
        scores: linear layer to the vocabulary.
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
            -> layers (with cross-attention to the memory) -> norm -> head

    Args:
        tokens: token embeddings.
        positions: position embeddings, or rotary positions for the attention of all layers.
        layers: the layers.
        head: a linear layer or a `TransformHead`, to the vocabulary.
        types: token type embeddings; the first type of each table is added to all tokens.
        token_map: applied to the token embeddings alone, for example a norm.
        embedding_norm: norm of the sum of the embeddings.
        widen: linear layer from the width of the embeddings to that of the layers, if they differ.
        norm: norm after the layers.
        scale: factor for the token embeddings.
        dropout: dropout on the input of the layers.
        layer_dropout: probability of skipping a layer in training.
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
            memory_mask: bool, false for padding, (batch, frames).
            mask: bool, false for padding, (batch, tokens); not needed for padding on the right.

        Returns:
            logits (batch, tokens, vocabulary)
        """
        logits: Tensor = self.head(self._hidden(ids, self.start(memory, memory_mask), mask))
        return logits

    def start(self, memory: Tensor, memory_mask: Tensor | None = None) -> DecoderCache:
        """Make the cache for a memory (batch, frames, memory width), which each layer projects once."""
        memory = memory.to(self.tokens.weight.dtype)
        return DecoderCache([layer.project(memory) for layer in self._layers()], memory_mask)

    def step(self, ids: Tensor, cache: DecoderCache) -> Tensor:
        """Return the logits after the newest tokens.

        Args:
            ids: (rows, new tokens), the tokens that are not in the cache yet.
            cache: the cache; the new tokens are appended.

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
            x = x + positions.to(x.dtype)  # sinusoids without a table are always float32
        for table in cast(list[nn.Embedding], list(self.types)):
            x = x + table.weight[0]
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        x = self.dropout(x)
        if self.widen is not None:
            x = self.widen(x)
        for layer, layer_cache in zip(self._layers(), cache.layers, strict=True):
            if self.training and torch.rand(()).item() < self.layer_dropout:
                continue
            x = layer.decode(x, layer_cache, mask=mask, memory_mask=cache.memory_mask, positions=rotary)
        y: Tensor = x if self.norm is None else self.norm(x)
        return y

    @property
    def memory_width(self) -> int:
        """Width of the memory."""
        attentions = [layer.cross_attn for layer in self._layers() if layer.cross_attn is not None]
        return attentions[0].key.in_features if attentions else self.width

    def _layers(self) -> list[TransformerLayer]:
        return cast(list[TransformerLayer], list(self.layers))
