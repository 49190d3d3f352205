"""Clips of audio to texts: features, encoder, language, search. Holds the model, knows no files."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechcli.audio.extractor import Extractor
from speechcli.checkpoints.bundle import Bundle, set_language
from speechcli.decoding.hypothesis import Hypothesis
from speechcli.errors import ModelError, UsageError
from speechcli.models.encoder import SpeechEncoder
from speechcli.models.speech_encoder_decoder import Encoded
from speechcli.pipelines.options import SpeechOptions
from speechcli.pipelines.recognition.languages import Languages, first_impression, hear, usual_language
from speechcli.pipelines.recognition.phrases import Phrase, cut_at_times
from speechcli.pipelines.recognition.pieces import SILENT_PEAK
from speechcli.pipelines.recognition.suspicion import compression_ratio, is_silence, is_suspect
from speechcli.pipelines.recognition.word_times import make_timer
from speechcli.pipelines.recognition.words import mean
from speechcli.pipelines.search.advice import Advice
from speechcli.pipelines.search.options import check_times, decoder_prompts, effective_options, other_searches
from speechcli.pipelines.search.write import Request, write_texts
from speechcli.text.languages import has_spaces, language_code
from speechcli.text.prompts import Task
from speechcli.text.tokenizer import Tokenizer
from speechcli.transcript import Alternative, Word


class Clip(NamedTuple):
    """A stretch of audio that is decoded in one piece."""

    samples: NDArray[np.float32]
    """(samples,) at the model's rate."""
    language: str | None = None
    """The spoken language, where it is known."""


