"""The speech encoder."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from speechcli.nn.adapter import LengthAdapter
from speechcli.nn.conformer import ConformerLayer
from speechcli.nn.frontend import ConvFrontend, FilterbankFrontend, FrameProjection, WindowFrontend
from speechcli.nn.layer import TransformerLayer
from speechcli.nn.masks import SpecAugment, padding_mask
from speechcli.nn.positions import BatchNormConvPositions, ConvPositions, FramePositions, StackedConvPositions
from speechcli.nn.relative import (
    BucketedDistances,
    RelativePositionBias,
    RotaryPositions,
    SinusoidalDistances,
    UnreadDistances,
)
from speechcli.nn.squeeze import Squeeze


class SpeechEncoder(nn.Module):
    """A stack of layers over the frames of a frontend.

        input -> frontend -> projection -> SpecAugment -> + positions -> layers -> norm -> adapter -> memory
                                                                    (norm before the layers where the norm comes last)

    Args:
        frontend: waveform or features to frames.
        projection: frontend width to encoder width.
        layers: transformer or conformer layers.
        width: width of the frames in the layers.
        spec_augment: masks spans in training.
        squeeze: downsamples the frames for the layers, and upsamples the result.
        positions: position embeddings, which are added to the frames.
        norm: norm before the layers, or after them if `norm_first`.
        norm_first: whether the layers have their norms before the sub-layers.
        attention_positions: positions for the attention of all layers, computed once per pass.
        adapter: shortens the output.
        dropout: dropout on the input of the layers.
        layer_dropout: probability of skipping a layer in training.

    Attributes:
        recompute: whether the activations of layers are recomputed in the backward pass instead of stored (Chen et al.
            2016); False by default.
    """

    def __init__(
        self,
        frontend: ConvFrontend | FilterbankFrontend | WindowFrontend,
        projection: FrameProjection | nn.Identity,
        layers: Sequence[TransformerLayer | ConformerLayer],
        *,
        width: int,
        spec_augment: SpecAugment | None = None,
        squeeze: Squeeze | None = None,
        positions: ConvPositions | BatchNormConvPositions | StackedConvPositions | FramePositions | None = None,
        norm: nn.Module | None = None,
        norm_first: bool = False,
        attention_positions: RelativePositionBias
        | SinusoidalDistances
        | BucketedDistances
        | UnreadDistances
        | RotaryPositions
        | None = None,
        adapter: LengthAdapter | None = None,
        dropout: float = 0.0,
        layer_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.frontend = frontend
        self.projection = projection
        self.spec_augment = spec_augment
        self.squeeze = squeeze
        self.positions = positions
        self.norm, self.norm_first = norm, norm_first
        self.attention_positions = attention_positions
        self.layers = nn.ModuleList(layers)
        self.adapter = adapter
        self.dropout = nn.Dropout(dropout)
        self.layer_dropout = layer_dropout
        self.recompute = False
        self.frame_width = width
        self.width = width if adapter is None else adapter.width

    @property
    def ignores_padding(self) -> bool:
        """Whether padding has no effect: the frames of a clip do not depend on the other clips in its batch.

        A norm over time includes the padding. A norm or a second convolution turns the zeros after a clip into other
        values, which affect its last frames.
        """
        positions = self.positions is None or isinstance(self.positions, ConvPositions | FramePositions)
        layers = self.squeeze is None and all(layer.ignores_padding for layer in self.layers)
        return self.frontend.ignores_padding and positions and layers and self.adapter is None

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Encode.

        Args:
            inputs: (batch, samples) or (batch, frames, mels), padded on the right.
            lengths: (batch,) samples or frames without padding; None for models trained without a padding mask.

        Returns:
            memory (batch, frames, width) and its lengths without padding (batch,), None if `lengths` is None
        """
        return self.adapt(*self.frames(inputs, lengths))

    def frames(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Encode without the adapter: like `forward`, but the frames have the width of the layers."""
        x = self.projection(self.frontend(inputs))
        mask = None
        if lengths is not None:
            lengths = self.frontend.out_lengths(lengths)
            mask = padding_mask(lengths, x.size(1))
        if self.spec_augment is not None:
            x = self.spec_augment(x, lengths)
        if mask is not None:
            x = x.masked_fill(~mask[..., None], 0.0)
        if self.squeeze is None:
            return self._through_layers(x, mask), lengths
        squeezed, mask = self.squeeze(x, mask)
        return self.squeeze.expand(self._through_layers(squeezed, mask), x.size(1)), lengths

    def _through_layers(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if self.positions is not None:
            x = x + self.positions(x)
        if self.norm is not None and not self.norm_first:
            x = self.norm(x)
        x = self.dropout(x)
        positions = None if self.attention_positions is None else self.attention_positions(x)
        for layer in self.layers:
            if self.training and torch.rand(()).item() < self.layer_dropout:
                continue
            recompute = self.recompute and torch.is_grad_enabled()
            run = partial(checkpoint, layer, use_reentrant=False) if recompute else layer
            x = run(x, mask=mask, positions=positions)
        return self.norm(x) if self.norm is not None and self.norm_first else x

    def adapt(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Apply the adapter to the output of `frames`, if there is one."""
        return (x, lengths) if self.adapter is None else self.adapter(x, lengths)

    def freeze_frontend(self) -> None:
        """Freeze the frontend; in Hugging Face, only some encoders support this."""
        self.frontend.requires_grad_(False)


class WindowEncoder(SpeechEncoder):
    """An encoder for a fixed window that includes silence after the recording, as in Whisper.

        input -> SpecAugment -> frontend -> + positions -> layers -> norm -> memory

    Lengths do not change the frames; they only determine which of them a decoder attends to.
    """

    def frames(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Encode (batch, window, mels)."""
        if self.spec_augment is not None:
            inputs = self.spec_augment(inputs, lengths)
        x = self._through_layers(self.frontend(inputs), None)
        return x, None if lengths is None else self.frontend.out_lengths(lengths)
