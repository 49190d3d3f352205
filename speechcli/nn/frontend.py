"""What turns the encoder's input into frames; each frontend knows how many frames come out."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from speechcli.errors import UsageError


class ConvSize(NamedTuple):
    """One convolution of the waveform frontend."""

    width: int
    kernel: int
    stride: int


class ConvBlock(nn.Module):
    """A convolution over time, a norm over channels or over time, an activation.

    Samples lie as an image of one line, channels last in memory: so they are matrices of samples by channels, which is
    what processors multiply, and no step turns them around.
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
        # One channel: as a product of windows (batch, 1, samples, kernel), in a third of the time.
        windows = x[:, 0].unfold(2, weight.size(2), stride)
        return F.linear(windows, weight[:, 0], bias).permute(0, 3, 1, 2)


class ConvFrontend(nn.Module):
    """A stack of strided convolutions over the waveform (wav2vec 2.0).

    A clip too short for one frame is padded with zeros to one frame, where the reference crashes.

    Args:
        sizes: of the convolutions, in order.
        norm: "group": a norm over time after the first convolution only (then padding changes the result);
            "layer": a norm over channels after each.
        bias: whether the convolutions have one.
        activation: after each.
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
        """Samples that make one frame."""
        samples = 1
        for size in reversed(self.sizes):
            samples = (samples - 1) * size.stride + size.kernel
        return samples

    @property
    def ignores_padding(self) -> bool:
        """Whether what stands behind a clip leaves its frames as they are."""
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
    """Takes frames as they come from the feature extractor.

    Args:
        width: of a frame.
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
        mels: of a frame that comes in.
        width: of a frame that goes out.
        frames: that go out; the window has twice as many.
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
            UsageError: the features are no whole window of this width.
        """
        expected = (self.window, self.conv1.in_channels)
        if features.shape[1:] != expected:
            came = " frames of ".join(str(size) for size in features.shape[1:])
            raise UsageError(
                f"The encoder reads windows of {expected[0]} frames of {expected[1]} mels, but got {came}.",
                hint="chunk_length and feature_size in preprocessor_config.json must fit the model",
            )
        x = F.gelu(self.conv1(features.transpose(1, 2)))
        return F.gelu(self.conv2(x)).transpose(1, 2)

    def out_lengths(self, lengths: Tensor) -> Tensor:
        """Frames (batch,) -> frames (batch,), at least one."""
        return (lengths.clamp(min=1) + 1) // 2


class FrameProjection(nn.Module):
    """From the frontend's width to the encoder's: norm, linear map, dropout.

    Args:
        norm: over the frontend's width; None where a checkpoint has none.
        linear: to the encoder's width; None where the two are the same and a checkpoint has none.
        dropout: on the output, in training.
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