class Decoded(NamedTuple):
    """What was made of a clip in one target language."""

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Of each token."""
    language: str | None
    """Code of the spoken language."""
    target_language: str | None
    """Code of the language of the text."""
    alternatives: tuple[Alternative, ...] = ()
    words: tuple[Word, ...] | None = None
    """With seconds from the start of the clip; None: nobody asked, or the model cannot tell."""
    phrases: tuple[Phrase, ...] = ()
    """The text in pieces, where the model said their times and words have none."""
    no_speech_prob: float | None = None
    """Probability that nobody speaks; None: the model cannot tell."""

    @property
    def avg_logprob(self) -> float:
        """Mean log-probability of the tokens."""
        return mean(self.logprobs)

    @property
    def compression_ratio(self) -> float:
        """How much zlib shrinks the text."""
        return compression_ratio(self.text)

    @property
    def suspect(self) -> bool:
        """Whether the text repeats itself more than speech does."""
        return is_suspect(self.text, self.tokens)


class Recognizer(ABC):
    """A model that is ready to listen.

    Args:
        encoder: of the model.
        features: what it hears with.
        options: what was asked for.

    Attributes:
        device: where the model computes.
        targets: how many texts it writes of each clip: one for each target language.
    """

    def __init__(self, encoder: SpeechEncoder, features: Extractor, options: SpeechOptions) -> None:
        self._encoder, self._features = encoder, features.with_normalization(options.inputs.normalize)
        parameter = next(encoder.parameters())
        self.device, self._dtype = parameter.device, parameter.dtype
        self.targets = 1

    @property
    def sample_rate(self) -> int:
        """Of the clips, in Hz."""
        return self._features.sampling_rate

    @property
    def max_seconds(self) -> float:
        """Longest clip that is heard to its end."""
        longest = self._features.longest
        return math.inf if longest is None else longest / self.sample_rate

    def padded(self, samples: int) -> int:
        """Samples that a clip of so many makes the encoder work on: a whole window, where it takes nothing else."""
        return self._features.longest or samples

    @torch.inference_mode()
    def decode(self, clips: Sequence[Clip]) -> list[tuple[Decoded, ...]]:
        """Decode clips together: one pass of the encoder, however many target languages.

        Returns:
            For each clip one result for each target language. Digital silence has an empty text.
        """
        loud = [i for i, clip in enumerate(clips) if np.abs(clip.samples).max(initial=0.0) > SILENT_PEAK]
        results = [self._silence(clip) for clip in clips]
        if loud:
            for i, result in zip(loud, self._write([clips[i] for i in loud]), strict=True):
                results[i] = result
        return results

    def _inputs(self, clips: Sequence[Clip]) -> Iterator[tuple[list[int], Tensor, Tensor | None]]:
        """Yield clips, and inputs and lengths as the encoder takes them: together only where padding is not heard."""
        groups = [list(range(len(clips)))]
        if not (self._features.pads and self._encoder.ignores_padding):
            by_length: dict[int, list[int]] = {}
            for row, clip in enumerate(clips):
                by_length.setdefault(len(clip.samples), []).append(row)
            groups = list(by_length.values())
        for rows in groups:
            batch = self._features([clips[row].samples for row in rows])
            lengths = None if batch.lengths is None else batch.lengths.to(self.device)
            yield rows, batch.values.to(self.device, self._dtype), lengths

    @abstractmethod
    def _write(self, clips: Sequence[Clip]) -> list[tuple[Decoded, ...]]:
        """Write what was said in clips that are not silent."""

    @abstractmethod
    def _silence(self, clip: Clip) -> tuple[Decoded, ...]:
        """Write nothing, in each target language."""


class AttentionRecognizer(Recognizer):
    """A speech encoder and a text decoder that are ready to listen.

    Args:
        bundle: the model and everything that belongs to it.
        options: what was asked for.

    Raises:
        ModelError: the model cannot write text.
        UsageError: a language or a way of decoding is not possible with this model.
    """

    def __init__(self, bundle: Bundle, options: SpeechOptions) -> None:
        super().__init__(bundle.model.eval().encoder, bundle.features, options)
        self._model, self._tokenizer = bundle.model, _tokenizer(bundle)
        self._options = effective_options(bundle.generation, options.decoding)
        self._options.check_supported()
        self._seed = options.model.seed
        self._generator = torch.Generator(self.device).manual_seed(self._seed)
        self._task: Task = options.task
        check_times(options.decoding, self._tokenizer, bundle.name)
        self._prompts = decoder_prompts(self._tokenizer, self._options)
        self._usual = usual_language(self._options.extra, self._prompts)
        if bundle.adapters and options.language is not None:
            set_language(bundle, options.language)
        self.languages = Languages(
            self._prompts,
            task=options.task,
            spoken=options.language,
            targets=options.targets,
            adapters=bundle.adapters,
        )
        self.targets = len(self.languages.targets)
        self._timer = make_timer(bundle, options, self.max_seconds)
        if options.task == "translate" and options.decoding.ctc_weight:
            raise UsageError("`--ctc-weight` hears what is said, which a translation is not.", hint="Leave it out.")
        self._advice = Advice(bundle, options.decoding, options.model)
        self._retries = options.decoding.retry_repeats

    def _write(self, clips: Sequence[Clip]) -> list[tuple[Decoded, ...]]:
        encoded = self._encode(clips)
        impression = first_impression(self._model.decoder, encoded.memory, encoded.mask, self._prompts)
        heard = [self._usual] * len(clips)
        if self.languages.identifies and self._usual is None:
            heard = hear(self._model, encoded, self._prompts, impression)
        spoken = [self.languages.spoken_in(clip.language, found) for clip, found in zip(clips, heard, strict=True)]
        requests = [
            Request(
                row,
                self._prompts.of(self._task, spoken=spoken[row], target=target),
                len(clip.samples) / self.sample_rate,
                self._task == "transcribe",
            )
            for row, clip in enumerate(clips)
            for target in self.languages.targets
        ]
        texts = self._search(encoded, requests)
        silent: list[float | None] = [None] * len(clips)
        if impression is not None and self._prompts.silence is not None:
            silent = impression.softmax(dim=-1)[:, self._prompts.silence].tolist()
        decoded = [
            self._decoded(hypotheses, spoken[request.row], request, silent[request.row])
            for request, hypotheses in zip(requests, texts, strict=True)
        ]
        if self._timer is not None:
            decoded = [
                each._replace(
                    words=self._timer(
                        encoded, request, each.tokens, each.logprobs, spaced=has_spaces(each.target_language)
                    ),
                    phrases=(),
                )
                for request, each in zip(requests, decoded, strict=True)
            ]
        return [tuple(decoded[first : first + self.targets]) for first in range(0, len(decoded), self.targets)]

    def _search(self, encoded: Encoded, requests: Sequence[Request]) -> list[list[Hypothesis]]:
        """Search for the texts; where one repeats itself, take the first that does not of other ways to search."""
        search = partial(write_texts, self._model, encoded, advice=self._advice)
        texts = search(requests, self._options, generator=self._generator)
        for options in other_searches(self._options) if self._retries else ():
            for place in [place for place, found in enumerate(texts) if self._is_suspect(found)]:
                # Alone, with chance of its own: a text does not depend on what else is in its batch.
                chance = torch.Generator(self.device).manual_seed(self._seed)
                (found,) = search([requests[place]], options, generator=chance)
                texts[place] = texts[place] if self._is_suspect(found) else found
        return texts

    def _is_suspect(self, hypotheses: Sequence[Hypothesis]) -> bool:
        return is_suspect(self._tokenizer.decode(hypotheses[0].tokens).strip(), hypotheses[0].tokens)

    def _encode(self, clips: Sequence[Clip]) -> Encoded:
        """Encode each clip as if it were alone."""
        order: list[int] = []
        parts = []
        for rows, inputs, lengths in self._inputs(clips):
            parts.append(self._model.encode(inputs, lengths))
            order += rows
        return Encoded.join(parts).take([order.index(row) for row in range(len(order))])

    def _decoded(
        self, hypotheses: Sequence[Hypothesis], spoken: str | None, request: Request, no_speech: float | None
    ) -> Decoded:
        prompt, codes = request.prompt, self._codes(spoken, request.prompt.language)
        best = hypotheses[0]
        if is_silence(no_speech, mean(best.logprobs)):
            return Decoded("", (), (), *codes, no_speech_prob=no_speech)
        texts = [self._tokenizer.decode(hypothesis.tokens).strip() for hypothesis in hypotheses]
        others = [Alternative(text, mean(other.logprobs)) for text, other in zip(texts, hypotheses, strict=True)]
        phrases = () if prompt.first_time is None else self._phrases(best.tokens, prompt.first_time, request.seconds)
        return Decoded(
            texts[0], best.tokens, best.logprobs, *codes, tuple(others[1:]), phrases=phrases, no_speech_prob=no_speech
        )

    def _phrases(self, tokens: Sequence[int], first_time: int, seconds: float) -> tuple[Phrase, ...]:
        found = (
            Phrase(start, end, said, self._tokenizer.decode(said).strip())
            for start, end, said in cut_at_times(tokens, first_time, seconds)
        )
        return tuple(phrase for phrase in found if phrase.text)

    def _silence(self, clip: Clip) -> tuple[Decoded, ...]:
        spoken = self.languages.spoken_in(clip.language, None)
        named = [spoken if self.languages.writes_spoken else target for target in self.languages.targets]
        return tuple(Decoded("", (), (), *self._codes(spoken, tag and language_code(tag))) for tag in named)

    def _codes(self, spoken: str | None, written: str | None) -> tuple[str | None, str | None]:
        language = None if spoken is None else language_code(spoken)
        if self.languages.writes_spoken:
            return language or written, written or language
        return language, written


def _tokenizer(bundle: Bundle) -> Tokenizer:
    if bundle.tokenizer is None:
        raise ModelError(
            f"The model {bundle.name} must have a tokenizer to write text, but has none.",
            hint="Copy tokenizer.json (or the older vocabulary files) of its decoder into the folder.",
        )
    return bundle.tokenizer
