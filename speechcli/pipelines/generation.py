"""From encoded speech to texts in given languages; shared by evaluation, training and whatever else decodes batches."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from speechcli.checkpoints.bundle import Bundle
from speechcli.decoding.generate import generate
from speechcli.decoding.hypothesis import Hypothesis
from speechcli.decoding.options import GenerationOptions
from speechcli.errors import ModelError
from speechcli.models.speech_encoder_decoder import Encoded
from speechcli.text.languages import resolve_language


class Generated(NamedTuple):
    """A text and what it was decoded from."""

    text: str
    hypothesis: Hypothesis


@torch.no_grad()
def generate_texts(
    bundle: Bundle,
    encoded: Encoded,
    languages: Sequence[str | None],
    options: GenerationOptions,
    *,
    rows: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> list[list[Generated]]:
    """Decode one text or more for each target.

    A language becomes the second token of the prompt, so that targets in several languages share a batch and
    utterances share one pass through the encoder.

    Args:
        bundle: the model, its tokenizer and its start token.
        encoded: what `model.encode` returned for a batch of recordings.
        languages: (targets,) in any spelling; None: what the model's own options force, if anything.
        options: how to search; lengths count a language given here as part of the prompt.
        rows: (targets,) the recording of each target; None when there is one target each, in order.
        generator: source of chance for sampling.

    Returns:
        For each target its texts, best first.

    Raises:
        ModelError: if the model has no tokenizer.
        UsageError: if the model has no tag for a language.
    """
    device = encoded.memory.device
    rows = torch.arange(len(languages), device=device) if rows is None else rows.to(device)
    prompts = [_prompt(bundle, language, options) for language in languages]
    results: list[list[Generated]] = [[] for _ in languages]
    for length in sorted({len(prompt) for prompt in prompts}):
        places = [place for place, prompt in enumerate(prompts) if len(prompt) == length]
        chosen = rows[torch.tensor(places, device=device)]
        part = encoded._replace(
            memory=encoded.memory[chosen], mask=None if encoded.mask is None else encoded.mask[chosen]
        )
        prompt = torch.tensor([prompts[place] for place in places], device=device)
        found = generate(bundle.model.step, bundle.model.start(part), prompt, options, generator=generator)
        for place, hypotheses in zip(places, found, strict=True):
            results[place] = [Generated(_text(bundle, hypothesis), hypothesis) for hypothesis in hypotheses]
    return results


def _prompt(bundle: Bundle, language: str | None, options: GenerationOptions) -> list[int]:
    start = options.start_token_id
    if bundle.tokenizer is None:
        raise ModelError(f"Decoding needs a tokenizer, but {bundle.name} has none.")
    tags = bundle.tokenizer.languages
    if language is None or not tags:
        return [start]
    return [start, tags[resolve_language(language, tags)]]


def _text(bundle: Bundle, hypothesis: Hypothesis) -> str:
    assert bundle.tokenizer is not None
    return bundle.tokenizer.decode(hypothesis.tokens).strip()
