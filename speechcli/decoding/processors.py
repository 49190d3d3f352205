"""Logits processors: changes to the scores of the next token, for any search."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from speechcli.decoding.generation_options import GenerationOptions
from speechcli.decoding.timestamps import TimestampRules
from speechcli.decoding.warpers import build_warpers
from speechcli.errors import UsageError

Processor = Callable[[Tensor, Tensor], Tensor]
"""(rows, tokens) ids so far, prompt included, and (rows, vocabulary) scores -> new (rows, vocabulary) scores.

Scores are float32 logits, or log-probabilities in beam search. They are never changed in place."""


@dataclass(frozen=True)
class SequenceBias:
    """Add a bias to the last token of a sequence if the tokens before it were generated."""

    groups: tuple[tuple[Tensor, Tensor, Tensor], ...]
    """For each length: (sequences, tokens - 1) ids before, (sequences,) last ids, (sequences,) biases."""

    @classmethod
    def of(cls, biases: Mapping[tuple[int, ...], float], device: torch.device) -> "SequenceBias":
        """Group sequences by length, so that each group is compared at once."""
        groups = []
        for length in sorted({len(sequence) for sequence in biases}):
            group = [sequence for sequence in biases if len(sequence) == length]
            ids = torch.tensor(group, device=device)
            values = torch.tensor([biases[sequence] for sequence in group], dtype=torch.float32, device=device)
            groups.append((ids[:, :-1], ids[:, -1], values))
        return cls(tuple(groups))

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Add the biases."""
        for before, last, values in self.groups:
            length = before.shape[1]
            if length > ids.shape[1]:
                continue
            # (rows, 1, tokens) == (sequences, tokens) -> (rows, sequences)
            matches = (ids[:, None, ids.shape[1] - length :] == before).all(dim=-1)
            scores = scores.index_add(1, last, torch.where(matches, values, 0.0))
        return scores


@dataclass(frozen=True)
class RepetitionPenalty:
    """Penalize every token that already occurred, prompt included."""

    penalty: float

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Multiply negative scores, divide positive ones."""
        seen = scores.gather(1, ids)
        return scores.scatter(1, ids, torch.where(seen < 0, seen * self.penalty, seen / self.penalty))


@dataclass(frozen=True)
class NoRepeatNgram:
    """Ban each token that would repeat a sequence of `size` tokens."""

    size: int

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Ban the last token of every earlier sequence that starts like the newest tokens."""
        tokens = ids.shape[1]
        if tokens < self.size:
            return scores
        runs = ids.unfold(1, self.size, 1)  # (rows, tokens) -> (rows, runs, size)
        begins = (runs[..., :-1] == ids[:, None, tokens + 1 - self.size :]).all(dim=-1)
        bans = torch.where(begins, -math.inf, math.inf).to(scores.dtype)
        return scores.scatter_reduce(1, runs[..., -1], bans, reduce="amin")


@dataclass(frozen=True)
class Ban:
    """Ban ids while the row has at least `first` and fewer than `end` tokens."""

    banned: Tensor
    first: int
    end: float

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Ban the ids if the length is in the range."""
        return scores.index_fill(1, self.banned, -math.inf) if self.first <= ids.shape[1] < self.end else scores


@dataclass(frozen=True)
class Force:
    """Force one of some ids when the row has exactly `length` tokens."""

    forced: Tensor
    length: int

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Force the ids if the length fits."""
        if ids.shape[1] != self.length:
            return scores
        return torch.full_like(scores, -math.inf).index_fill(1, self.forced, 0.0)


