"""Greedy search and sampling: one loop, two choices of the next token."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from speechcli.decoding.generation_options import GenerationOptions
from speechcli.decoding.hypothesis import Hypothesis, to_hypotheses
from speechcli.decoding.processors import build_processors, process
from speechcli.decoding.scorers import Scorer
from speechcli.decoding.step import CacheT, Step, first_step

Choose = Callable[[Tensor], Tensor]
"""(rows, vocabulary) processed scores -> (rows,) ids."""


def most_likely(scores: Tensor) -> Tensor:
    """Choose the token with the highest score; the lowest id if there are several."""
    return scores.argmax(dim=-1)


def drawn(generator: torch.Generator | None) -> Choose:
    """Choose a token at random by the softmax of the scores; None: torch's global generator."""

    def choose(scores: Tensor) -> Tensor:
        return torch.multinomial(scores.softmax(dim=-1), 1, generator=generator).squeeze(1)

    return choose


def search(
    step: Step[CacheT],
    cache: CacheT,
    prompt: Tensor,
    options: GenerationOptions,
    *,
    choose: Choose,
    scorers: Sequence[Scorer] = (),
) -> list[list[Hypothesis]]:
    """Extend each row by one chosen token at a time, until all have ended; see `speechcli.decoding.generate.generate`.

    Args:
        step: the model.
        cache: the model's cache, with `batch` rows.
        prompt: (batch, tokens) ids.
        options: the options; each utterance has `num_return_sequences` rows.
        choose: chooses the next token of each row.
        scorers: scores that are added to those of the next token.

    Returns:
        For each utterance its hypotheses, in the order drawn.

    Raises:
        UsageError: if the options do not fit the prompt or the vocabulary.
    """
    batch, prompt_tokens = prompt.shape
    longest = options.length_limits(prompt_tokens).longest
    ids, logits = first_step(step, cache, prompt, options.num_return_sequences, scorers)
    processors = build_processors(
        options, prompt_tokens=prompt_tokens, vocabulary=logits.shape[-1], device=logits.device
    )
    processors = [*processors, *scorers]
    ends = torch.tensor(options.eos_ids, dtype=torch.long, device=ids.device)
    ended = torch.zeros_like(ids[:, 0], dtype=torch.bool)
    lengths = torch.zeros_like(ids[:, 0])
    logprobs: list[Tensor] = []
    while True:
        chosen = choose(process(processors, ids, logits)).masked_fill(ended, max(options.fill_token_id, 0))
        logprob = logits.gather(1, chosen[:, None]).squeeze(1) - logits.logsumexp(dim=-1)
        logprobs.append(logprob.masked_fill(ended, 0.0))
        ids = torch.cat([ids, chosen[:, None]], dim=1)
        lengths += ~ended
        ended |= torch.isin(chosen, ends)
        if ids.shape[1] == longest or bool(ended.all()):
            break
        logits = step(chosen[:, None], cache).float()

    # (rows, tokens) -> (batch, copies, tokens)
    shape = (batch, options.num_return_sequences)
    tokens = ids[:, prompt_tokens:].reshape(*shape, -1)
    token_logprobs = torch.stack(logprobs, dim=1).view(*shape, -1)
    lengths = lengths.view(shape)
    return to_hypotheses(tokens, token_logprobs, lengths, token_logprobs.sum(dim=-1) / lengths**options.length_penalty)
