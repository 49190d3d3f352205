"""The training loss: cross-entropy of the decoder, CTC on the encoder, and distillation from a teacher."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from speechcli.models.speech_encoder_decoder import IGNORED_LABEL


class Part(NamedTuple):
    """A sum and its number of terms, so that means over several batches are exact."""

    total: Tensor
    """Scalar, float32."""
    terms: int


@dataclass(frozen=True)
class Counts:
    """Counts of a step, over all of its batches and processes."""

    tokens: int
    """Target tokens."""
    transcripts: int
    """Recordings with a CTC target."""
    teacher_frames: int = 0
    """Frames of the teacher, which are known before the forward pass; the model's frames may be more or fewer."""


class Losses(NamedTuple):
    """The parts of one batch's loss."""

    cross_entropy: Part
    """Over target tokens, including label smoothing."""
    ctc: Part | None
    """Over utterances with a transcript, each divided by the transcript's length (as torch's `reduction="mean"`)."""
    correct: Part
    """Number of target tokens that are predicted correctly."""
    teacher: Part | None = None
    """Cross-entropy of the teacher's classes, over the frames that have one."""


@dataclass(frozen=True)
class Objective:
    """Combines cross-entropy, CTC and distillation.

    Args:
        label_smoothing: share of the probability spread over all tokens, as in `torch.nn.functional.cross_entropy`.
        ctc_weight: weight of CTC; cross-entropy has `1 - ctc_weight`.
        blank_id: CTC's blank, the tokenizer's pad id.
        teacher_weight: weight of the distillation loss, which is added to the rest.
        given_labels: number of labels at the start of each target that are part of the prompt, such as a language tag.
    """

    label_smoothing: float = 0.0
    ctc_weight: float = 0.0
    blank_id: int = 0
    teacher_weight: float = 0.0
    given_labels: int = 0

    def learned(self, labels: Tensor) -> Tensor:
        """Return labels (targets, tokens) with -100 for tokens that are part of the prompt."""
        if self.given_labels == 0:
            return labels
        labels = labels.clone()
        labels[:, : self.given_labels] = IGNORED_LABEL
        return labels

    def counts(
        self, labels: Tensor, ctc_labels: Tensor | None, teacher_labels: Tensor | None = None
    ) -> tuple[int, int, int]:
        """Return the `Counts` of a batch."""
        transcripts = 0 if ctc_labels is None else int((ctc_labels != IGNORED_LABEL).any(dim=1).sum())
        frames = 0 if teacher_labels is None else int((teacher_labels != IGNORED_LABEL).sum())
        return int((self.learned(labels) != IGNORED_LABEL).sum()), transcripts, frames

    def losses(
        self,
        logits: Tensor,
        labels: Tensor,
        ctc_logits: Tensor | None,
        frame_lengths: Tensor,
        ctc_labels: Tensor | None,
        *,
        teacher_logits: Tensor | None = None,
        teacher_labels: Tensor | None = None,
    ) -> Losses:
        """Compute the parts of one batch's loss in float32.

        Args:
            logits: (targets, tokens, vocabulary).
            labels: (targets, tokens), padded with -100.
            ctc_logits: (batch, frames, vocabulary).
            frame_lengths: (batch,) frames without padding.
            ctc_labels: (batch, tokens), -100 padded; a row of only -100 has no transcript.
            teacher_logits: (batch, frames, teacher classes).
            teacher_labels: (batch, teacher frames), -100 padded; a row of only -100 has no teacher.
        """
        labels = self.learned(labels)
        cross_entropy = F.cross_entropy(
            logits.float().flatten(0, 1),
            labels.flatten(),
            ignore_index=IGNORED_LABEL,
            label_smoothing=self.label_smoothing,
            reduction="sum",
        )
        real = labels != IGNORED_LABEL
        correct = ((logits.detach().argmax(dim=-1) == labels) & real).sum().float()
        tokens = int(real.sum())
        ctc = None
        if self.ctc_weight > 0 and ctc_logits is not None:
            ctc = ctc_part(ctc_logits, frame_lengths, ctc_labels, self.blank_id)
        teacher = None
        if teacher_logits is not None and teacher_labels is not None:
            teacher = teacher_part(teacher_logits, frame_lengths, teacher_labels)
        return Losses(Part(cross_entropy, tokens), ctc, Part(correct, tokens), teacher)

    def total(self, losses: Losses, counts: Counts) -> Tensor:
        """Return the loss to differentiate: this batch's share of the mean loss of the step."""
        total = losses.cross_entropy.total / max(counts.tokens, 1)
        if losses.ctc is not None:
            ctc = losses.ctc.total / max(counts.transcripts, 1)
            total = (1.0 - self.ctc_weight) * total + self.ctc_weight * ctc
        if losses.teacher is not None:
            total = total + self.teacher_weight * losses.teacher.total / max(counts.teacher_frames, 1)
        return total


