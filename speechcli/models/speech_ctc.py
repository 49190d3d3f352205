"""A speech encoder with a CTC head and no decoder."""

import torch
from torch import Tensor, nn

from speechcli.models.encoder import SpeechEncoder


class SpeechCtc(nn.Module):
    """Hugging Face's `Wav2Vec2ForCTC` and its siblings (Graves et al. 2006).

    Args:
        encoder: speech to frames.
        vocabulary: number of tokens of the head, including the blank.
    """

    def __init__(self, encoder: SpeechEncoder, vocabulary: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.width, vocabulary)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Score every token in every frame.

        Args:
            inputs: (batch, samples) or (batch, frames, mels), padded on the right.
            lengths: (batch,) samples or frames without padding; None for models trained without a padding mask.

        Returns:
            logits (batch, frames, vocabulary) and numbers of frames without padding (batch,)
        """
        frames, frame_lengths = self.encoder(inputs, lengths)
        if frame_lengths is None:
            frame_lengths = torch.full((frames.size(0),), frames.size(1), device=frames.device)
        return self.head(frames), frame_lengths
