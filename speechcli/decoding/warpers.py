"""Sampling filters: temperature, top-k, top-p and others. They run after the processors."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from speechcli.decoding.generation_options import GenerationOptions

TOP_H_TOKENS = 100
"""Top-h considers at most this many tokens, as in transformers."""


@dataclass(frozen=True)
class Temperature:
    """Divide the scores: below 1 sharpens the distribution, above 1 flattens it; 1: no effect."""

    temperature: float

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Divide the scores."""
        return scores / self.temperature


@dataclass(frozen=True)
class TopH:
    """Keep the most likely tokens while their share of the entropy stays within `share`."""

    share: float

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Drop the tokens beyond the share."""
        best, places = scores.topk(min(TOP_H_TOKENS, scores.shape[-1]), dim=-1)
        information = torch.special.entr(best.softmax(dim=-1)).cumsum(dim=-1)
        kept = information <= information[:, -1:] * self.share
        kept[:, 0] = True
        keep = torch.zeros_like(scores, dtype=torch.bool).scatter(1, places, kept)
        return scores.masked_fill(~keep, -math.inf)


@dataclass(frozen=True)
class TopK:
    """Keep the `kept` most likely tokens, and those as likely as the last of them."""

    kept: int

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Drop all other tokens."""
        return scores.masked_fill(scores < _nth_best(scores, self.kept), -math.inf)


@dataclass(frozen=True)
class TopP:
    """Keep the fewest most likely tokens that together reach `mass`; 1 keeps all."""

    mass: float
    least: int

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Drop the unlikely tail."""
        ordered, places = scores.sort(descending=False)
        dropped = ordered.softmax(dim=-1).cumsum(dim=-1) <= 1 - self.mass
        dropped[:, -self.least :] = False
        return scores.masked_fill(dropped.scatter(1, places, dropped), -math.inf)


@dataclass(frozen=True)
class MinP:
    """Drop tokens less likely than `share` of the most likely one; 0 keeps all."""

    share: float
    least: int

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Drop the tokens below the share."""
        probabilities = scores.softmax(dim=-1)
        dropped = probabilities < self.share * probabilities.amax(dim=-1, keepdim=True)
        best = probabilities.topk(min(self.least, scores.shape[-1]), dim=-1).indices
        return scores.masked_fill(dropped.scatter(1, best, False), -math.inf)


@dataclass(frozen=True)
class Typical:
    """Keep the tokens whose information is nearest to the entropy, until they reach `mass`; 1 keeps all."""

    mass: float
    least: int

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Drop the untypical tokens."""
        logs = scores.log_softmax(dim=-1)
        entropy = -(logs * logs.exp()).nansum(dim=-1, keepdim=True)
        distance, places = (-logs - entropy).abs().sort(descending=False)
        mass = scores.gather(1, places).softmax(dim=-1).cumsum(dim=-1)
        last = (mass < self.mass).sum(dim=1, keepdim=True).clamp(max=scores.shape[-1] - 1)
        dropped = distance > distance.gather(1, last)
        dropped[:, : self.least] = False
        return scores.masked_fill(dropped.scatter(1, places, dropped), -math.inf)


@dataclass(frozen=True)
class Epsilon:
    """Drop tokens less likely than `cutoff`; 0 keeps all."""

    cutoff: float
    least: int

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Drop the tokens below the cut-off."""
        dropped = scores.softmax(dim=-1) < self.cutoff
        return scores.masked_fill(dropped & (scores < _nth_best(scores, self.least)), -math.inf)


@dataclass(frozen=True)
class Eta:
    """Drop tokens less likely than the smaller of `cutoff` and sqrt(cutoff) * exp(-entropy); 0 keeps all."""

    cutoff: float
    least: int

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Drop the tokens below the cut-off."""
        probabilities = scores.softmax(dim=-1)
        entropy = torch.special.entr(probabilities).sum(dim=-1, keepdim=True)
        cutoff = (math.sqrt(self.cutoff) * torch.exp(-entropy)).clamp(max=self.cutoff)
        return scores.masked_fill((probabilities < cutoff) & (scores < _nth_best(scores, self.least)), -math.inf)


def build_warpers(options: GenerationOptions) -> list[Callable[[Tensor, Tensor], Tensor]]:
    """Build the sampling filters in the order of transformers; none without sampling."""
    if not options.do_sample:
        return []
    # With beams, a token that does not end the text must remain in every row.
    least = 1 if options.num_beams == 1 else max(2, 1 + len(options.eos_ids))
    built: list[Callable[[Tensor, Tensor], Tensor]] = []
    if options.temperature != 1.0:
        built.append(Temperature(options.temperature))
    if options.top_h is not None:
        built.append(TopH(options.top_h))
    if options.top_k > 0:
        built.append(TopK(max(options.top_k, least)))
    if options.top_p < 1.0:
        built.append(TopP(options.top_p, least))
    if options.min_p is not None:
        built.append(MinP(options.min_p, least))
    if options.typical_p < 1.0:
        built.append(Typical(options.typical_p, least))
    if options.epsilon_cutoff > 0.0:
        built.append(Epsilon(options.epsilon_cutoff, least))
    if options.eta_cutoff > 0.0:
        built.append(Eta(options.eta_cutoff, least))
    return built


def _nth_best(scores: Tensor, n: int) -> Tensor:
    """(rows, vocabulary) -> (rows, 1), the n-th largest score."""
    return scores.topk(min(n, scores.shape[-1]), dim=-1).values[:, -1:]
