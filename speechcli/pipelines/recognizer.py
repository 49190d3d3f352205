"""Clips of audio to texts: features, encoder, language, search. Holds the model, knows no files."""

import math
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from speechcli.checkpoints.bundle import Bundle, set_language
from speechcli.decoding.hypothesis import Hypothesis
from speechcli.errors import ModelError
from speechcli.models.speech_encoder_decoder import Encoded
from speechcli.pipelines.decoding import effective_options
from speechcli.pipelines.generation import Request, write_texts
from speechcli.pipelines.languages import Languages, hear
from speechcli.pipelines.options import SpeechOptions
from speechcli.text.languages import language_code
from speechcli.text.prompts import Task, prompts_for
from speechcli.text.tokenizer import Tokenizer
from speechcli.transcript import Alternative

# Below half a step of 16-bit audio there is nothing but digital silence.
SILENT_PEAK = 0.5 / 2**15


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
    avg_logprob: float
    language: str | None
    """Code of the spoken language."""
    target_language: str | None
    """Code of the language of the text."""
    alternatives: tuple[Alternative, ...] = ()

    @property
    def compression_ratio(self) -> float:
        """How much zlib shrinks the text."""
        data = self.text.encode("utf-8", "replace")
        return len(data) / len(zlib.compress(data))


class Recognizer:
    """A model that is ready to listen.

    Args:
        bundle: the model and everything that belongs to it.
        options: what was asked for.

    Raises:
        ModelError: the model cannot write text.
        UsageError: a language or a way of decoding is not possible with this model.
    """

    def __init__(self, bundle: Bundle, options: SpeechOptions) -> None:
        self._tokenizer = _tokenizer(bundle)
        self._model = bundle.model.eval()
        self._features = bundle.features.with_normalization(options.inputs.normalize)
        self._options = effective_options(bundle.generation, options.decoding)
        self._options.check_supported()
        parameter = next(bundle.model.parameters())
        self._device, self._dtype = parameter.device, parameter.dtype
        self._generator = torch.Generator(self._device).manual_seed(options.model.seed)
        self._task: Task = options.task
        self._prompts = prompts_for(
            self._tokenizer, start=self._options.start_token_id, forced=self._options.forced_bos_token_id
        )
        if bundle.adapters and options.language is not None:
            set_language(bundle, options.language)
        self.languages = Languages(
            self._prompts,
            task=options.task,
            spoken=options.language,
            targets=options.targets,
            adapters=bundle.adapters,
        )

    @property
    def sample_rate(self) -> int:
        """Of the clips, in Hz."""
        return self._features.sampling_rate

    @property
    def max_seconds(self) -> float:
        """Longest clip that is heard to its end."""
        longest = self._features.longest
        return math.inf if longest is None else longest / self.sample_rate

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self._device

    @torch.inference_mode()
    def decode(self, clips: Sequence[Clip]) -> list[tuple[Decoded, ...]]:
        """Decode clips together: one pass of the encoder, one search for each target language.

        Returns:
            For each clip one result for each target language. Digital silence has an empty text.
        """
        loud = [i for i, clip in enumerate(clips) if np.abs(clip.samples).max(initial=0.0) > SILENT_PEAK]
        results = [self._silence(clip) for clip in clips]
        if loud:
            for i, result in zip(loud, self._decode_loud([clips[i] for i in loud]), strict=True):
                results[i] = result
        return results

    def _decode_loud(self, clips: Sequence[Clip]) -> list[tuple[Decoded, ...]]:
        encoded = self._encode([clip.samples for clip in clips])
        heard = hear(self._model, encoded, self._prompts) if self.languages.identifies else [None] * len(clips)
        spoken = [self.languages.spoken_in(clip.language, found) for clip, found in zip(clips, heard, strict=True)]
        requests = [
            Request(
                row,
                self._prompts.of(self._task, spoken=spoken[row], target=target),
                len(clip.samples) / self.sample_rate,
            )
            for row, clip in enumerate(clips)
            for target in self.languages.targets
        ]
        texts = write_texts(self._model, encoded, requests, self._options, generator=self._generator)
        decoded = [
            self._decoded(hypotheses, spoken[request.row], request.prompt.language)
            for request, hypotheses in zip(requests, texts, strict=True)
        ]
        targets = len(self.languages.targets)
        return [tuple(decoded[first : first + targets]) for first in range(0, len(decoded), targets)]

    def _encode(self, waveforms: Sequence[NDArray[np.float32]]) -> Encoded:
        """Encode each clip as if it were alone: together only where padding cannot be heard."""
        groups = [list(range(len(waveforms)))]
        if not (self._features.pads and self._model.encoder.ignores_padding):
            by_length: dict[int, list[int]] = {}
            for row, waveform in enumerate(waveforms):
                by_length.setdefault(len(waveform), []).append(row)
            groups = list(by_length.values())
        parts = []
        for rows in groups:
            batch = self._features([waveforms[row] for row in rows])
            lengths = None if batch.lengths is None else batch.lengths.to(self._device)
            parts.append(self._model.encode(batch.values.to(self._device, self._dtype), lengths))
        order = [row for rows in groups for row in rows]
        return Encoded.join(parts).take([order.index(row) for row in range(len(order))])

    def _decoded(self, hypotheses: Sequence[Hypothesis], spoken: str | None, written: str | None) -> Decoded:
        texts = [self._tokenizer.decode(hypothesis.tokens).strip() for hypothesis in hypotheses]
        means = [_mean(hypothesis.logprobs) for hypothesis in hypotheses]
        others = tuple(Alternative(text, mean) for text, mean in zip(texts[1:], means[1:], strict=True))
        return Decoded(texts[0], hypotheses[0].tokens, means[0], *self._codes(spoken, written), others)

    def _silence(self, clip: Clip) -> tuple[Decoded, ...]:
        spoken = self.languages.spoken_in(clip.language, None)
        named = [spoken if self.languages.writes_spoken else target for target in self.languages.targets]
        return tuple(Decoded("", (), 0.0, *self._codes(spoken, tag and language_code(tag))) for tag in named)

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


def _mean(logprobs: Sequence[float]) -> float:
    return math.fsum(logprobs) / len(logprobs) if logprobs else 0.0
