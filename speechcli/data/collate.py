"""Collate utterances into the tensors of one training step."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from speechcli.data.manifest import Target, Utterance
from speechcli.data.teacher import read_teacher
from speechcli.data.waveform import Waveform, read_waveform
from speechcli.errors import InputError, SpeechCliError, UsageError
from speechcli.models.speech_encoder_decoder import IGNORED_LABEL, shift_right
from speechcli.text.characters import Characters
from speechcli.text.languages import resolve_language
from speechcli.text.prompts import Prompts
from speechcli.text.tokenizer import Tokenizer

Augment = Callable[[Waveform, np.random.Generator], Waveform]
Read = Callable[[Utterance], Waveform]


class Features(Protocol):
    """Turns waveforms into encoder inputs."""

    @property
    def sampling_rate(self) -> int:
        """In Hz."""

    @property
    def longest(self) -> int | None:
        """Maximum number of samples of a recording; None: no limit."""

    def __call__(self, waveforms: Sequence[Waveform], /) -> tuple[Tensor, Tensor | None]:
        """Return values (batch, samples) or (batch, frames, mels), and lengths (batch,) or None."""


class Failed(NamedTuple):
    """An utterance, or one of its texts, that could not be used."""

    utterance: Utterance
    reason: str


@dataclass
class Batch:
    """The tensors of one training step; all have 0 rows if every recording of the batch failed."""

    inputs: Tensor
    """(batch, samples) or (batch, frames, mels)."""
    lengths: Tensor | None
    """(batch,) samples or frames; None for models that were trained without a mask."""
    rows: Tensor
    """(targets,) which recording each target belongs to."""
    decoder_input_ids: Tensor
    """(targets, tokens) the labels, shifted right after the start token."""
    labels: Tensor
    """(targets, tokens), padded with -100."""
    ctc_labels: Tensor | None
    """(batch, tokens), padded with -100; a row of -100 without a transcript; None without a CTC head."""
    teacher_labels: Tensor | None
    """(batch, teacher frames) classes that a larger encoder assigns, padded with -100; None without a teacher."""
    seconds: float
    """Seconds of audio after augmentation."""
    padded_seconds: float
    """Seconds of audio including padding."""
    utterances: list[Utterance]
    """(batch,) the recordings that were read."""
    failed: list[Failed]
    """Utterances and texts that could not be used."""

    @property
    def failures(self) -> dict[str, str]:
        """Utterance id -> why it could not be used, or one of its texts."""
        return {failed.utterance.id: failed.reason for failed in self.failed}

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.utterances)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "Batch":
        """Return the batch with all tensors on a device."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Return the batch with all tensors in pinned memory (called by the data loader)."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        return replace(
            self,
            inputs=function(self.inputs),
            lengths=None if self.lengths is None else function(self.lengths),
            rows=function(self.rows),
            decoder_input_ids=function(self.decoder_input_ids),
            labels=function(self.labels),
            ctc_labels=None if self.ctc_labels is None else function(self.ctc_labels),
            teacher_labels=None if self.teacher_labels is None else function(self.teacher_labels),
        )


