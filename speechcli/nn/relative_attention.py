"""Self-attention with relative positions, as in the speech encoders and RoFormer."""

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechcli.nn.attention import MultiHeadAttention


class GatedBiasAttention(MultiHeadAttention):
    """WavLM's attention: a gate scales the shared position bias per head and query (Chen et al. 2022)."""

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__(width, heads, dropout=dropout)
        self.gate = nn.Linear(width // heads, 8)
        self.gate_scale = nn.Parameter(torch.ones(1, heads, 1, 1))

    def _position(
        self, x: Tensor, query: Tensor, key: Tensor, positions: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        # The gate reads the layer's input, not the projected query.
        # (batch, heads, tokens, 8) -> two of (batch, heads, tokens, 1)
        update, reset = self.gate(self._split(x)).unflatten(-1, (2, 4)).sum(-1).sigmoid().chunk(2, dim=-1)
        return query, None if positions is None else (update * (reset * self.gate_scale - 1.0) + 2.0) * positions


class RelativeKeyAttention(MultiHeadAttention):
    """Attention with learned embeddings of clipped distances, as in wav2vec2-bert (Shaw et al. 2018, keys only).

    Args:
        width: width of the input and the output.
        heads: number of heads; must divide `width`.
        left: largest distance to an earlier key with its own embedding.
        right: largest distance to a later key with its own embedding.
        dropout: dropout of the attention weights.
    """

    def __init__(self, width: int, heads: int, *, left: int, right: int, dropout: float = 0.0) -> None:
        super().__init__(width, heads, dropout=dropout)
        self.left, self.right = left, right
        self.distances = nn.Embedding(left + right + 1, width // heads)

    def _position(
        self, x: Tensor, query: Tensor, key: Tensor, positions: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        place = torch.arange(key.size(2), device=x.device)
        distance = (place[None] - place[:, None]).clamp(-self.left, self.right) + self.left
        # Score every query against the few embeddings, then gather: (batch, heads, tokens, distances) -> (…, keys).
        scores = query @ self.distances.weight.to(query.dtype).T * query.size(-1) ** -0.5
        return query, scores.gather(3, distance.expand(query.size(0), query.size(1), -1, -1))


class RotaryAttention(MultiHeadAttention):
    """Rotary attention (Su et al. 2021) of the conformers, for queries and keys.

    It rotates the input of the projections, where other models rotate their output. Positions are those of
    `RotaryPositions`.
    """

    def _project(self, x: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        assert positions is not None
        rotated = self._rotate(x, *positions)
        return self._split(self.query(rotated)), self._split(self.key(rotated)), self._split(self.value(x))

    def _position(
        self, x: Tensor, query: Tensor, key: Tensor, positions: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        return query, None

    def _rotate(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        heads = self._split(x)
        first, second = heads.chunk(2, dim=-1)
        rotated = heads * cosines + torch.cat([-second, first], dim=-1) * sines
        # (batch, heads, frames, head width) -> (batch, frames, width)
        return rotated.transpose(1, 2).flatten(2)


class InterleavedRotaryAttention(MultiHeadAttention):
    """Rotary attention of RoFormer (Su et al. 2021), which rotates adjacent dimensions of projected queries and keys.

    Positions are those of `InterleavedRotaryPositions`.

    Args:
        width: width of the input and the output.
        heads: number of heads; must divide `width`.
        values: whether the values are rotated too.
        dropout: dropout of the attention weights.
    """

    def __init__(self, width: int, heads: int, *, values: bool = False, dropout: float = 0.0) -> None:
        super().__init__(width, heads, dropout=dropout)
        self.values = values

    def _project(self, x: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        assert positions is not None
        query, key, value = super()._project(x, positions)
        query, key = _rotate_pairs(query, *positions), _rotate_pairs(key, *positions)
        return query, key, _rotate_pairs(value, *positions) if self.values else value

    def _position(
        self, x: Tensor, query: Tensor, key: Tensor, positions: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        return query, None


def _rotate_pairs(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    # (batch, heads, tokens, head width), each pair (a, b) -> (-b, a)
    crossed = torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)
    return x * cosines + crossed * sines


class DistanceAttention(MultiHeadAttention):
    """Attention to contents and to distances, each with a learned bias on the query (Dai et al. 2019).

    Positions are the vectors of `SinusoidalDistances`.
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__(width, heads, dropout=dropout)
        self.distance = nn.Linear(width, width, bias=False)
        self.content_bias = nn.Parameter(torch.empty(heads, width // heads))
        self.distance_bias = nn.Parameter(torch.empty(heads, width // heads))
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Initialize the biases with random numbers."""
        nn.init.xavier_uniform_(self.content_bias)
        nn.init.xavier_uniform_(self.distance_bias)

    def _position(
        self, x: Tensor, query: Tensor, key: Tensor, positions: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        assert positions is not None
        distances = self._split(self.distance(positions)[None])
        scores = (query + self.distance_bias[:, None]) @ distances.transpose(2, 3) * query.size(-1) ** -0.5
        return query + self.content_bias[:, None], by_key(scores)


class DisentangledAttention(MultiHeadAttention):
    """Attention of contents to contents, of contents to distances and of distances to contents (He et al. 2021).

    Positions are the vectors of `BucketedDistances`; None: the attention uses only contents.

    Args:
        width: width of the input and the output.
        heads: number of heads; must divide `width`.
        scores: additional scores: "c2p" (content of the query to distance), "p2c" (distance to content of the key).
        shared: whether distances are projected like queries and keys, instead of with projections of their own.
        dropout: dropout of the attention weights.
        distance_dropout: dropout on the vectors of distances.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        scores: Collection[str],
        shared: bool,
        dropout: float = 0.0,
        distance_dropout: float = 0.0,
    ) -> None:
        super().__init__(width, heads, dropout=dropout)
        self.scores = frozenset(scores) & {"c2p", "p2c"}
        self.distance_key = nn.Linear(width, width) if "c2p" in self.scores and not shared else None
        self.distance_query = nn.Linear(width, width) if "p2c" in self.scores and not shared else None
        self.distance_dropout = nn.Dropout(distance_dropout)

    def _position(
        self, x: Tensor, query: Tensor, key: Tensor, positions: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        # The sum of all scores has the variance of one of them.
        query = query * (1 + len(self.scores)) ** -0.5
        if positions is None or not self.scores:
            return query, None
        bias = torch.zeros((), dtype=query.dtype, device=query.device)
        distances = self.distance_dropout(positions)[None]
        if "c2p" in self.scores:
            distance_keys = self._split((self.distance_key or self.key)(distances))
            bias = bias + by_key(query @ distance_keys.transpose(2, 3))
        if "p2c" in self.scores:
            # From key to query the sign of distances is reversed: (batch, heads, keys, tokens) -> (…, tokens, keys).
            distance_queries = self._split((self.distance_query or self.query)(distances.flip(1)))
            distance_queries = distance_queries * (1 + len(self.scores)) ** -0.5
            bias = bias + by_key(key @ distance_queries.transpose(2, 3)).transpose(2, 3)
        return query, bias * query.size(-1) ** -0.5


def by_key(scores: Tensor) -> Tensor:
    """Convert scores by distance, in the order of `speechcli.nn.relative.distances`, to scores by key.

    Args:
        scores: (batch, heads, frames, 2 · frames - 1).

    Returns:
        (batch, heads, frames, frames)
    """
    # With an additional column, reshaping shifts each row by one position relative to the row before.
    batch, heads, frames, count = scores.shape
    shifted = F.pad(scores, (1, 0)).view(batch, heads, count + 1, frames)[:, :, 1:]
    return shifted.reshape(batch, heads, frames, count)[..., :frames]
