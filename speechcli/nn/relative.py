"""Positions for the attention of an encoder: computed once per pass and shared by all layers.

Each takes the frames (batch, frames, width) and returns the input of one kind of attention.
"""

import math

import torch
from torch import Tensor, nn


class RelativePositionBias(nn.Module):
    """A learned bias per head and bucket of distances; large distances share buckets (Raffel et al. 2020).

    Args:
        buckets: number of buckets, half for keys before the query, half for keys after.
        max_distance: distances from this one share the last bucket, in frames.
        heads: number of heads of the attention.
    """

    def __init__(self, buckets: int, max_distance: int, heads: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(buckets, heads)
        self.max_distance = max_distance

    def forward(self, x: Tensor) -> Tensor:
        """Frames (batch, frames, width) -> a bias on the scores (1, heads, frames, frames)."""
        half = self.embedding.num_embeddings // 2
        exact = half // 2
        position = torch.arange(x.size(1), device=x.device)
        distance = position[None] - position[:, None]
        far = torch.log(distance.abs().float() / exact) / math.log(self.max_distance / exact) * (half - exact)
        far = (exact + far).to(torch.long).clamp(max=half - 1)
        bucket = (distance > 0) * half + torch.where(distance.abs() < exact, distance.abs(), far)
        # (frames, frames, heads) -> (1, heads, frames, frames)
        return self.embedding(bucket).permute(2, 0, 1)[None]  # type: ignore[no-any-return]


class SinusoidalDistances(nn.Module):
    """A vector for each distance: sines at even indices, cosines at odd ones (Dai et al. 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        """Frames (batch, frames, width) -> (2 · frames - 1, width)."""
        width = x.size(2)
        rate = torch.exp(torch.arange(0, width, 2, device=x.device).float() * -(math.log(10000.0) / width))
        angle = distances(x)[:, None] * rate
        return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1).to(x.dtype)


class BucketedDistances(nn.Module):
    """A learned vector for each distance; large distances share vectors (DeBERTa, He et al. 2021).

    Args:
        width: width of a vector.
        buckets: number of vectors for keys on one side of the query; 0: one for each distance up to `max_distance`.
        max_distance: distances from this one share the last vector, in frames.
        norm: norm of the vectors, if any.
    """

    def __init__(self, width: int, buckets: int, max_distance: int, *, norm: nn.Module | None) -> None:
        super().__init__()
        self.buckets, self.max_distance = buckets, max_distance
        self.embedding = nn.Embedding(2 * (buckets or max_distance), width)
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Frames (batch, frames, width) -> (2 · frames - 1, width)."""
        count = self.embedding.num_embeddings
        bucket = self._bucket(distances(x)) if self.buckets else distances(x)
        y: Tensor = self.embedding((bucket + count // 2).clamp(0, count - 1))
        return y if self.norm is None else self.norm(y)

    def _bucket(self, distance: Tensor) -> Tensor:
        # Distances up to half the number of buckets have their own bucket; the others are bucketed logarithmically.
        near = self.buckets // 2
        size = distance.abs()
        reach = torch.log(torch.tensor((self.max_distance - 1) / near))
        far = near + torch.ceil(torch.log(size.clamp(min=near) / near) / reach * (near - 1))
        return torch.where(size <= near, distance, far * distance.sign()).to(torch.long)


class UnreadDistances(nn.Module):
    """The unused norm of such vectors in some checkpoints without them, kept for saving it again."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> None:
        """Return None for any frames."""


class RotaryPositions(nn.Module):
    """Rotary positions (Su et al. 2021) that rotate pairs of dimension i of the first and of the second half of a head.

    Args:
        head_width: width of a head.
        base: ratio of the rotation rates of the first and the last pair, approximately.
    """

    def __init__(self, head_width: int, base: float) -> None:
        super().__init__()
        self.head_width, self.base = head_width, base

    def forward(self, x: Tensor) -> Tensor:
        """Frames (batch, frames, width) -> cosines and sines (2, frames, head width)."""
        angle = torch.arange(x.size(1), device=x.device)[:, None] * self._rates().to(x.device).float()
        angle = torch.cat([angle, angle], dim=1)
        return torch.stack([angle.cos(), angle.sin()]).to(x.dtype)

    def _rates(self) -> Tensor:
        return 1.0 / (self.base ** (torch.arange(0, self.head_width, 2, device="cpu").float() / self.head_width))


class StoredRotaryPositions(RotaryPositions):
    """Rotary positions with rates that checkpoints contain."""

    def __init__(self, head_width: int, base: float) -> None:
        super().__init__(head_width, base)
        self.register_buffer("rates", super()._rates())
        self.rates: Tensor

    def _rates(self) -> Tensor:
        # In half precision they would be too inaccurate for long recordings.
        return self.rates if self.rates.dtype == torch.float32 else super()._rates()


def distances(x: Tensor) -> Tensor:
    """Frames (batch, frames, width) -> all distances from key to query: frames - 1, …, 0, …, 1 - frames."""
    return torch.arange(x.size(1) - 1, -x.size(1), -1, device=x.device)
