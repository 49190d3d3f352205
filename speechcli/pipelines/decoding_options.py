"""Decoding options, named like the flags. Importing this module does not import torch."""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from speechcli.errors import UsageError

MAX_TEXTS = 1000
"""Limit for beams and returned texts: more only cost memory and time."""
MAX_SECONDS = 86_400
"""Limit for the length of one piece: a day."""
LM_WEIGHT = 0.3
"""Weight of a language model if nothing else sets it."""
MAX_WEIGHT = 1000
"""Limit for the weight of a scorer relative to the model's own scores."""


def finite(value: float | None) -> bool:
    """Whether a number is finite or not set."""
    return value is None or math.isfinite(value)


def check(holds: bool, name: str, rule: str, value: object) -> None:
    """Raise `UsageError` unless a rule holds."""
    if not holds:
        raise UsageError(f"`{name}` must be {rule}, but is {value}.")


def check_used(options: Any, needed: str, *names: str) -> None:
    """Raise `UsageError` if options are set that have no effect without another one, which is not set."""
    if getattr(options, needed) is not None:
        return
    for item in fields(options):
        if item.name in names and getattr(options, item.name) != item.default:
            flag, other = (f"--{name.replace('_', '-')}" for name in (item.name, needed))
            raise UsageError(f"`{flag}` needs {other}, which is not given.")


def refuse_memory(options: "DecodingOptions") -> None:
    """Raise `UsageError` if a translation memory is given where only transcripts are written."""
    if options.memory is not None:
        raise UsageError("`--memory` is possible for translations only, not for transcripts.", hint="Leave it out.")


@dataclass(frozen=True)
class DecodingOptions:
    """How to decode; None means the value of the model's `generation_config.json`."""

    strategy: Literal["greedy", "beam", "sample"] | None = None
    """Take the most likely token at each step, search with several beams, or draw at random."""
    beam_size: int | None = None
    """Number of beams."""
    length_penalty: float | None = None
    """Beam search: above 0 favors longer texts."""
    early_stopping: bool | Literal["never"] | None = None
    """Stop beam search with enough texts (true), or if better ones are unlikely (false) or impossible (`never`)."""
    temperature: float | None = None
    """Sampling: below 1 sharpens the distribution, above 1 flattens it."""
    top_k: int | None = None
    """Sampling: draw from this many most likely tokens."""
    top_p: float | None = None
    """Sampling: draw from the most likely tokens that together have this probability."""
    min_p: float | None = None
    """Sampling: draw from tokens with at least this share of the highest probability."""
    typical_p: float | None = None
    """Locally typical sampling: draw from the most typical tokens that together have this probability."""
    num_return: int | None = None
    """Number of texts per segment; those after the first are alternatives in JSON."""
    repetition_penalty: float | None = None
    """Above 1 makes tokens that already occurred less likely."""
    no_repeat_ngram_size: int | None = None
    """No sequence of this many tokens may occur twice."""
    min_new_tokens: int | None = None
    """Minimum length of a text in tokens."""
    max_new_tokens: int | Literal["auto"] | None = None
    """Maximum length of a text in tokens; `auto`: in proportion to the audio, even if the model sets a length."""
    timestamps: bool | Literal["auto"] | None = None
    """Let the decoder predict when phrases begin and end (Whisper); `auto`: if its vocabulary has timestamps."""
    generation_set: tuple[str, ...] = ()
    """`key=value` for any other key of `generation_config.json`."""
    ctc_weight: float | None = None
    """Weight of the CTC scores for transcripts, from 0 to below 1; None: as the model was trained."""
    lm: str | None = None
    """A causal language model over the decoder's vocabulary: a folder or a name on the Hub; None: the model's own."""
    lm_weight: float | None = None
    """Weight of the language model; None: as the model's own was tuned, else 0.3. 0: no language model."""
    memory: str | None = None
    """Translation memory: a manifest of texts with translations; those of similar transcripts are favored."""
    memory_weight: float = 0.5
    """Share of the translation memory in the probability of a token, from 0 to below 1, where it contains the very
    transcript; the share is smaller where its texts are less similar."""
    hotwords: str | None = None
    """A file of likely words and phrases, one per line."""
    hotword_boost: float = 1.0
    """Score bonus per token of a hotword."""
    retry_repeats: bool = False
    """Decode a repetitive text again: with more beams, then by sampling at rising temperatures (`--seed`)."""
    word_times: bool = False
    """Return the times of words; does not change the text."""
    max_segment: float = 30.0
    """Longest piece of audio decoded at once, in seconds; longer audio is cut at pauses."""
    vad: Literal["auto", "none", "energy", "silero"] = "auto"
    """Voice activity detection; pauses are skipped. `auto`: the best one available, and only in longer audio."""
    batch_seconds: float | None = None
    """Seconds of audio in a batch, including padding; None: depends on the device."""
    batch_size: int = 64
    """Maximum number of pieces in a batch."""

    def __post_init__(self) -> None:
        if self.strategy in ("greedy", "sample") and (self.beam_size or 1) > 1:
            raise UsageError(f"`--strategy {self.strategy}` keeps one text, but --beam-size is {self.beam_size}.")
        for name in ("max_new_tokens", "batch_size"):
            value = getattr(self, name)
            check(value in (None, "auto") or value >= 1, f"--{name.replace('_', '-')}", "at least 1", value)
        for name in ("beam_size", "num_return"):
            value = getattr(self, name)
            fits = value is None or 1 <= value <= MAX_TEXTS
            check(fits, f"--{name.replace('_', '-')}", f"from 1 to {MAX_TEXTS}", value)
        check(
            self.ctc_weight is None or 0 <= self.ctc_weight < 1,
            "--ctc-weight",
            "at least 0 and below 1",
            self.ctc_weight,
        )
        if self.strategy != "sample" and self.beam_size is not None:
            fits = (self.num_return or 1) <= self.beam_size
            check(fits, "--num-return", f"at most --beam-size, {self.beam_size}", self.num_return)
        if isinstance(self.max_new_tokens, int):
            fits = (self.min_new_tokens or 0) <= self.max_new_tokens
            check(fits, "--min-new-tokens", f"at most --max-new-tokens, {self.max_new_tokens}", self.min_new_tokens)
        check_used(self, "hotwords", "hotword_boost")
        check_used(self, "memory", "memory_weight")
        check(0 <= self.memory_weight < 1, "--memory-weight", "at least 0 and below 1", self.memory_weight)
        for name in ("lm_weight", "hotword_boost"):
            value = getattr(self, name)
            fits = value is None or abs(value) <= MAX_WEIGHT
            check(fits, f"--{name.replace('_', '-')}", f"from -{MAX_WEIGHT} to {MAX_WEIGHT}", value)
        fits = 1 <= self.max_segment <= MAX_SECONDS
        check(fits, "--max-segment", f"from 1 to {MAX_SECONDS} seconds", self.max_segment)
        check(self.batch_seconds is None or self.batch_seconds > 0, "--batch-seconds", "above 0", self.batch_seconds)

    @property
    def draws(self) -> bool:
        """Whether the text may depend on random numbers."""
        return self.strategy == "sample" or self.retry_repeats

    def chosen(self) -> dict[str, Any]:
        """Return the options that affect the text and are not at their defaults, by name."""
        silent = ("batch_seconds", "batch_size")
        return {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if item.name not in silent and getattr(self, item.name) != item.default
        }
