"""RoCBert's embeddings of the shape and the pronunciation of a character."""

import torch
from torch import Tensor, nn


class Glyphs(nn.Module):
    """Combines token embeddings with embeddings of shape and pronunciation (RoCBert, Su et al. 2022).

    A decoder gets neither as input, so all tokens have the first shape and the first pronunciation.

    Args:
        shapes: embeddings of shapes.
        sounds: embeddings of pronunciations.
        mix: linear map from the concatenated embeddings to the width of a token; None: tokens are returned unchanged.
        reads_shapes: whether the input of `mix` includes shapes.
        reads_sounds: whether it includes pronunciations.
    """

    def __init__(
        self,
        shapes: nn.Embedding,
        sounds: nn.Embedding,
        mix: nn.Linear | None,
        *,
        reads_shapes: bool,
        reads_sounds: bool,
    ) -> None:
        super().__init__()
        self.shapes, self.sounds, self.mix = shapes, sounds, mix
        self.reads_shapes, self.reads_sounds = reads_shapes, reads_sounds

    def forward(self, x: Tensor) -> Tensor:
        """(rows, tokens, width) -> (rows, tokens, width)."""
        if self.mix is None:
            return x
        first = torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)
        parts = [x]
        parts += [self.shapes(first)] if self.reads_shapes else []
        parts += [self.sounds(first)] if self.reads_sounds else []
        return self.mix(torch.cat(parts, dim=-1))  # type: ignore[no-any-return]
