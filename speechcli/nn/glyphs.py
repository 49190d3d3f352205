"""RoCBert's embeddings of the shape and the sound of a character, beside those of tokens."""

import torch
from torch import Tensor, nn


class Glyphs(nn.Module):
    """Token embeddings joined by a vector for a shape and one for a sound (RoCBert, Su et al. 2022).

    A decoder is told neither, so that all tokens have the first shape and the first sound.

    Args:
        shapes: a vector for each shape.
        sounds: a vector for each pronunciation.
        mix: from a token, its shape and its sound side by side to the width of a token; None: they are not read.
        reads_shapes: whether `mix` reads shapes.
        reads_sounds: whether it reads sounds.
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
