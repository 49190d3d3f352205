"""The base class of recognizers, which transcribe clips."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechcli.audio.extractor import Extractor
from speechcli.audio.read import SILENT_PEAK
from speechcli.models.encoder import SpeechEncoder
from speechcli.pipelines.recognition.phrases import Phrase
from speechcli.pipelines.recognition.suspicion import compression_ratio, is_suspect
from speechcli.pipelines.recognition.words import mean
from speechcli.pipelines.speech_options import SpeechOptions
from speechcli.transcript import Alternative, Word


class Clip(NamedTuple):
    """Audio that is decoded at once."""

    samples: NDArray[np.float32]
    """(samples,) at the model's rate."""
    language: str | None = None
    """The spoken language, if it is known."""


class Decoded(NamedTuple):
    """The text of a clip in one target language."""

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
    """With times in seconds from the start of the clip; None: not requested, or not available."""
    phrases: tuple[Phrase, ...] = ()
    """The phrases of the text, if the model predicted their times and words have none."""
    no_speech_prob: float | None = None
    """Probability that there is no speech; None: not predicted by this model."""

    @classmethod
    def from_json(cls, values: Any) -> "Decoded":
        """Make it from the JSON array that it is written as."""
        text, tokens, logprobs, language, target_language, alternatives, words, phrases, no_speech_prob = values
        return cls(
            text,
            tuple(tokens),
            tuple(logprobs),
            language,
            target_language,
            tuple(Alternative(**each) for each in alternatives),
            None if words is None else tuple(Word(**each) for each in words),
            tuple(Phrase(start, end, tuple(ids), phrase) for start, end, ids, phrase, _ in phrases),
            no_speech_prob,
        )

    @property
    def avg_logprob(self) -> float:
        """Mean log-probability of the tokens."""
        return mean(self.logprobs)

    @property
    def compression_ratio(self) -> float:
        """Length of the text divided by its length after zlib compression."""
        return compression_ratio(self.text)

    @property
    def suspect(self) -> bool:
        """Whether the text repeats itself more than speech does."""
        return is_suspect(self.text, self.tokens)


class Recognizer(ABC):
    """A model that transcribes clips.

    Args:
        encoder: the model's encoder.
        features: the model's feature extractor.
        options: the options of the command.

    Attributes:
        device: the device of the model.
        targets: number of target languages, and so of texts per clip.
    """

    def __init__(self, encoder: SpeechEncoder, features: Extractor, options: SpeechOptions) -> None:
        self._encoder, self._features = encoder, features.with_normalization(options.inputs.normalize)
        parameter = next(encoder.parameters())
        self.device, self._dtype = parameter.device, parameter.dtype
        self.targets = 1

    @property
    def sample_rate(self) -> int:
        """Sample rate of the clips, in Hz."""
        return self._features.sampling_rate

    @property
    def max_seconds(self) -> float:
        """Maximum length of a clip in seconds."""
        longest = self._features.longest
        return math.inf if longest is None else longest / self.sample_rate

    def padded(self, samples: int) -> int:
        """Return how many samples the encoder processes for a clip of this many; more if its window is fixed."""
        return self._features.longest or samples

    @torch.inference_mode()
    def decode(self, clips: Sequence[Clip]) -> list[tuple[Decoded, ...]]:
        """Decode clips together, with one encoder pass for all target languages.

        Returns:
            For each clip one result per target language. Digital silence has an empty text.
        """
        loud = [i for i, clip in enumerate(clips) if np.abs(clip.samples).max(initial=0.0) > SILENT_PEAK]
        results = [self._silence(clip) for clip in clips]
        if loud:
            for i, result in zip(loud, self._write([clips[i] for i in loud]), strict=True):
                results[i] = result
        return results

    def _inputs(self, clips: Sequence[Clip]) -> Iterator[tuple[list[int], Tensor, Tensor | None]]:
        """Yield indices of clips with their encoder inputs and lengths, batched only if padding has no effect."""
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
        """Transcribe clips that are not silent."""

    @abstractmethod
    def _silence(self, clip: Clip) -> tuple[Decoded, ...]:
        """Return the empty text in each target language."""
