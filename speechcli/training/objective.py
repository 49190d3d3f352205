"""What training makes small: the decoder's cross-entropy and, beside it, CTC on the encoder."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from speechcli.models.speech_encoder_decoder import IGNORED_LABEL


class Part(NamedTuple):
    """A sum over things and how many there were, so that parts of batches can be put together exactly."""

    total: Tensor
    """Scalar, float32."""
    things: int


@dataclass(frozen=True)
class Counts:
    """How many target tokens and CTC rows a step has, over all of its batches and processes."""

    tokens: int
    transcripts: int
    taught: int = 0


class Losses(NamedTuple):
    """The named parts of one batch's loss."""

    cross_entropy: Part
    """Over target tokens, smoothing included."""
    ctc: Part | None
    """Over utterances with a transcript, each divided by the transcript's length (as torch's `reduction="mean"`)."""
    correct: Part
    """Target tokens whose most probable token is the right one."""
    teacher: Part | None = None
    """Mean absolute distance to a larger encoder's frames, over utterances that have them."""


@dataclass(frozen=True)
class Objective:
    """Weigh cross-entropy and CTC.

    Args:
        label_smoothing: share of the probability spread over all tokens, as in `torch.nn.functional.cross_entropy`.
        ctc_weight: weight of CTC; cross-entropy has `1 - ctc_weight`.
        blank_id: CTC's blank, the tokenizer's pad id.
        teacher_weight: weight of the distance to a larger encoder's frames, added to the rest.
        given_labels: labels at the start of each target that are not learned: a language tag that is always given.
    """

    label_smoothing: float = 0.0
    ctc_weight: float = 0.0
    blank_id: int = 0
    teacher_weight: float = 0.0
    given_labels: int = 0

    def learned(self, labels: Tensor) -> Tensor:
        """Return labels (targets, tokens) with -100 for those that are given."""
        if self.given_labels == 0:
            return labels
        labels = labels.clone()
        labels[:, : self.given_labels] = IGNORED_LABEL
        return labels

    def counts(
        self, labels: Tensor, ctc_labels: Tensor | None, teacher_lengths: Tensor | None = None
    ) -> tuple[int, int, int]:
        """Return how many target tokens, rows with a transcript and rows with a teacher a batch has to learn."""
        transcripts = 0 if ctc_labels is None else int((ctc_labels != IGNORED_LABEL).any(dim=1).sum())
        taught = 0 if teacher_lengths is None else int((teacher_lengths > 0).sum())
        return int((self.learned(labels) != IGNORED_LABEL).sum()), transcripts, taught

    def losses(
        self,
        logits: Tensor,
        labels: Tensor,
        ctc_logits: Tensor | None,
        frame_lengths: Tensor,
        ctc_labels: Tensor | None,
        *,
        taught: Tensor | None = None,
        teacher: Tensor | None = None,
        teacher_lengths: Tensor | None = None,
    ) -> Losses:
        """Compute the parts of one batch's loss in float32.

        Args:
            logits: (targets, tokens, vocabulary).
            labels: (targets, tokens), -100 where nothing is to be learned.
            ctc_logits: (batch, frames, vocabulary).
            frame_lengths: (batch,) frames that are not padding.
            ctc_labels: (batch, tokens), -100 padded; a row of only -100 has no transcript.
            taught: (batch, frames, teacher width), of the model's teacher head.
            teacher: (batch, teacher frames, teacher width).
            teacher_lengths: (batch,), 0 for a recording without.
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
        distance = None
        if taught is not None and teacher is not None and teacher_lengths is not None:
            distance = teacher_part(taught, frame_lengths, teacher, teacher_lengths)
        return Losses(Part(cross_entropy, tokens), ctc, Part(correct, tokens), distance)

    def total(self, losses: Losses, counts: Counts) -> Tensor:
        """Return the scalar to differentiate: this batch's share of the whole step's mean loss."""
        total = losses.cross_entropy.total / max(counts.tokens, 1)
        if losses.ctc is not None:
            ctc = losses.ctc.total / max(counts.transcripts, 1)
            total = (1.0 - self.ctc_weight) * total + self.ctc_weight * ctc
        if losses.teacher is not None:
            total = total + self.teacher_weight * losses.teacher.total / max(counts.taught, 1)
        return total


def ctc_part(ctc_logits: Tensor, frame_lengths: Tensor, ctc_labels: Tensor | None, blank_id: int) -> Part:
    """Sum CTC over the rows that have a transcript, each row divided by its length.

    Args:
        ctc_logits: (batch, frames, vocabulary).
        frame_lengths: (batch,).
        ctc_labels: (batch, tokens), -100 padded.
        blank_id: the blank's index in the vocabulary.
    """
    if ctc_labels is None:
        return Part(ctc_logits.sum().float() * 0.0, 0)  # keeps the head in the graph, which DDP insists on
    label_lengths = (ctc_labels != IGNORED_LABEL).sum(dim=1)
    rows = label_lengths.nonzero().flatten()
    if len(rows) == 0:
        return Part(ctc_logits.sum().float() * 0.0, 0)
    # (batch, frames, vocabulary) -> (frames, rows, vocabulary); half precision overflows here
    log_probabilities = ctc_logits[rows].float().log_softmax(dim=-1).transpose(0, 1)
    losses = F.ctc_loss(
        log_probabilities,
        ctc_labels[rows].clamp(min=0),
        frame_lengths[rows],
        label_lengths[rows],
        blank=blank_id,
        reduction="none",
        zero_infinity=True,  # a transcript longer than its frames says nothing, and must not end the run
    )
    return Part((losses / label_lengths[rows]).sum(), len(rows))


def teacher_part(taught: Tensor, frame_lengths: Tensor, teacher: Tensor, teacher_lengths: Tensor) -> Part:
    """Sum the mean absolute distance to a larger encoder's frames over the rows that have them.

    The teacher's frames are normalised one by one, and stretched in time to the number of ours: a recording whose speed
    was changed still fits.

    Args:
        taught: (batch, frames, teacher width) in our frame rate.
        frame_lengths: (batch,).
        teacher: (batch, teacher frames, teacher width).
        teacher_lengths: (batch,), 0 for a row without.
    """
    distance = taught.sum().float() * 0.0
    rows = teacher_lengths.nonzero().flatten().tolist()
    for row in rows:
        frames = int(frame_lengths[row])
        wanted = F.layer_norm(teacher[row, : int(teacher_lengths[row])], teacher.shape[-1:])
        # (teacher frames, width) -> (1, width, frames) -> (frames, width)
        wanted = F.interpolate(wanted.T[None], size=frames, mode="linear", align_corners=False)[0].T
        distance = distance + F.l1_loss(taught[row, :frames].float(), wanted)
    return Part(distance, len(rows))


PARTS = 4
"""Parts of `Losses`, each a sum and a count."""


def detached(losses: Losses) -> Tensor:
    """Return the sums and counts as numbers that can be added up: (2 * PARTS,) float64."""
    none = Part(torch.zeros(()), 0)
    parts = [losses.cross_entropy, losses.ctc or none, losses.correct, losses.teacher or none]
    values: list[Tensor | int] = [value for part in parts for value in part]
    return torch.stack([torch.as_tensor(value, dtype=torch.float64).detach().cpu() for value in values])


def means(sums: Tensor) -> dict[str, float]:
    """Return mean parts by name from added-up `detached` values; CTC only where there was some."""
    cross_entropy, tokens, ctc, transcripts, correct, _, teacher, taught = sums.tolist()
    named = {"cross_entropy": cross_entropy / max(tokens, 1.0), "accuracy": correct / max(tokens, 1.0)}
    if transcripts > 0:
        named["ctc"] = ctc / transcripts
    if taught > 0:
        named["teacher"] = teacher / taught
    return named
