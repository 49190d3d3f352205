"""Compute losses and hypotheses of utterances; shared by training and evaluation."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import torch

from speechcli.checkpoints.bundle import Bundle
from speechcli.data.batching import DurationBatches
from speechcli.data.collate import Batch, Collate, Read
from speechcli.data.loading import Collates, load_epoch
from speechcli.data.manifest import Target, Utterance
from speechcli.data.waveform import Waveform, read_waveform
from speechcli.errors import SpeechCliError
from speechcli.models.speech_encoder_decoder import Encoded
from speechcli.pipelines.recognition.recognizer import Clip, Recognizer
from speechcli.pipelines.search.write import Request, TextWriter, tokenizer_of
from speechcli.text.languages import language_code
from speechcli.text.prompts import prompts_for
from speechcli.training.metrics import Pair
from speechcli.training.objective import PARTS, Objective, detached, means
from speechcli.training.precision import autocast

ReportDone = Callable[[int], None]
"""Called after each batch with the number of finished utterances."""


@dataclass(frozen=True)
class ScoringOptions:
    """How utterances are batched and decoded."""

    max_seconds: float = 120.0
    """Seconds of audio in a batch, including padding."""
    max_items: int = 64
    """Maximum number of utterances in a batch."""
    workers: int = 0
    """Worker processes that read audio."""
    autocast: str = "float32"
    """Number format of matrix products, as in `speechcli.training.precision`; float32: that of the weights."""


@dataclass
class Scored:
    """Hypotheses and losses of utterances."""

    pairs: list[Pair] = field(default_factory=list)
    sums: torch.Tensor = field(default_factory=lambda: torch.zeros(2 * PARTS, dtype=torch.float64))
    """Summed parts of the loss with teacher forcing, see `objective.detached`."""
    seconds: float = 0.0
    """Seconds of decoded audio."""
    failures: dict[str, str] = field(default_factory=dict)
    """Utterance id -> why it could not be read."""

    @property
    def losses(self) -> dict[str, float]:
        """Mean parts of the loss."""
        return means(self.sums)

    @classmethod
    def join(cls, parts: Sequence["Scored"]) -> "Scored":
        """Join the results of several batches or processes."""
        return cls(
            [pair for part in parts for pair in part.pairs],
            torch.stack([part.sums for part in parts]).sum(dim=0),
            sum(part.seconds for part in parts),
            {name: reason for part in parts for name, reason in part.failures.items()},
        )


def make_collate(bundle: Bundle, *, ctc: bool, read: Read | None = None) -> Collate:
    """Make the collate function of a model, without augmentation.

    Raises:
        ModelError: if the model has no tokenizer.
    """
    tokenizer = tokenizer_of(bundle)
    start, generation = bundle.config.decoder_start_token_id, bundle.generation
    return Collate(
        features=bundle.features,
        tokenizer=tokenizer,
        prompts=prompts_for(
            tokenizer,
            start=generation.start_token_id if start is None else start,
            forced=generation.forced_bos_token_id,
        ),
        pad_id=bundle.config.pad_token_id,
        ctc=ctc,
        characters=bundle.characters,
        max_tokens=bundle.model.decoder.max_tokens,
        read=read,
    )


def decode_utterances(
    writer: TextWriter,
    utterances: Sequence[Utterance],
    objective: Objective,
    options: ScoringOptions,
    *,
    progress: ReportDone = lambda done: None,
) -> Scored:
    """Decode every target of every utterance, and compute the losses, with one encoder pass each.

    Args:
        writer: writes the texts; its model is left in evaluation mode.
        utterances: recordings with reference texts.
        objective: the losses to compute.
        options: batches and number format.
        progress: called with the number of finished utterances.

    Raises:
        UsageError: if the model has no tag for a language of a text.
    """
    bundle = writer.bundle
    model = bundle.model.eval()
    weight = next(model.parameters())
    collate = make_collate(bundle, ctc=model.ctc_head is not None)
    collate.check_languages(utterances)

    def score(batch: Batch) -> Scored:
        batch = batch.to(weight.device)
        with autocast(weight.device, options.autocast):
            encoded = model.encode(batch.inputs.to(weight.dtype), batch.lengths)
            return Scored(_pairs(writer, encoded, batch), _losses(bundle, encoded, batch, objective), batch.seconds)

    together = bundle.features.pads and model.encoder.ignores_padding
    plan = _plan(utterances, options, max_items=options.max_items if together else 1)
    return _score(plan, collate, score, workers=options.workers, progress=progress)


def _pairs(writer: TextWriter, encoded: Encoded, batch: Batch) -> list[Pair]:
    """Decode all targets, including those that were too long to be labels."""
    targets = [(row, each, target) for row, each in enumerate(batch.utterances) for target in each.targets]
    requests = [
        Request(
            row,
            writer.prompts.between(utterance.language, target.language),
            utterance.seconds,
            spoken=_is_transcript(target, utterance),
            language=utterance.language,
        )
        for row, utterance, target in targets
    ]
    return [
        Pair(
            utterance.id,
            utterance.language,
            target.language,
            target.text,
            writer.tokenizer.decode(best.tokens).strip(),
        )
        for (_, utterance, target), (best, *_) in zip(targets, writer.write(encoded, requests), strict=True)
    ]


def _is_transcript(target: Target, utterance: Utterance) -> bool:
    """Whether a text is the transcript, and not a translation that happens to be the same: a number, or a name."""
    written, spoken = target.language, utterance.language
    same = written is None or spoken is None or language_code(written) == language_code(spoken)
    return same and target.text == utterance.transcript


def _losses(bundle: Bundle, encoded: Encoded, batch: Batch, objective: Objective) -> torch.Tensor:
    repeated = encoded.take(batch.rows.tolist())
    logits = bundle.model.decoder(batch.decoder_input_ids, repeated.memory, repeated.mask)
    head = bundle.model.ctc_head
    ctc_logits = None if head is None else head(encoded.frames)
    return detached(objective.losses(logits, batch.labels, ctc_logits, encoded.frame_lengths, batch.ctc_labels))


@dataclass(frozen=True)
class Recordings:
    """The audio of a batch."""

    utterances: list[Utterance] = field(default_factory=list)
    waveforms: list[Waveform] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """Utterance id -> why it could not be read."""


@dataclass
class ReadRecordings:
    """A collate function that only reads the audio of a batch."""

    sampling_rate: int
    epoch: int = 0

    def __call__(self, utterances: Sequence[Utterance]) -> Recordings:
        """Read the recordings; those that cannot be read are listed with the reason."""
        found = Recordings()
        for utterance in utterances:
            try:
                found.waveforms.append(read_waveform(utterance, self.sampling_rate))
                found.utterances.append(utterance)
            except (SpeechCliError, OSError) as error:
                found.failures[utterance.id] = str(error)
        return found


def transcribe_utterances(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    options: ScoringOptions,
    *,
    progress: ReportDone = lambda done: None,
) -> Scored:
    """Transcribe utterances with a recognizer, as `transcribe` does, without losses.

    Args:
        recognizer: the model.
        utterances: recordings with transcripts.
        options: batches.
        progress: called with the number of finished utterances.
    """

    def score(batch: Recordings) -> Scored:
        sounds = list(zip(batch.utterances, batch.waveforms, strict=True))
        decoded = recognizer.decode([Clip(samples, each.language) for each, samples in sounds])
        pairs = [
            Pair(each.id, each.language, target.language, target.text, text.text)
            for each, (text, *_) in zip(batch.utterances, decoded, strict=True)
            for target in each.targets
        ]
        return Scored(pairs, seconds=sum(map(len, batch.waveforms)) / recognizer.sample_rate)

    plan = _plan(utterances, options, max_items=options.max_items)
    read = ReadRecordings(recognizer.sample_rate)
    return _score(plan, read, score, workers=options.workers, progress=progress)


class _Read(Protocol):
    """A batch, and the utterances that could not be read."""

    @property
    def utterances(self) -> list[Utterance]: ...

    @property
    def failures(self) -> dict[str, str]: ...


BatchT = TypeVar("BatchT", bound=_Read)


def _plan(utterances: Sequence[Utterance], options: ScoringOptions, *, max_items: int) -> DurationBatches:
    """Plan the batches. The longest utterance always fits, because nothing may be left out of scores."""
    longest = max((utterance.seconds for utterance in utterances), default=0.0)
    seconds = max(options.max_seconds, longest)
    return DurationBatches(utterances, max_seconds=seconds, max_items=max_items, buckets=1, shuffle=False)


@torch.no_grad()
def _score(
    plan: DurationBatches,
    read: Collates[BatchT],
    score: Callable[[BatchT], Scored],
    *,
    workers: int,
    progress: ReportDone,
) -> Scored:
    """Read and score all batches."""
    parts, done = [Scored()], 0
    with closing(load_epoch(plan, read, workers=workers)) as batches:
        for batch in batches:
            parts.append(Scored(failures=batch.failures))
            if batch.utterances:
                parts.append(score(batch))
            done += len({each.id for each in batch.utterances} | batch.failures.keys())
            progress(done)
    return Scored.join(parts)