def ctc_part(ctc_logits: Tensor, frame_lengths: Tensor, ctc_labels: Tensor | None, blank_id: int) -> Part:
    """Sum the CTC loss over the rows with a transcript, each divided by its length.

    Args:
        ctc_logits: (batch, frames, vocabulary).
        frame_lengths: (batch,).
        ctc_labels: (batch, tokens), -100 padded.
        blank_id: the blank's index in the vocabulary.
    """
    # 0, but with the head in the graph, as DDP requires; 0 times the sum is not a number if float16 overflows
    nothing = Part(ctc_logits[:0].float().sum(), 0)
    if ctc_labels is None:
        return nothing
    label_lengths = (ctc_labels != IGNORED_LABEL).sum(dim=1)
    rows = label_lengths.nonzero().flatten()
    if len(rows) == 0:
        return nothing
    # (batch, frames, vocabulary) -> (frames, rows, vocabulary); half precision overflows here
    log_probabilities = ctc_logits[rows].float().log_softmax(dim=-1).transpose(0, 1)
    losses = F.ctc_loss(
        log_probabilities,
        ctc_labels[rows].clamp(min=0),
        frame_lengths[rows],
        label_lengths[rows],
        blank=blank_id,
        reduction="none",
        zero_infinity=True,  # a transcript longer than its frames has no loss, and must not end the run
    )
    return Part((losses / label_lengths[rows]).sum(), len(rows))


def teacher_part(teacher_logits: Tensor, frame_lengths: Tensor, teacher_labels: Tensor) -> Part:
    """Sum the cross-entropy of the teacher's classes over all frames that have one.

    The teacher's classes are stretched in time to the frames of this model, which also accounts for a changed speed.

    Args:
        teacher_logits: (batch, frames, teacher classes) at this model's frame rate.
        frame_lengths: (batch,).
        teacher_labels: (batch, teacher frames), -100 padded.
    """
    lengths = (teacher_labels != IGNORED_LABEL).sum(dim=1)
    position = torch.arange(teacher_logits.size(1), device=teacher_logits.device)
    # the class at the same relative position in the recording: (batch, frames)
    place = (position[None] + 0.5) / frame_lengths[:, None] * lengths[:, None]
    labels = teacher_labels.gather(1, place.long().clamp(max=teacher_labels.size(1) - 1))
    labels = labels.masked_fill(position[None] >= frame_lengths[:, None], IGNORED_LABEL)
    total = F.cross_entropy(
        teacher_logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED_LABEL, reduction="sum"
    )
    return Part(total, int((labels != IGNORED_LABEL).sum()))


PARTS = 4
"""Parts of `Losses`, each a sum and a count."""


def detached(losses: Losses) -> Tensor:
    """Return the sums and counts as numbers that can be added up: (2 * PARTS,) float64."""
    none = Part(torch.zeros(()), 0)
    parts = [losses.cross_entropy, losses.ctc or none, losses.correct, losses.teacher or none]
    values: list[Tensor | int] = [value for part in parts for value in part]
    return torch.stack([torch.as_tensor(value, dtype=torch.float64).detach().cpu() for value in values])


def means(sums: Tensor) -> dict[str, float]:
    """Return the mean of each part by name, from summed `detached` values; parts with a count of 0 are left out."""
    cross_entropy, tokens, ctc, transcripts, correct, _, teacher, teacher_frames = sums.tolist()
    named = {"cross_entropy": cross_entropy / tokens, "accuracy": correct / tokens} if tokens > 0 else {}
    if transcripts > 0:
        named["ctc"] = ctc / transcripts
    if teacher_frames > 0:
        named["teacher"] = teacher / teacher_frames
    return named
