"""From encoded speech to texts: the one way from requests to hypotheses, for every command that writes."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from speechcli.decoding.generate import generate
from speechcli.decoding.hypothesis import Hypothesis
from speechcli.decoding.options import GenerationOptions
from speechcli.errors import UsageError
from speechcli.models.speech_encoder_decoder import Encoded, SpeechEncoderDecoder
from speechcli.pipelines.search.options import with_limit
from speechcli.pipelines.search.scorers import Scorers
from speechcli.text.prompts import Prompt


class Request(NamedTuple):
    """One text to write."""

    row: int
    """The recording in the encoded batch; several texts may be wanted of one."""
    prompt: Prompt
    """How the text begins."""
    seconds: float
    """Length of the recording; it limits the text where nothing else does."""
    spoken: bool = True
    """Whether the text is what is said, and no translation."""


@torch.no_grad()
def write_texts(
    model: SpeechEncoderDecoder,
    encoded: Encoded,
    requests: Sequence[Request],
    options: GenerationOptions,
    *,
    generator: torch.Generator | None = None,
    scorers: Scorers | None = None,
) -> list[list[Hypothesis]]:
    """Write every text that is wanted of a batch of recordings, from one pass of the encoder.

    Requests that begin with as many tokens and obey the same options are searched for together, transcripts apart.

    Args:
        model: with a decoder.
        encoded: what `model.encode` returned.
        requests: the texts.
        options: how to search; a prompt decides the first token, and whether there are times.
        generator: source of chance for sampling.
        scorers: what else is added to the scores of the texts.

    Returns:
        For each request its hypotheses, best first.

    Raises:
        UsageError: a prompt has a token that the decoder does not have.
    """
    _check_prompts(requests, model.decoder.vocabulary)
    groups: dict[tuple[bool, int, GenerationOptions], list[int]] = {}
    positions = model.decoder.max_tokens if scorers is None else scorers.max_tokens
    for place, (_, prompt, seconds, spoken) in enumerate(requests):
        limited = with_limit(options, seconds, positions, prompt_tokens=len(prompt.ids))
        groups.setdefault((spoken, len(prompt.ids), obeying(limited, prompt)), []).append(place)
    results: dict[int, list[Hypothesis]] = {}
    for (spoken, _, obeyed), places in groups.items():
        ids = torch.tensor([requests[place].prompt.ids for place in places], device=encoded.memory.device)
        part = encoded.take([requests[place].row for place in places])
        made = () if scorers is None else scorers.make(part, obeyed, spoken=spoken)
        found = generate(model.step, model.start(part), ids, obeyed, generator=generator, scorers=made)
        results.update(zip(places, found, strict=True))
    return [results[place] for place in range(len(requests))]


def _check_prompts(requests: Sequence[Request], vocabulary: int) -> None:
    largest = max((token for request in requests for token in request.prompt.ids), default=0)
    if largest >= vocabulary:
        raise UsageError(
            f"A text must begin with tokens below the vocabulary's size {vocabulary}, but begins with {largest}.",
            hint="Is `decoder_start_token_id`, or the vocabulary, that of another model?",
        )


def obeying(options: GenerationOptions, prompt: Prompt) -> GenerationOptions:
    """Return options of a search that begins with a prompt: it decides the first token, and whether there are times."""
    return options.with_(
        forced_bos_token_id=prompt.first,
        return_timestamps=prompt.first_time is not None,
        no_timestamps_token_id=None if prompt.first_time is None else prompt.first_time - 1,
    )
