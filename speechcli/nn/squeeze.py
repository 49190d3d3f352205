"""SEW's squeeze: the layers see fewer frames than the encoder takes and returns."""

from torch import Tensor, nn
from torch.nn import functional as F

from speechcli.nn.positions import NormedConv


class Squeeze(nn.Module):
    """Average neighbouring frames before the layers and unfold each into several after them (SEW, Wu et al. 2022).

    Positions come in here, by a wide grouped convolution with the same stride.

    Args:
        width: of the frames.
        factor: frames that become one.
        kernel: of the convolution, in frames.
        groups: of the convolution.
        activation: after the convolution, and after the unfolding.
    """

    def __init__(self, width: int, factor: int, kernel: int, groups: int, activation: nn.Module) -> None:
        super().__init__()
        self.conv = NormedConv(width, kernel, groups, stride=factor)
        self.expansion = nn.Linear(width, width * factor)
        self.activation = activation
        self.factor = factor

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Shorten.

        Args:
            x: (batch, frames, width), zero where the mask is false.
            mask: bool, true where a frame is real, (batch, frames).

        Returns:
            (batch, frames / factor, width) and its mask; a rest at the end is left out, but one frame stays
        """
        missing = max(0, self.factor - x.size(1))
        x = F.pad(x, (0, 0, 0, missing)).transpose(1, 2)
        pooled = F.avg_pool1d(x, self.factor)
        frames = pooled.size(2)
        y = pooled + self.activation(self.conv(x)[..., :frames])
        # A squeezed frame is real where its first is; version 4 of the reference asked for its last.
        return y.transpose(1, 2), None if mask is None else mask[:, :: self.factor][:, :frames]

    def expand(self, x: Tensor, frames: int) -> Tensor:
        """(batch, squeezed frames, width) -> (batch, frames, width), with zeros for the rest that was left out."""
        y = self.activation(self.expansion(x)).unflatten(2, (self.factor, -1)).flatten(1, 2)
        return F.pad(y, (0, 0, 0, frames - y.size(1)))
