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
        width: of the frames in the layers.
        spec_augment: hides spans in training.
        squeeze: shortens the frames for the layers, and makes them as many as before after them.
        positions: added to the frames.
        norm: before the layers, or after them where `norm_first`.
        norm_first: whether the layers have their norms first.
        attention_positions: made once a pass for the attention of all layers.
        adapter: shortens the output.
        dropout: on the input of the layers, in training.
        layer_dropout: probability of skipping a layer, in training.

    Attributes:
        recompute: whether layers are computed again in the backward pass instead of keeping what they made (Chen et al.
            2016); False at first.
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
        """Whether padding has no effect: a clip in a batch is encoded as if it were alone.

        A norm over time takes padding in; a norm or a second convolution makes something of the zeros behind a clip,
        and the clip's last frames look at it.
        """
        positions = self.positions is None or isinstance(self.positions, ConvPositions | FramePositions)
        layers = self.squeeze is None and all(layer.ignores_padding for layer in self.layers)
        return self.frontend.ignores_padding and positions and layers and self.adapter is None

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Encode.

        Args:
            inputs: (batch, samples) or (batch, frames, mels), padded on the right.
            lengths: (batch,) real samples or frames; None for models trained without a padding mask.

        Returns:
            memory (batch, frames, width) and its real lengths (batch,), None where no lengths came
        """
        return self.adapt(*self.frames(inputs, lengths))

    def frames(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Encode without the adapter; as `forward`, but the frames have the layers' width."""
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
            again = self.recompute and torch.is_grad_enabled()
            run = partial(checkpoint, layer, use_reentrant=False) if again else layer
            x = run(x, mask=mask, positions=positions)
        return self.norm(x) if self.norm is not None and self.norm_first else x

    def adapt(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Apply the adapter to the output of `frames`, if there is one."""
        return (x, lengths) if self.adapter is None else self.adapter(x, lengths)

    def freeze_frontend(self) -> None:
        """Freeze the frontend; in Hugging Face, only some encoders have this."""
        self.frontend.requires_grad_(False)


class WindowEncoder(SpeechEncoder):
    """An encoder for a fixed window that includes silence after the recording, as in Whisper.

        input -> SpecAugment -> frontend -> + positions -> layers -> norm -> memory

    Lengths do not change the frames. They only say which of them a decoder should read.
    """

    def frames(self, inputs: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Encode (batch, window, mels)."""
        if self.spec_augment is not None:
            inputs = self.spec_augment(inputs, lengths)
        x = self._through_layers(self.frontend(inputs), None)
        return x, None if lengths is None else self.frontend.out_lengths(lengths)
