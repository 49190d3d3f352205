"""Decode with the search that the options choose."""

from collections.abc import Sequence

import torch
from torch import Tensor

from speechcli.decoding.beam import beam_search
from speechcli.decoding.generation_options import GenerationOptions
from speechcli.decoding.hypothesis import Hypothesis
from speechcli.decoding.scorers import Scorer
from speechcli.decoding.search import drawn, most_likely, search
from speechcli.decoding.step import CacheT, Step


def start_prompt(options: GenerationOptions, batch: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the (batch, 1) ids that decoding starts with.

    Raises:
        UsageError: if the options have no start token.
    """
    return torch.full((batch, 1), options.start_token_id, dtype=torch.long, device=device)


@torch.no_grad()
def generate(
    step: Step[CacheT],
    cache: CacheT,
    prompt: Tensor,
    options: GenerationOptions,
    *,
    generator: torch.Generator | None = None,
    scorers: Sequence[Scorer] = (),
) -> list[list[Hypothesis]]:
    """Search for the texts of a batch of utterances.

    Args:
        step: the model: (rows, new tokens) ids and the cache -> (rows, vocabulary) logits of the last position.
            It is first called with the whole prompt and `batch` rows, then with one token per row.
        cache: the model's cache, with `batch` rows; it grows to `batch * num_beams` rows, or one for each sample.
        prompt: (batch, tokens) ids, all of the same length: see `start_prompt`.
        options: the options.
        generator: random numbers for sampling, on the device of the logits; None: torch's global generator.
        scorers: scores that are added to those of the next token, after the processors; each has `batch` rows.

    Returns:
        For each utterance `num_return_sequences` hypotheses: best first from beam search, else in the order drawn.

    Raises:
        UsageError: if the options do not fit the prompt or the vocabulary, or choose an unsupported search.
    """
    options.check_supported()
    if options.num_beams > 1:
        return beam_search(step, cache, prompt, options, generator=generator, scorers=scorers)
    choose = drawn(generator) if options.do_sample else most_likely
    return search(step, cache, prompt, options, choose=choose, scorers=scorers)
