"""Beam search, token for token as in transformers 5.23: the result of an utterance does not depend on its batch."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from speechcli.decoding.generation_options import GenerationOptions
from speechcli.decoding.hypothesis import Hypothesis, to_hypotheses
from speechcli.decoding.processors import build_processors, process
from speechcli.decoding.scorers import Scorer
from speechcli.decoding.step import CacheT, Step, first_step

FAR = -1e9
"""Added to a score that should lose; not -inf, because one path must win even if all are banned."""


class Paths(NamedTuple):
    """Some texts of each utterance, running or finished."""

    ids: Tensor
    """(batch, beams, tokens), prompt included."""
    logprobs: Tensor
    """(batch, beams, tokens) of the raw softmax, prompt not included."""
    lengths: Tensor
    """(batch, beams) tokens after the prompt; 0 for empty slots."""
    scores: Tensor
    """(batch, beams) sums of log-probabilities; those of finished texts are divided by the length penalty."""
    ended: Tensor
    """(batch, beams) bool."""

    def take(self, places: Tensor) -> "Paths":
        """Return the paths at (batch, chosen) places."""
        wide = places[..., None]
        return Paths(
            self.ids.gather(1, wide.expand(-1, -1, self.ids.shape[2])),
            self.logprobs.gather(1, wide.expand(-1, -1, self.logprobs.shape[2])),
            self.lengths.gather(1, places),
            self.scores.gather(1, places),
            self.ended.gather(1, places),
        )

    def extended(self, ids: Tensor, logprobs: Tensor) -> "Paths":
        """Return the paths with one more token; ids and logprobs are (batch, beams)."""
        return self._replace(
            ids=torch.cat([self.ids, ids[..., None]], dim=2),
            logprobs=torch.cat([self.logprobs, logprobs[..., None]], dim=2),
            lengths=self.lengths + 1,
        )

    def padded(self) -> "Paths":
        """Return the paths with one token of padding."""
        return self._replace(ids=functional.pad(self.ids, (0, 1)), logprobs=functional.pad(self.logprobs, (0, 1)))

    def joined(self, other: "Paths") -> "Paths":
        """Return these paths, followed by others."""
        return Paths(*(torch.cat(pair, dim=1) for pair in zip(self, other, strict=True)))


class BeamSearch:
    """The state of one beam search.

    Args:
        prompt: (batch, beams, tokens) ids.
        options: the options.
        generator: random numbers for sampling.
    """

    def __init__(self, prompt: Tensor, options: GenerationOptions, generator: torch.Generator | None) -> None:
        self.options = options
        self.generator = generator
        self.longest = options.length_limits(prompt.shape[2]).longest
        self.prompt_tokens = prompt.shape[2]
        self.ends = torch.tensor(options.eos_ids, dtype=torch.long, device=prompt.device)
        lengths = torch.zeros_like(prompt[..., 0])
        ended = torch.zeros_like(lengths, dtype=torch.bool)
        scores = torch.full_like(lengths, FAR, dtype=torch.float32)
        self.finished = Paths(prompt, scores.new_zeros((*scores.shape, 0)), lengths, scores, ended)
        # All beams are the same at first: only the first one is continued.
        self.running = self.finished._replace(scores=scores.index_fill(1, lengths.new_zeros(1), 0.0))
        self.improvable = torch.ones_like(ended[:, :1])

    @property
    def tokens(self) -> int:
        """Number of tokens after the prompt in the running paths."""
        return self.running.ids.shape[2] - self.prompt_tokens

    def continuations(self, scores: Tensor, logprobs: Tensor) -> tuple[Paths, Tensor]:
        """Find the best paths with one more token: enough that some continue even if a full set of beams ends.

        Args:
            scores: (batch, beams, vocabulary) processed log-probabilities.
            logprobs: (batch, beams, vocabulary) raw log-probabilities.

        Returns:
            (batch, candidates) paths, and (batch, candidates) the beams that they continue.
        """
        total = (scores + self.running.scores[..., None]).flatten(1)
        candidates = max(2, 1 + len(self.ends)) * self.options.num_beams
        if self.options.do_sample:
            chosen = torch.multinomial(total.softmax(dim=-1), candidates, generator=self.generator)
            best = total.gather(1, chosen)
        else:
            best, chosen = total.topk(candidates)
        origins, ids = chosen // scores.shape[-1], chosen % scores.shape[-1]
        paths = self.running.take(origins).extended(ids, logprobs.flatten(1).gather(1, chosen))
        ended = torch.isin(ids, self.ends) | (paths.ids.shape[2] == self.longest)
        return paths._replace(scores=best, ended=ended), origins

    def keep_running(self, paths: Paths, origins: Tensor) -> Tensor:
        """Continue with the best paths that have not ended; return (batch, beams) the beams that they continue."""
        scores = paths.scores + paths.ended * FAR
        places = scores.topk(self.options.num_beams).indices
        self.running = paths._replace(scores=scores).take(places)
        return origins.gather(1, places)

    def finish(self, paths: Paths) -> None:
        """Move paths that ended to the finished ones; only the first `num_beams` candidates qualify."""
        beams = self.options.num_beams
        ended = paths.ended & (torch.arange(paths.ended.shape[1], device=paths.ended.device) < beams)
        scores = paths.scores / (self.tokens**self.options.length_penalty)
        if self.options.early_stopping is True:
            scores = scores + self.finished.ended.all(dim=1, keepdim=True) * FAR
        scores = scores + ~self.improvable * FAR + ~ended * FAR
        merged = self.finished.padded().joined(paths._replace(scores=scores, ended=ended))
        self.finished = merged.take(merged.scores.topk(beams).indices)

    def is_over(self, paths: Paths) -> bool:
        """Whether no utterance can be improved; this is final for each utterance."""
        tokens, penalty = self.tokens, self.options.length_penalty
        if self.options.early_stopping == "never" and penalty > 0:
            tokens = self.longest - self.prompt_tokens
        attainable = self.running.scores[:, :1] / tokens**penalty
        worst = torch.where(self.finished.ended, self.finished.scores.amin(dim=1, keepdim=True), FAR)
        self.improvable = self.improvable & (attainable > worst).any(dim=1, keepdim=True)
        over = ~self.improvable.any() | paths.ended.all()
        if self.options.early_stopping is True:
            over = over | self.finished.ended.all()
        return bool(over)

    def hypotheses(self) -> list[list[Hypothesis]]:
        """Return the best finished hypotheses of each utterance, best first."""
        best = Paths(*(each[:, : self.options.num_return_sequences] for each in self.finished))
        return to_hypotheses(best.ids[:, :, self.prompt_tokens :], best.logprobs, best.lengths, best.scores)


def beam_search(
    step: Step[CacheT],
    cache: CacheT,
    prompt: Tensor,
    options: GenerationOptions,
    *,
    generator: torch.Generator | None = None,
    scorers: Sequence[Scorer] = (),
) -> list[list[Hypothesis]]:
    """Beam search with `num_beams` beams; see `speechcli.decoding.generate.generate`.

    Returns:
        `num_return_sequences` hypotheses per utterance, best first.

    Raises:
        UsageError: if the options do not fit the prompt or the vocabulary.
    """
    shape = (prompt.shape[0], options.num_beams)
    ids, logits = first_step(step, cache, prompt, options.num_beams, scorers)
    beams = BeamSearch(ids.view(*shape, -1), options, generator)
    vocabulary = logits.shape[-1]
    processors = build_processors(options, prompt_tokens=prompt.shape[1], vocabulary=vocabulary, device=logits.device)
    processors = [*processors, *scorers]
    first_rows = torch.arange(shape[0], device=ids.device)[:, None] * options.num_beams
    while True:
        logprobs = logits.log_softmax(dim=-1)
        scores = process(processors, beams.running.ids.flatten(0, 1), logprobs)
        paths, origins = beams.continuations(scores.view(*shape, -1), logprobs.view(*shape, -1))
        origins = beams.keep_running(paths, origins)
        beams.finish(paths)
        if beams.is_over(paths):
            return beams.hypotheses()
        rows = (origins + first_rows).flatten()
        cache.reorder(rows)
        for scorer in scorers:
            scorer.reorder(rows)
        logits = step(beams.running.ids[:, :, -1:].flatten(0, 1), cache).float()
