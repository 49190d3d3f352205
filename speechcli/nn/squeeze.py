"""SEW's squeeze: the layers process fewer frames than the encoder takes and returns."""

from torch import Tensor, nn
from torch.nn import functional as F

from speechcli.nn.positions import NormedConv


class Squeeze(nn.Module):
    """Average adjacent frames before the layers and expand each into several after them (SEW, Wu et al. 2022).

    A positional convolution with the same stride is added to the averages.

    Args:
        width: width of the frames.
        factor: number of frames that are averaged.
        kernel: kernel size of the positional convolution, in frames.
        groups: groups of the positional convolution.
        activation: activation after the convolution, and after the expansion.
    """

    def __init__(self, width: int, factor: int, kernel: int, groups: int, activation: nn.Module) -> None:
        super().__init__()
        self.conv = NormedConv(width, kernel, groups, stride=factor)
        self.expansion = nn.Linear(width, width * factor)
        self.activation = activation
        self.factor = factor

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Squeeze.

        Args:
            x: (batch, frames, width), zero for padding.
            mask: bool, false for padding, (batch, frames).

        Returns:
            (batch, frames / factor, width), rounded down but at least one frame, and its mask
        """
        missing = max(0, self.factor - x.size(1))
        x = F.pad(x, (0, 0, 0, missing)).transpose(1, 2)
        pooled = F.avg_pool1d(x, self.factor)
        frames = pooled.size(2)
        y = pooled + self.activation(self.conv(x)[..., :frames])
        # A squeezed frame has the mask of its first frame; in version 4 of the reference, that of its last.
        return y.transpose(1, 2), None if mask is None else mask[:, :: self.factor][:, :frames]

    def expand(self, x: Tensor, frames: int) -> Tensor:
        """(batch, squeezed frames, width) -> (batch, frames, width), padded with zeros."""
        y = self.activation(self.expansion(x)).unflatten(2, (self.factor, -1)).flatten(1, 2)
        return F.pad(y, (0, 0, 0, frames - y.size(1)))
