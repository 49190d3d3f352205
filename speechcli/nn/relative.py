"""A bias for the attention scores that depends on the distance between two frames."""

import math

import torch
from torch import Tensor, nn


class RelativePositionBias(nn.Module):
    """One learned number a head and a bucket of distances; far distances share buckets (Raffel et al. 2020).

    Args:
        buckets: half of them for keys before the query, half for keys after.
        max_distance: distances from here on share the last bucket, in frames.
        heads: of the attention.
    """

    def __init__(self, buckets: int, max_distance: int, heads: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(buckets, heads)
        self.max_distance = max_distance

    def forward(self, frames: int) -> Tensor:
        """A number of frames -> (1, heads, frames, frames)."""
        half = self.embedding.num_embeddings // 2
        exact = half // 2
        position = torch.arange(frames, device=self.embedding.weight.device)
        distance = position[None] - position[:, None]
        far = torch.log(distance.abs().float() / exact) / math.log(self.max_distance / exact) * (half - exact)
        far = (exact + far).to(torch.long).clamp(max=half - 1)
        bucket = (distance > 0) * half + torch.where(distance.abs() < exact, distance.abs(), far)
        # (frames, frames, heads) -> (1, heads, frames, frames)
        return self.embedding(bucket).permute(2, 0, 1)[None]  # type: ignore[no-any-return]
