"""Write texts for encoded speech; used by transcribe, translate, evaluate and training."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from speechcli.checkpoints.bundle import Bundle
from speechcli.decoding.generate import generate
from speechcli.decoding.generation_options import GenerationOptions
from speechcli.decoding.hypothesis import Hypothesis
from speechcli.errors import ModelError, UsageError
from speechcli.models.speech_encoder_decoder import Encoded
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.search.effective_options import decoder_prompts, with_limit
from speechcli.pipelines.search.scorers import Scorers, Source
from speechcli.pipelines.speech_options import ModelOptions
from speechcli.text.prompts import Prompt
from speechcli.text.tokenizer import Tokenizer


class Request(NamedTuple):
    """One text to write."""

    row: int
    """Index of the recording in the encoded batch; a recording may have several texts."""
    prompt: Prompt
    """The decoder prompt."""
    seconds: float
    """Length of the recording, which limits the length of the text if nothing else does."""
    spoken: bool = True
    """Whether the text is a transcript, not a translation."""
    language: str | None = None
    """The language of the recording, if known: language models that translate need the transcript."""


class TextWriter:
    """A text decoder with its decoding options, prompts and scorers.

    Args:
        bundle: the model with its tokenizer, features and settings.
        options: how to decode; the prompt overrides the first token and timestamps.
        decoding: the scorers to use; None: only those that the model was trained with.
        access: how to access the Hub, and the seed for sampling.

    Raises:
        ModelError: the model has no tokenizer, or the language model cannot be loaded.
        UsageError: the options have no start token, or an option is not possible with this model.
    """

    def __init__(
        self,
        bundle: Bundle,
        options: GenerationOptions,
        decoding: DecodingOptions | None = None,
        access: ModelOptions | None = None,
    ) -> None:
        decoding, access = decoding or DecodingOptions(), access or ModelOptions()
        self.bundle, self.options, self.tokenizer = bundle, options, tokenizer_of(bundle)
        self.prompts = decoder_prompts(self.tokenizer, options, bundle.taught)
        self._scorers, self._seed = Scorers(bundle, decoding, access), access.seed

    @torch.no_grad()
    def write(
        self, encoded: Encoded, requests: Sequence[Request], options: GenerationOptions | None = None
    ) -> list[list[Hypothesis]]:
        """Write all requested texts of a batch of encoded recordings.

        Texts with the same options, prompt length and kind (transcript or translation) are searched for together.
        Sampling searches for each alone, and seeds the random generator again, so that it depends on no other text.

        Args:
            encoded: the result of the model's `encode`.
            requests: the texts.
            options: how to decode; None: the options of this writer.

        Returns:
            The hypotheses for each request, best first.

        Raises:
            UsageError: a prompt has a token that the decoder does not have.
        """
        model = self.bundle.model
        _check_prompts(requests, model.decoder.vocabulary)
        sources = self._sources(encoded, requests)
        groups: dict[tuple[bool, int, GenerationOptions, int | None], list[int]] = {}
        for place, (_, prompt, seconds, spoken, _) in enumerate(requests):
            limited = with_limit(
                options or self.options, seconds, model.decoder.max_tokens, prompt_tokens=len(prompt.ids)
            )
            alone = place if limited.do_sample else None
            groups.setdefault((spoken, len(prompt.ids), obeying(limited, prompt), alone), []).append(place)
        results: dict[int, list[Hypothesis]] = {}
        for (spoken, _, obeyed, _), places in groups.items():
            ids = torch.tensor([requests[place].prompt.ids for place in places], device=encoded.memory.device)
            part = encoded.take([requests[place].row for place in places])
            used = [sources[place] for place in places if place in sources]
            scorers = self._scorers.make(part, obeyed, spoken=spoken, start=ids.size(1), sources=used)
            generator = torch.Generator(encoded.memory.device).manual_seed(self._seed)
            found = generate(model.step, model.start(part), ids, obeyed, generator=generator, scorers=scorers)
            results.update(zip(places, found, strict=True))
        return [results[place] for place in range(len(requests))]

    def _sources(self, encoded: Encoded, requests: Sequence[Request]) -> dict[int, Source]:
        """Return what each translation is made from, by the place of its request; empty if only from the speech."""
        translated = {place: request for place, request in enumerate(requests) if not request.spoken}
        if not (translated and self._scorers.needs_transcripts):
            return {}
        recordings = {(request.row, request.language): request.seconds for request in translated.values()}
        wanted = [
            Request(row, self.prompts.between(language, language), seconds)
            for (row, language), seconds in recordings.items()
        ]
        heard: dict[tuple[int, str | None], tuple[tuple[int, ...], str]] = {}
        for recording, request, found in zip(recordings, wanted, self.write(encoded, wanted), strict=True):
            text = self.tokenizer.decode(found[0].tokens).strip()
            heard[recording] = (*request.prompt.given, *self.tokenizer.encode(text)), text
        return {
            place: Source(*heard[request.row, request.language], request.language, request.prompt.language)
            for place, request in translated.items()
        }


def tokenizer_of(bundle: Bundle) -> Tokenizer:
    """Return the tokenizer of a model.

    Raises:
        ModelError: it has none.
    """
    if bundle.tokenizer is None:
        raise ModelError(
            f"The model {bundle.name} must have a tokenizer for texts, but has none.",
            hint="Copy tokenizer.json (or the older vocabulary files) of its decoder into the folder.",
        )
    return bundle.tokenizer


def _check_prompts(requests: Sequence[Request], vocabulary: int) -> None:
    largest = max((token for request in requests for token in request.prompt.ids), default=0)
    if largest >= vocabulary:
        raise UsageError(
            f"A text must begin with tokens below the vocabulary's size {vocabulary}, but begins with {largest}.",
            hint="Check `decoder_start_token_id`, and that the vocabulary belongs to this model.",
        )


def obeying(options: GenerationOptions, prompt: Prompt) -> GenerationOptions:
    """Return the options for a prompt, which determines the first token, and whether there are timestamps."""
    return options.with_(
        forced_bos_token_id=prompt.first,
        return_timestamps=prompt.first_time is not None,
        no_timestamps_token_id=None if prompt.first_time is None else prompt.first_time - 1,
    )
