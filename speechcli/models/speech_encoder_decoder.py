"""The whole model: a speech encoder, a text decoder, and the projection between them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechcli.models.decoder import TextDecoder
from speechcli.models.encoder import SpeechEncoder
from speechcli.nn.cache import DecoderCache
from speechcli.nn.masks import padding_mask

IGNORED_LABEL = -100


class Encoded(NamedTuple):
    """The output of the encoder for a batch of recordings."""

    memory: Tensor
    """(batch, frames, decoder width), for the decoder."""
    mask: Tensor | None
    """(batch, frames), false for padding; None: no mask."""
    frames: Tensor
    """(batch, frames before the adapter, encoder width), for the CTC head."""
    frame_lengths: Tensor
    """(batch,) numbers of these frames without padding."""

    def take(self, rows: Sequence[int]) -> "Encoded":
        """Return the recordings with these indices, in this order; an index may occur more than once."""
        if list(rows) == list(range(self.memory.size(0))):
            return self
        index = torch.tensor(rows, device=self.memory.device)
        mask = None if self.mask is None else self.mask[index]
        lengths = self.frame_lengths[index.to(self.frame_lengths.device)]
        return Encoded(self.memory[index], mask, self.frames[index], lengths)

    @classmethod
    def join(cls, parts: Sequence["Encoded"]) -> "Encoded":
        """Join several batches; shorter ones are padded and masked."""
        if len(parts) == 1:
            return parts[0]
        masks = [
            torch.ones_like(part.memory[..., 0], dtype=torch.bool) if part.mask is None else part.mask for part in parts
        ]
        return cls(
            _stacked([part.memory for part in parts]),
            _stacked(masks),
            _stacked([part.frames for part in parts]),
            torch.cat([part.frame_lengths for part in parts]),
        )


class ModelOutput(NamedTuple):
    """The output of the model."""

    logits: Tensor
    """(targets, tokens, vocabulary)"""
    ctc_logits: Tensor | None
    """(batch, frames, CTC vocabulary)"""
    frame_lengths: Tensor
    """(batch,) frames of `ctc_logits` without padding."""
    teacher_logits: Tensor | None = None
    """(batch, frames, teacher classes)"""


class SpeechEncoderDecoder(nn.Module):
    """Any speech encoder with any text decoder, as Hugging Face's `SpeechEncoderDecoderModel`.

    Args:
        encoder: speech to memory.
        decoder: token ids and memory to vocabulary scores.
        projection: encoder width to decoder width, if they differ.
        ctc_head: frames to a vocabulary, for connectionist temporal classification (Graves et al. 2006) in addition to
            the decoder; Hugging Face's model has none.
        teacher_head: frames to the classes that a larger encoder assigns to them (Hsu et al. 2021); only in training.
        reads_padding: whether the decoder was trained to attend to the padding, too.
    """

    def __init__(
        self,
        encoder: SpeechEncoder,
        decoder: TextDecoder,
        *,
        projection: nn.Linear | None = None,
        ctc_head: nn.Linear | None = None,
        teacher_head: nn.Linear | None = None,
        reads_padding: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.projection = projection
        self.ctc_head = ctc_head
        self.teacher_head = teacher_head
        self.reads_padding = reads_padding

    def forward(
        self, inputs: Tensor, lengths: Tensor | None, decoder_input_ids: Tensor, rows: Tensor | None = None
    ) -> ModelOutput:
        """Compute the logits of every position of every target, as in training.

        Args:
            inputs: (batch, samples) or (batch, frames, mels), padded on the right.
            lengths: (batch,) samples or frames without padding; None for models trained without a padding mask.
            decoder_input_ids: (targets, tokens).
            rows: (targets,), the recording of each target; several targets share one encoder pass. None: one target per
                recording, in order.
        """
        encoded = self.encode(inputs, lengths)
        memory, mask = encoded.memory, encoded.mask
        if rows is not None:
            memory, mask = memory[rows], None if mask is None else mask[rows]
        logits = self.decoder(decoder_input_ids, memory, mask)
        ctc_logits = None if self.ctc_head is None else self.ctc_head(encoded.frames)
        teacher_logits = None if self.teacher_head is None else self.teacher_head(encoded.frames)
        return ModelOutput(logits, ctc_logits, encoded.frame_lengths, teacher_logits)

    def encode(self, inputs: Tensor, lengths: Tensor | None = None) -> Encoded:
        """Run the encoder; inputs and lengths as in `forward`."""
        frames, frame_lengths = self.encoder.frames(inputs, lengths)
        memory, memory_lengths = self.encoder.adapt(frames, frame_lengths)
        if self.projection is not None:
            memory = self.projection(memory)
        if frame_lengths is None:
            frame_lengths = torch.full((frames.size(0),), frames.size(1), device=frames.device)
        return Encoded(memory, self.memory_mask(memory, memory_lengths), frames, frame_lengths)

    def memory_mask(self, memory: Tensor, lengths: Tensor | None) -> Tensor | None:
        """Return the mask (batch, frames) of the memory for the decoder; None: no mask."""
        return None if lengths is None or self.reads_padding else padding_mask(lengths, memory.size(1))

    def start(self, encoded: Encoded) -> DecoderCache:
        """Make the cache for decoding, with one row per recording; the memory is projected once for all steps."""
        return self.decoder.start(encoded.memory, encoded.mask)

    def step(self, ids: Tensor, cache: DecoderCache) -> Tensor:
        """Score the next token: ids (rows, new tokens) -> logits (rows, vocabulary)."""
        return self.decoder.step(ids, cache)


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate (batch, frames, …) tensors along the batch, padding frames with zeros."""
    longest = max(part.size(1) for part in parts)
    return torch.cat([F.pad(part, (0, 0) * (part.dim() - 2) + (0, longest - part.size(1))) for part in parts])


def shift_right(labels: Tensor, *, start_id: int, pad_id: int) -> Tensor:
    """Shift labels right to get the decoder inputs: the start token first, padding instead of -100.

    Args:
        labels: (batch, tokens), -100 where there is no loss.
        start_id: `decoder_start_token_id`.
        pad_id: `pad_token_id`.

    Returns:
        (batch, tokens)
    """
    start = torch.full_like(labels[:, :1], start_id)
    shifted = torch.cat([start, labels[:, :-1]], dim=1)
    return shifted.masked_fill(shifted == IGNORED_LABEL, pad_id)


def sequence_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy over all labels except -100, in float32.

    Args:
        logits: (batch, tokens, vocabulary).
        labels: (batch, tokens).

    Returns:
        a scalar
    """
    return F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED_LABEL)
