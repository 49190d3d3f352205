"""Attention: of a sequence to itself, and of a sequence to a memory."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechcli.nn.cache import KeyValues


class MultiHeadAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017), scaled by the square root of the head width.

    Args:
        width: of the input and the output.
        heads: must divide `width`.
        dropout: probability of dropping an attention weight, in training.
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
        causal: bool = False,
        cache: KeyValues | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            x: (batch, tokens, width).
            mask: bool, true where a key may be seen; broadcasts to (batch, heads, tokens, keys).
            bias: added to the scores; broadcasts to (batch, heads, tokens, keys).
            causal: hide later tokens.
            cache: keys and values of earlier tokens; receives those of `x`.

        Returns:
            (batch, tokens, width)
        """
        query, key, value = self._split(self.query(x)), self._split(self.key(x)), self._split(self.value(x))
        if cache is not None:
            key, value = cache.append(key, value)
        bias = self._position_bias(x, query, bias, keys=key.size(2))
        return self._attend(query, key, value, mask=mask, bias=bias, causal=causal)

    def _position_bias(self, x: Tensor, query: Tensor, bias: Tensor | None, *, keys: int) -> Tensor | None:
        """What is added to the scores for the positions; subclasses make their own."""
        return bias

    def _split(self, x: Tensor) -> Tensor:
        # (batch, tokens, width) -> (batch, heads, tokens, head width)
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None, bias: Tensor | None, causal: bool
    ) -> Tensor:
        tokens, keys = query.size(2), key.size(2)
        causal = causal and tokens > 1
        if causal and (mask is not None or bias is not None or keys > tokens):
            seen = torch.ones(tokens, keys, dtype=torch.bool, device=query.device).tril(keys - tokens)
            mask = seen if mask is None else mask & seen
            causal = False
        if bias is not None and mask is not None:
            bias = bias.masked_fill(~mask, float("-inf"))
        y = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask if bias is None else bias.to(query.dtype),
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=causal,
        )
        # (batch, heads, tokens, head width) -> (batch, tokens, width)
        return self.output(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class CrossAttention(MultiHeadAttention):
    """Attention of tokens to a memory, whose keys and values can be projected once and used at every step."""

    def project(self, memory: Tensor) -> KeyValues:
        """Project a memory (batch, frames, width) to its keys and values."""
        return KeyValues(self._split(self.key(memory)), self._split(self.value(memory)))

    def attend(self, x: Tensor, memory: KeyValues, *, mask: Tensor | None = None) -> Tensor:
        """Attend to a projected memory.

        Args:
            x: (rows, tokens, width); rows may be a multiple of the memory's batch: neighbours share a memory row.
            memory: of `batch` rows.
            mask: (batch, frames), true where the memory is real.

        Returns:
            (rows, tokens, width)
        """
        assert memory.key is not None and memory.value is not None
        batch, tokens = memory.key.size(0), x.size(1)
        # (rows, tokens, width) -> (batch, rows a batch * tokens, width): all rows of an utterance ask in one matrix
        query = self._split(self.query(x).reshape(batch, -1, x.size(2)))
        seen = None if mask is None else mask[:, None, None]
        y = self._attend(query, memory.key, memory.value, mask=seen, bias=None, causal=False)
        return y.reshape(-1, tokens, x.size(2))


class GatedBiasAttention(MultiHeadAttention):
    """WavLM's attention: a gate scales the shared position bias per head and query (Chen et al. 2022)."""

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__(width, heads, dropout=dropout)
        self.gate = nn.Linear(width // heads, 8)
        self.gate_scale = nn.Parameter(torch.ones(1, heads, 1, 1))

    def _position_bias(self, x: Tensor, query: Tensor, bias: Tensor | None, *, keys: int) -> Tensor | None:
        # The gate reads the layer's input, not the projected query.
        # (batch, heads, tokens, 8) -> two of (batch, heads, tokens, 1)
        update, reset = self.gate(self._split(x)).unflatten(-1, (2, 4)).sum(-1).sigmoid().chunk(2, dim=-1)
        return None if bias is None else (update * (reset * self.gate_scale - 1.0) + 2.0) * bias


class RelativeKeyAttention(MultiHeadAttention):
    """Attention with learned embeddings of clipped distances, as in wav2vec2-bert (Shaw et al. 2018, keys only).

    Args:
        width: of the input and the output.
        heads: must divide `width`.
        left: largest distance to an earlier key that has its own embedding.
        right: the same for later keys.
        dropout: probability of dropping an attention weight, in training.
    """

    def __init__(self, width: int, heads: int, *, left: int, right: int, dropout: float = 0.0) -> None:
        super().__init__(width, heads, dropout=dropout)
        self.left, self.right = left, right
        self.distances = nn.Embedding(left + right + 1, width // heads)

    def _position_bias(self, x: Tensor, query: Tensor, bias: Tensor | None, *, keys: int) -> Tensor | None:
        position = torch.arange(keys, device=x.device)
        distance = (position[None] - position[:, None]).clamp(-self.left, self.right) + self.left
        # Score every query against the few embeddings, then pick: (batch, heads, tokens, distances) -> (…, keys).
        scores = query @ self.distances.weight.to(query.dtype).T * query.size(-1) ** -0.5
        picked: Tensor = scores.gather(3, distance.expand(query.size(0), query.size(1), -1, -1))
        return picked
