"""Hypothesis: one decoded text as token ids, and the tensor that Hugging Face's `generate` would return."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from speechcli.decoding.generation_options import GenerationOptions


class Hypothesis(NamedTuple):
    """One decoded text."""

    tokens: tuple[int, ...]
    """Ids after the prompt, including the end-of-text token if there is one."""

    score: float
    """The score for ranking: the sum of log-probabilities divided by length ** length_penalty.

    In beam search, log-probabilities after the processors; in greedy search and sampling, before them."""

    logprobs: tuple[float, ...]
    """Each token's log-probability in the model's raw softmax."""


def to_hypotheses(tokens: Tensor, logprobs: Tensor, lengths: Tensor, scores: Tensor) -> list[list[Hypothesis]]:
    """Convert padded tensors to hypotheses.

    Args:
        tokens: (batch, hypotheses, tokens) ids after the prompt.
        logprobs: (batch, hypotheses, tokens).
        lengths: (batch, hypotheses) numbers of tokens without padding.
        scores: (batch, hypotheses).

    Returns:
        For each utterance its hypotheses, in the given order.
    """
    rows = zip(tokens.tolist(), logprobs.tolist(), lengths.tolist(), scores.tolist(), strict=True)
    return [
        [Hypothesis(tuple(t[:n]), score, tuple(p[:n])) for t, p, n, score in zip(*row, strict=True)] for row in rows
    ]


def padded_sequences(hypotheses: Sequence[Sequence[Hypothesis]], prompt: Tensor, options: GenerationOptions) -> Tensor:
    """Arrange hypotheses as Hugging Face's `generate` does: prompt, tokens, padding.

    Args:
        hypotheses: for each utterance the same number of hypotheses.
        prompt: (batch, tokens) ids that the search started with.
        options: the options of the search, which determine the padding id.

    Returns:
        (batch * hypotheses, tokens) ids, as long as the longest hypothesis.
    """
    rows = [prompt.new_tensor(hypothesis.tokens) for utterance in hypotheses for hypothesis in utterance]
    counts = torch.tensor([len(utterance) for utterance in hypotheses], device=prompt.device)
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=options.fill_token_id)
    return torch.cat([prompt.repeat_interleave(counts, dim=0), tokens], dim=1)
