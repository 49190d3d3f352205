"""Self-attention and cross-attention."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechcli.nn.cache import KeyValues


class MultiHeadAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017).

    Args:
        width: width of the input and the output.
        heads: number of heads; must divide `width`.
        dropout: dropout of the attention weights.
        bias: whether the four projections have a bias.
        scale: scale of the scores; None: one divided by the square root of the head width.
    """

    def __init__(
        self, width: int, heads: int, *, dropout: float = 0.0, bias: bool = True, scale: float | None = None
    ) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.scale = scale
        self.query = nn.Linear(width, width, bias=bias)
        self.key = nn.Linear(width, width, bias=bias)
        self.value = nn.Linear(width, width, bias=bias)
        self.output = nn.Linear(width, width, bias=bias)

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        causal: bool = False,
        cache: KeyValues | None = None,
    ) -> Tensor:
        """Compute the attention.

        Args:
            x: (batch, tokens, width).
            mask: bool, true for the keys to attend to; broadcasts to (batch, heads, tokens, keys).
            positions: bias on the scores, broadcasts to (batch, heads, tokens, keys); subclasses take other forms.
            causal: mask later tokens.
            cache: keys and values of earlier tokens; those of `x` are appended.

        Returns:
            (batch, tokens, width)
        """
        query, key, value = self._project(x, positions)
        if cache is not None:
            key, value = cache.append(key, value)
        query, bias = self._position(x, query, key, positions)
        return self._attend(query, key, value, mask=mask, bias=bias, causal=causal)

    def _project(self, x: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        return self._split(self.query(x)), self._split(self.key(x)), self._split(self.value(x))

    def _position(
        self, x: Tensor, query: Tensor, key: Tensor, positions: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the query and a bias on the scores that encode positions; overridden by subclasses."""
        return query, positions

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
        dropout = self.dropout if self.training else 0.0
        if _two_products_are_faster(query) and bias is None and not causal and not dropout:
            y = _attend_in_two_products(query, key, value, mask, self.scale)
        else:
            y = F.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=mask if bias is None else bias.to(query.dtype),
                dropout_p=dropout,
                is_causal=causal,
                scale=self.scale,
            )
        # (batch, heads, tokens, head width) -> (batch, tokens, width)
        return self.output(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def _two_products_are_faster(query: Tensor) -> bool:
    # On a CPU, torch 2.14's fused attention takes 2 to 4 times as long for the few queries of a decoding step, and 1.5
    # times as long for the frames of a recording. The backward pass keeps it because it stores less.
    return query.dtype == torch.bfloat16 and query.device.type == "cpu" and not query.requires_grad


def _attend_in_two_products(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None
) -> Tensor:
    if query.size(2) > 16 and query.size(0) > 1:
        # One recording after the other, so that its scores stay in the processor's cache.
        masks = [None] * query.size(0) if mask is None else mask.expand(query.size(0), -1, -1, -1)
        each = zip(query, key, value, masks, strict=True)
        return torch.stack([_scores(q, k, seen, scale).softmax(dim=-1) @ v for q, k, v, seen in each])
    return _scores(query, key, mask, scale).softmax(dim=-1) @ value


def _scores(query: Tensor, key: Tensor, mask: Tensor | None, scale: float | None) -> Tensor:
    scores = query * (query.size(-1) ** -0.5 if scale is None else scale) @ key.transpose(-1, -2)
    return scores if mask is None else scores.masked_fill_(~mask, float("-inf"))


class CrossAttention(MultiHeadAttention):
    """Cross-attention of tokens to a memory, whose keys and values are projected once and used at every step.

    Args:
        width: width of the tokens.
        heads: number of heads; must divide `width`.
        memory_width: width of the memory; None: `width`.
        dropout: dropout of the attention weights.
        bias: whether the four projections have a bias.
        scale: scale of the scores; None: one divided by the square root of the head width.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        memory_width: int | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        scale: float | None = None,
    ) -> None:
        super().__init__(width, heads, dropout=dropout, bias=bias, scale=scale)
        if memory_width is not None:
            self.key = nn.Linear(memory_width, width, bias=bias)
            self.value = nn.Linear(memory_width, width, bias=bias)

    def project(self, memory: Tensor) -> KeyValues:
        """Project a memory (batch, frames, memory width) to contiguous keys and values."""
        return KeyValues(self._split(self.key(memory)).contiguous(), self._split(self.value(memory)).contiguous())

    def attend(self, x: Tensor, memory: KeyValues, *, mask: Tensor | None = None) -> Tensor:
        """Attend to a projected memory.

        Args:
            x: (rows, tokens, width); rows may be a multiple of the memory's batch: adjacent rows share a memory row.
            memory: projected memory with `batch` rows.
            mask: (batch, frames), false for padding.

        Returns:
            (rows, tokens, width)
        """
        assert memory.key is not None and memory.value is not None
        batch, tokens = memory.key.size(0), x.size(1)
        # (rows, tokens, width) -> (batch, rows per utterance * tokens, width): one matrix product per utterance
        query = self._split(self.query(x).reshape(batch, -1, x.size(2)))
        seen = None if mask is None else mask[:, None, None]
        y = self._attend(query, memory.key, memory.value, mask=seen, bias=None, causal=False)
        return y.reshape(-1, tokens, x.size(2))

    def weights(self, query: Tensor, memory: KeyValues, *, mask: Tensor | None = None) -> Tensor:
        """Return the attention weights over the frames of a projected memory.

        Args:
            query: (batch, tokens, width), projected queries.
            memory: projected memory with `batch` rows.
            mask: (batch, frames), false for padding.

        Returns:
            (batch, heads, tokens, frames), float32
        """
        assert memory.key is not None
        scores = _scores(self._split(query), memory.key, None if mask is None else mask[:, None, None], self.scale)
        return scores.float().softmax(dim=-1)