@dataclass
class Collate:
    """Reads, augments, extracts features, tokenizes and pads; can be sent to the workers of a loader."""

    features: Features
    tokenizer: Tokenizer
    prompts: Prompts
    """The decoder prompts."""
    pad_id: int | None = None
    """Padding id of decoder inputs; None: the tokenizer's, or its end-of-text token if it has none."""
    ctc: bool = False
    """Whether to make labels for a CTC head: [tag of the spoken language] + transcript."""
    characters: Characters | None = None
    """Vocabulary of the CTC head, if it is not the tokenizer's; there is no language tag then."""
    teacher: bool = False
    """Whether to read the teacher's labels."""
    augment: Augment | None = None
    """Called with samples and a generator that depends on seed, epoch and utterance only."""
    seed: int = 0
    epoch: int = 0
    """Set this before the workers of an epoch start."""
    max_targets: int | None = None
    """Maximum number of texts per recording, chosen at random; None for all."""
    max_tokens: int | None = None
    """Longer labels are reported and left out; None for no limit."""
    read: Read | None = None
    """Reads an utterance at the model's sampling rate; None reads its file."""

    def __post_init__(self) -> None:
        for name, value in (("max_targets", self.max_targets), ("max_tokens", self.max_tokens)):
            if value is not None and value < 1:
                raise UsageError(f"`{name}` must be at least 1, but is {value}.")

    def check_languages(self, utterances: Sequence[Utterance]) -> None:
        """Refuse texts in languages that the model has no tag for, before training starts.

        Raises:
            UsageError: naming the first such language.
        """
        for spoken, written in dict.fromkeys((u.language, target.language) for u in utterances for target in u.targets):
            self.prompts.between(spoken, written)

    def __call__(self, utterances: Sequence[Utterance]) -> Batch:
        """Make a batch; recordings that cannot be read are left out and reported.

        Raises:
            UsageError: if the model has language tags, but none for the language of a text.
        """
        kept: list[Utterance] = []
        failed: list[Failed] = []
        waveforms: list[Waveform] = []
        labels: list[list[int]] = []
        rows: list[int] = []
        for utterance in utterances:
            generator = self._generator(utterance)
            sequences = self._labels(utterance, generator, failed)
            if not sequences and utterance.targets:
                continue
            try:
                waveform = self._waveform(utterance, generator)
            except (SpeechCliError, OSError) as error:
                failed.append(Failed(utterance, str(error)))
                continue
            rows += [len(kept)] * len(sequences)
            labels += sequences
            waveforms.append(waveform)
            kept.append(utterance)
        return self._batch(kept, failed, waveforms, labels, rows)

    def _batch(
        self,
        kept: list[Utterance],
        failed: list[Failed],
        waveforms: list[Waveform],
        labels: list[list[int]],
        rows: list[int],
    ) -> Batch:
        inputs, lengths = self.features(waveforms) if waveforms else (torch.zeros(0, 0), None)
        padded = pad_rows(labels, IGNORED_LABEL)
        samples = [len(waveform) for waveform in waveforms]
        rate = self.features.sampling_rate
        return Batch(
            inputs=inputs,
            lengths=lengths,
            rows=torch.tensor(rows, dtype=torch.long),
            decoder_input_ids=shift_right(padded, start_id=self.prompts.start, pad_id=self._pad_id()),
            labels=padded,
            ctc_labels=pad_rows([self._ctc_labels(u) for u in kept], IGNORED_LABEL) if self.ctc else None,
            teacher_labels=read_teacher(kept) if self.teacher else None,
            seconds=sum(samples) / rate,
            padded_seconds=max(samples, default=0) * len(samples) / rate,
            utterances=kept,
            failed=failed,
        )

    def _generator(self, utterance: Utterance) -> np.random.Generator:
        # crc32 and not hash(): the latter differs from process to process.
        return np.random.default_rng([self.seed, self.epoch, zlib.crc32(utterance.id.encode())])

    def _waveform(self, utterance: Utterance, generator: np.random.Generator) -> Waveform:
        parts = [self._read(part) for part in utterance.parts or (utterance,)]
        waveform = parts[0] if len(parts) == 1 else np.concatenate(parts)
        longest, rate = self.features.longest, self.features.sampling_rate
        changed = waveform if self.augment is None else self.augment(waveform, generator)
        if longest is None or len(changed) <= longest:
            return changed
        if len(waveform) <= longest:
            return waveform  # only a slower speed makes it too long
        raise InputError(
            f"A recording must be at most {longest / rate:g} s long, the window of the model, "
            f"but `{utterance.audio}` has {len(waveform) / rate:.1f} s."
        )

    def _read(self, utterance: Utterance) -> Waveform:
        return read_waveform(utterance, self.features.sampling_rate) if self.read is None else self.read(utterance)

    def _labels(self, utterance: Utterance, generator: np.random.Generator, failed: list[Failed]) -> list[list[int]]:
        """Return the labels of the chosen targets; those that are too long are reported."""
        labels: list[list[int]] = []
        for target in self._chosen(utterance.targets, generator):
            begin = self.prompts.between(utterance.language, target.language).given
            ids = [*begin, *self.tokenizer.encode(target.text), self.tokenizer.end_id]
            if self.max_tokens is not None and len(ids) > self.max_tokens:
                reason = f"A text must have at most {self.max_tokens} tokens, but has {len(ids)}: {target.text[:60]!r}."
                failed.append(Failed(utterance, reason))
            else:
                labels.append(ids)
        return labels

    def _chosen(self, targets: tuple[Target, ...], generator: np.random.Generator) -> list[Target]:
        if self.max_targets is None or len(targets) <= self.max_targets:
            return list(targets)
        chosen = generator.choice(len(targets), size=self.max_targets, replace=False)
        return [targets[i] for i in sorted(chosen)]

    def _ctc_labels(self, utterance: Utterance) -> list[int]:
        if utterance.transcript is None:
            return []
        if self.characters is not None:
            return self.characters.encode(utterance.transcript)
        tag: list[int] = []
        if self.tokenizer.languages and utterance.language is not None:
            try:
                name = resolve_language(utterance.language, self.tokenizer.languages)
            except UsageError:
                # The model can only translate from this language, so its vocabulary cannot spell the transcript.
                return []
            tag = [self.tokenizer.languages[name]]
        return tag + self.tokenizer.encode(utterance.transcript)

    def _pad_id(self) -> int:
        if self.pad_id is not None:
            return self.pad_id
        return self.tokenizer.end_id if self.tokenizer.pad_id is None else self.tokenizer.pad_id


def pad_rows(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """Return rows of ids as one padded tensor (rows, longest row)."""
    padded = torch.full((len(rows), max(map(len, rows), default=0)), value, dtype=torch.long)
    for row, ids in enumerate(rows):
        padded[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
    return padded
