"""Utterances to losses, hypotheses and scores; shared by training and evaluation."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch

from speechcli.checkpoints.bundle import Bundle
from speechcli.data.batching import DurationBatches
from speechcli.data.collate import Batch, Collate, Read
from speechcli.data.loading import load_epoch
from speechcli.data.manifest import Utterance
from speechcli.data.waveform import Waveform, read_waveform
from speechcli.decoding.hypothesis import Hypothesis
from speechcli.decoding.options import GenerationOptions
from speechcli.errors import ModelError, SpeechCliError
from speechcli.models.speech_encoder_decoder import Encoded, SpeechEncoderDecoder
from speechcli.pipelines.recognition.recognizer import Clip, Recognizer
from speechcli.pipelines.search.options import decoder_prompts
from speechcli.pipelines.search.scorers import Scorers
from speechcli.pipelines.search.write import Request, write_texts
from speechcli.text.prompts import prompts_for
from speechcli.training.metrics import Pair
from speechcli.training.objective import PARTS, Objective, detached, means
from speechcli.training.precision import autocast


@dataclass(frozen=True)
class ScoringOptions:
    """How utterances are put together and decoded."""

    max_seconds: float = 120.0
    """Seconds of audio decoded at once, padding counted."""
    max_items: int = 64
    """Utterances decoded at once."""
    workers: int = 0
    """Processes that read audio."""
    autocast: str = "float32"
    """Numbers of the matrix products, as in `speechcli.training.precision`; float32: those of the weights."""


@dataclass
class Scored:
    """What was made of the utterances."""

    pairs: list[Pair] = field(default_factory=list)
    sums: torch.Tensor = field(default_factory=lambda: torch.zeros(2 * PARTS, dtype=torch.float64))
    """Summed parts of the objective with the right text fed to the decoder, see `objective.detached`."""
    seconds: float = 0.0
    """Audio that was decoded."""
    failures: dict[str, str] = field(default_factory=dict)
    """Utterance id -> why it could not be read."""

    @property
    def losses(self) -> dict[str, float]:
        """Mean parts of the objective."""
        return means(self.sums)

    @classmethod
    def join(cls, parts: Sequence["Scored"]) -> "Scored":
        """Put what several processes made together."""
        return cls(
            [pair for part in parts for pair in part.pairs],
            torch.stack([part.sums for part in parts]).sum(dim=0),
            sum(part.seconds for part in parts),
            {name: reason for part in parts for name, reason in part.failures.items()},
        )


def make_collate(bundle: Bundle, *, ctc: bool, read: Read | None = None) -> Collate:
    """Make what turns utterances into a batch for a model, without augmentation.

    Raises:
        ModelError: if the model has no tokenizer.
    """
    if bundle.tokenizer is None:
        raise ModelError(
            f"Texts need a tokenizer, but the model {bundle.name} has none.",
            hint="put tokenizer.json of its decoder into the folder",
        )
    start, generation = bundle.config.decoder_start_token_id, bundle.generation
    return Collate(
        features=bundle.features,
        tokenizer=bundle.tokenizer,
        prompts=prompts_for(
            bundle.tokenizer,
            start=generation.start_token_id if start is None else start,
            forced=generation.forced_bos_token_id,
        ),
        pad_id=bundle.config.pad_token_id,
        ctc=ctc,
        characters=bundle.characters,
        max_tokens=bundle.model.decoder.max_tokens,
        read=read,
    )


class Recordings(NamedTuple):
    """The sound of a batch."""

    utterances: list[Utterance]
    waveforms: list[Waveform]
    failures: dict[str, str]
    """Utterance id -> why it could not be read."""


@dataclass
class ReadRecordings:
    """Reads a batch of utterances, and makes nothing of it."""

    sampling_rate: int
    epoch: int = 0

    def __call__(self, utterances: Sequence[Utterance]) -> Recordings:
        """Read what can be read."""
        found = Recordings([], [], {})
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
    progress: Callable[[int], None] = lambda done: None,
) -> Scored:
    """Write down what is said, as `transcribe` does; there are no losses.

    Args:
        recognizer: the model.
        utterances: what to listen to, with transcripts to compare with.
        options: batches.
        progress: told how many utterances are done.
    """
    plan = _plan(utterances, options, max_items=options.max_items)
    scored, done = Scored(), 0
    with closing(load_epoch(plan, ReadRecordings(recognizer.sample_rate), workers=options.workers)) as batches:
        for batch in batches:
            scored.failures.update(batch.failures)
            done += len(batch.utterances) + len(batch.failures)
            clips = [
                Clip(samples, each.language) for each, samples in zip(batch.utterances, batch.waveforms, strict=True)
            ]
            for each, samples, (heard, *_) in zip(
                batch.utterances, batch.waveforms, recognizer.decode(clips), strict=True
            ):
                scored.seconds += len(samples) / recognizer.sample_rate
                pairs = (Pair(each.id, each.language, to.language, to.text, heard.text) for to in each.targets)
                scored.pairs += pairs
            progress(done)
    return scored


@torch.no_grad()
def decode_utterances(
    bundle: Bundle,
    utterances: Sequence[Utterance],
    collate: Collate,
    objective: Objective,
    generation: GenerationOptions,
    options: ScoringOptions,
    scorers: Scorers,
    *,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Scored:
    """Decode every target of every utterance, with one pass of the encoder each.

    Args:
        bundle: the model; it is left in evaluation mode.
        utterances: what to listen to, with the texts to compare with.
        collate: made by `make_collate`.
        objective: for the losses.
        generation: how to search.
        options: batches and numbers.
        scorers: what else is added to the scores of the texts.
        seed: of sampling.
        progress: told how many utterances are done.
    """
    bundle.model.eval()
    weight = next(bundle.model.parameters())
    together = bundle.features.pads and bundle.model.encoder.ignores_padding
    plan = _plan(utterances, options, max_items=options.max_items if together else 1)
    search = partial(write_texts, generator=torch.Generator(weight.device).manual_seed(seed), scorers=scorers)
    scored, done = Scored(), 0
    with closing(load_epoch(plan, collate, workers=options.workers)) as batches:
        for batch in batches:
            scored.failures.update({failed.utterance.id: failed.reason for failed in batch.failed})
            done += len(batch) + len({failed.utterance.id for failed in batch.failed})
            if len(batch):
                batch = batch.to(weight.device)
                with autocast(weight.device, options.autocast):
                    encoded = bundle.model.encode(batch.inputs.to(weight.dtype), batch.lengths)
                    scored.sums += _losses(bundle, encoded, batch, objective)
                    scored.pairs += _pairs(bundle.model, encoded, batch, collate, generation, search)
                scored.seconds += batch.seconds
            progress(done)
    return scored


def _plan(utterances: Sequence[Utterance], options: ScoringOptions, *, max_items: int) -> DurationBatches:
    """Put utterances into batches; the longest is not too long, for nothing is left out of scores."""
    longest = max((utterance.seconds for utterance in utterances), default=0.0)
    seconds = max(options.max_seconds, longest)
    return DurationBatches(utterances, max_seconds=seconds, max_items=max_items, buckets=1, shuffle=False)


def _losses(bundle: Bundle, encoded: Encoded, batch: Batch, objective: Objective) -> torch.Tensor:
    told = encoded.take(batch.rows.tolist())
    logits = bundle.model.decoder(batch.decoder_input_ids, told.memory, told.mask)
    head = bundle.model.ctc_head
    ctc_logits = None if head is None else head(encoded.frames)
    return detached(objective.losses(logits, batch.labels, ctc_logits, encoded.frame_lengths, batch.ctc_labels))


def _pairs(
    model: SpeechEncoderDecoder,
    encoded: Encoded,
    batch: Batch,
    collate: Collate,
    generation: GenerationOptions,
    search: Callable[..., list[list[Hypothesis]]],
) -> list[Pair]:
    """Decode all targets; where a target was left out of the labels it is decoded all the same."""
    tokenizer = collate.tokenizer
    prompts = decoder_prompts(tokenizer, generation)
    targets = [(row, each, target) for row, each in enumerate(batch.utterances) for target in each.targets]
    requests = [
        Request(
            row,
            prompts.between(utterance.language, target.language),
            utterance.seconds,
            target.text == utterance.transcript,
        )
        for row, utterance, target in targets
    ]
    texts = search(model, encoded, requests, generation)
    return [
        Pair(
            utterance.id,
            utterance.language,
            target.language,
            target.text,
            tokenizer.decode(found[0].tokens).strip(),
        )
        for (_, utterance, target), found in zip(targets, texts, strict=True)
    ]
