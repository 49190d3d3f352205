"""Frontends: they turn the encoder's input into frames, and compute the number of frames."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from speechcli.errors import UsageError


class ConvSize(NamedTuple):
    """Channels, kernel size and stride of one convolution of the waveform frontend."""

    width: int
    kernel: int
    stride: int


class ConvBlock(nn.Module):
    """A convolution over time, a norm over channels or over time, and an activation.

    Samples are laid out as an image of height 1 in channels-last memory format: matrices of samples by channels, which
    are multiplied without transposing them.
    """

    def __init__(self, conv: nn.Conv1d, norm: nn.GroupNorm | nn.LayerNorm | None, activation: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm, self.activation = conv, norm, activation

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, 1, samples) -> (batch, channels, 1, fewer samples)."""
        x = self._convolve(x)
        if isinstance(self.norm, nn.LayerNorm):
            x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        elif self.norm is not None:
            x = self.norm(x)
        return self.activation(x)  # type: ignore[no-any-return]

    def _convolve(self, x: Tensor) -> Tensor:
        weight, bias, (stride,) = self.conv.weight, self.conv.bias, self.conv.stride
        if weight.size(1) > 1:
            return F.conv2d(x, weight[:, :, None], bias, (1, stride))
        # One channel: a matrix product over windows (batch, 1, samples, kernel) takes a third of the time.
        windows = x[:, 0].unfold(2, weight.size(2), stride)
        return F.linear(windows, weight[:, 0], bias).permute(0, 3, 1, 2)


class ConvFrontend(nn.Module):
    """A stack of strided convolutions over the waveform (wav2vec 2.0).

    Clips too short for one frame are padded with zeros; the reference crashes.

    Args:
        sizes: sizes of the convolutions, in order.
        norm: "group": a norm over time after the first convolution only (then padding changes the result);
            "layer": a norm over channels after each convolution.
        bias: whether the convolutions have a bias.
        activation: activation after each convolution.
    """

    def __init__(self, sizes: Sequence[ConvSize], *, norm: str, bias: bool, activation: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        before = 1
        for i, (width, kernel, stride) in enumerate(sizes):
            conv = nn.Conv1d(before, width, kernel, stride, bias=bias)
            self.layers.append(ConvBlock(conv, _norm(norm, width, first=i == 0), activation))
            before = width
        self.sizes = tuple(sizes)
        self.width = before

    @property
    def min_samples(self) -> int:
        """Number of samples of one frame."""
        samples = 1
        for size in reversed(self.sizes):
            samples = (samples - 1) * size.stride + size.kernel
        return samples

    @property
    def ignores_padding(self) -> bool:
        """Whether padding does not change the other frames."""
        return not any(isinstance(layer.norm, nn.GroupNorm) for layer in self.layers)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) -> (batch, frames, width)."""
        x = F.pad(waveform, (0, max(0, self.min_samples - waveform.size(1))))[:, None, None]
        for layer in self.layers:
            x = layer(x)
        # (batch, width, 1, frames) -> (batch, frames, width)
        return x.squeeze(2).transpose(1, 2)

    def out_lengths(self, lengths: Tensor) -> Tensor:
        """Samples (batch,) -> frames (batch,), at least one."""
        lengths = lengths.clamp(min=self.min_samples)
        for size in self.sizes:
            lengths = (lengths - size.kernel).div(size.stride, rounding_mode="floor") + 1
        return lengths


def _norm(kind: str, width: int, *, first: bool) -> nn.GroupNorm | nn.LayerNorm | None:
    if kind == "layer":
        return nn.LayerNorm(width)
    return nn.GroupNorm(width, width) if first else None


class FilterbankFrontend(nn.Module):
    """Returns the frames of the feature extractor unchanged.

    Args:
        width: width of a frame.
    """

    ignores_padding = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, features: Tensor) -> Tensor:
        """(batch, frames, width), unchanged."""
        return features

    def out_lengths(self, lengths: Tensor) -> Tensor:
        """Frames (batch,), at least one."""
        return lengths.clamp(min=1)


class WindowFrontend(nn.Module):
    """Two convolutions over a window of log-mel frames; the second halves their number (Whisper, Radford et al. 2022).

    Args:
        mels: number of mel bins of an input frame.
        width: width of an output frame.
        frames: number of output frames; the window has twice as many.
    """

    ignores_padding = True

    def __init__(self, mels: int, width: int, frames: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(mels, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.window = 2 * frames

    def forward(self, features: Tensor) -> Tensor:
        """(batch, window, mels) -> (batch, frames, width).

        Raises:
            UsageError: the features do not have the shape of a window.
        """
        expected = (self.window, self.conv1.in_channels)
        if features.shape[1:] != expected:
            got = " frames of ".join(str(size) for size in features.shape[1:])
            raise UsageError(
                f"The encoder reads windows of {expected[0]} frames of {expected[1]} mels, but got {got}.",
                hint="chunk_length and feature_size in preprocessor_config.json must fit the model",
            )
        x = F.gelu(self.conv1(features.transpose(1, 2)))
        return F.gelu(self.conv2(x)).transpose(1, 2)

    def out_lengths(self, lengths: Tensor) -> Tensor:
        """Frames (batch,) -> frames (batch,), at least one."""
        return (lengths.clamp(min=1) + 1) // 2


class FrameProjection(nn.Module):
    """Projection from the frontend's width to the encoder's: norm, linear map, dropout.

    Args:
        norm: norm over the frontend's width; None if checkpoints have none.
        linear: linear map to the encoder's width; None if the widths are the same and checkpoints have none.
        dropout: dropout on the output.
    """

    def __init__(self, norm: nn.Module | None, linear: nn.Linear | None, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = norm
        self.linear = linear
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, frontend width) -> (batch, frames, width)."""
        if self.norm is not None:
            x = self.norm(x)
        if self.linear is not None:
            x = self.linear(x)
        return self.dropout(x)  # type: ignore[no-any-return]
