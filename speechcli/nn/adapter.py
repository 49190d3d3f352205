"""What shortens the encoder's output before the decoder reads it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LengthAdapter(nn.Module):
    """Strided convolutions with gated linear units over the encoder's frames (wav2vec 2.0's `add_adapter`).

    Args:
        encoder_width: of the frames that come in.
        width: of the frames that go out; a linear map and a norm come first where it differs.
        layers: of convolutions.
        kernel: of each, in frames.
        stride: of each, in frames.
        layer_dropout: probability of skipping a convolution, in training.
    """

    def __init__(
        self, encoder_width: int, width: int, *, layers: int, kernel: int, stride: int, layer_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(encoder_width, width) if encoder_width != width else None
        self.norm = nn.LayerNorm(width) if encoder_width != width else None
        self.layers = nn.ModuleList(nn.Conv1d(width, 2 * width, kernel, stride, padding=1) for _ in range(layers))
        self.kernel, self.stride, self.layer_dropout = kernel, stride, layer_dropout
        self.width = width

    def forward(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(batch, frames, encoder width), (batch,) -> (batch, fewer frames, width), (batch,)."""
        if self.projection is not None and self.norm is not None:
            x = self.norm(self.projection(x))
        x = x.transpose(1, 2)
        for conv in self.layers:
            if self.training and torch.rand(()).item() < self.layer_dropout:
                continue
            x = F.glu(conv(x), dim=1)
            if lengths is not None:
                # The reference counts with a kernel of one, which is right only for kernel 3; this is right for all.
                lengths = ((lengths + 2 - self.kernel).div(self.stride, rounding_mode="floor") + 1).clamp(min=1)
        return x.transpose(1, 2), lengths