@dataclass(frozen=True)
class DecayLength:
    """Favor the end more with every token after `start`."""

    ends: Tensor
    start: int
    factor: float

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Add |score| * (factor ** further tokens - 1) to the scores of the ends."""
        further = ids.shape[1] - self.start
        if further <= 0:
            return scores
        ends = scores[:, self.ends]
        # A banned end stays banned: -inf + inf would be NaN.
        gain = (ends.abs() * (self.factor**further - 1)).masked_fill(~ends.isfinite(), 0.0)
        return scores.index_add(1, self.ends, gain)


def remove_invalid(ids: Tensor, scores: Tensor) -> Tensor:
    """Replace NaN by 0 and infinities by the largest numbers."""
    return scores.nan_to_num(nan=0.0)


def renormalize(ids: Tensor, scores: Tensor) -> Tensor:
    """Make scores log-probabilities."""
    return scores.log_softmax(dim=-1)


def build_processors(
    options: GenerationOptions, *, prompt_tokens: int, vocabulary: int, device: torch.device
) -> list[Processor]:
    """Build the processors for some options, in the order of transformers; none without an effect.

    Args:
        options: the options.
        prompt_tokens: number of tokens in the prompt.
        vocabulary: size of the model's vocabulary.
        device: device of the scores.

    Raises:
        UsageError: if an id that must be generated is not in the vocabulary, or the prompt leaves no room.
    """
    _check_ids(options, vocabulary)
    on_device = partial(_known, vocabulary=vocabulary, device=device)
    shortest, longest = options.length_limits(prompt_tokens)
    ends = on_device(options.eos_ids)
    built: list[Processor] = []
    if options.sequence_bias:
        built.append(SequenceBias.of(dict(options.sequence_bias), device))
    if options.repetition_penalty != 1.0:
        built.append(RepetitionPenalty(options.repetition_penalty))
    if options.no_repeat_ngram_size > 0:
        built.append(NoRepeatNgram(options.no_repeat_ngram_size))
    if options.bad_words_ids:
        words = [word for word in options.bad_words_ids if not (len(word) == 1 and word[0] in options.eos_ids)]
        built.append(SequenceBias.of(dict.fromkeys(words, -math.inf), device))
    if shortest > prompt_tokens and len(ends):
        built.append(Ban(ends, first=0, end=shortest))
    if options.forced_bos_token_id is not None:
        built.append(Force(on_device([options.forced_bos_token_id]), length=1))
    if options.forced_eos_ids:
        built.append(Force(on_device(options.forced_eos_ids), length=longest - 1))
    if options.remove_invalid_values:
        built.append(remove_invalid)
    if options.exponential_decay_length_penalty is not None and len(ends):
        start, factor = options.exponential_decay_length_penalty
        built.append(DecayLength(ends, start=prompt_tokens + start, factor=factor))
    if options.suppress_tokens:
        built.append(Ban(on_device(options.suppress_tokens), first=0, end=math.inf))
    if options.begin_suppress_tokens:
        begin = 2 if prompt_tokens == 1 and options.forced_bos_token_id is not None else prompt_tokens
        built.append(Ban(on_device(options.begin_suppress_tokens), first=begin, end=begin + 1))
    if options.return_timestamps and options.no_timestamps_token_id is not None and options.eos_ids:
        first, initial = options.no_timestamps_token_id + 1, options.max_initial_timestamp_index
        built.append(TimestampRules(prompt_tokens, first, options.eos_ids[0], initial))
    built.extend(build_warpers(options))
    if options.renormalize_logits:
        built.append(renormalize)
    return built


def _known(ids: Iterable[int], *, vocabulary: int, device: torch.device) -> Tensor:
    """Return the ids in the model's vocabulary."""
    return torch.tensor([each for each in ids if each < vocabulary], dtype=torch.long, device=device)


def process(processors: Sequence[Processor], ids: Tensor, scores: Tensor) -> Tensor:
    """Apply processors one after the other.

    Args:
        processors: from `build_processors`.
        ids: (rows, tokens) ids so far, prompt included.
        scores: (rows, vocabulary) float32.

    Returns:
        (rows, vocabulary) new scores.
    """
    for processor in processors:
        scores = processor(ids, scores)
    return scores


def _check_ids(options: GenerationOptions, vocabulary: int) -> None:
    """Check that ids are in the vocabulary; ids that are only banned need not be."""
    needed = {
        "forced_bos_token_id": () if options.forced_bos_token_id is None else (options.forced_bos_token_id,),
        "forced_eos_token_id": options.forced_eos_ids,
        "bad_words_ids": (each for word in options.bad_words_ids or () for each in word),
        "sequence_bias": (each for sequence, _ in options.sequence_bias or () for each in sequence),
    }
    for name, ids in needed.items():
        largest = max(ids, default=0)
        if largest >= vocabulary:
            raise UsageError(f"`{name}` must be below the vocabulary's size {vocabulary}, but is {largest}.")
