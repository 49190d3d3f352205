"""The options of the search for text, under the names of the flags. Importing this costs nothing: no torch."""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from speechcli.errors import UsageError

MOST_TEXTS = 1000
"""Kept side by side: more only cost memory and time."""
MOST_SECONDS = 86_400
"""Decoded in one go: a day."""
MOST_WEIGHT = 1000
"""Of a scorer, which then drowns the model's own scores."""


def finite(value: float | None) -> bool:
    """Say whether a number is finite, where it is set."""
    return value is None or math.isfinite(value)


def check(holds: bool, name: str, rule: str, value: object) -> None:
    """Raise `UsageError` with a sentence unless a rule holds."""
    if not holds:
        raise UsageError(f"`{name}` must be {rule}, but is {value}.")


def check_used(options: Any, needed: str, *names: str) -> None:
    """Raise `UsageError` if options are set that say nothing without another one, which is not."""
    if getattr(options, needed) is not None:
        return
    for item in fields(options):
        if item.name in names and getattr(options, item.name) != item.default:
            flag, other = (f"--{name.replace('_', '-')}" for name in (item.name, needed))
            raise UsageError(f"`{flag}` belongs to {other}, but there is none.")


@dataclass(frozen=True)
class DecodingOptions:
    """How text is searched for; None leaves the model's `generation_config.json` in force."""

    strategy: Literal["greedy", "beam", "sample"] | None = None
    """The likeliest token each time, the likeliest text among several, or a random one."""
    beam_size: int | None = None
    """Texts kept at each step."""
    length_penalty: float | None = None
    """Above 0 favours longer texts in beam search."""
    early_stopping: bool | Literal["never"] | None = None
    """Stop with enough finished texts (true), when a better one is unlikely (false), or impossible (`never`)."""
    temperature: float | None = None
    """Below 1 sharpens, above 1 flattens what `sample` draws from."""
    top_k: int | None = None
    """Draw from so many likeliest tokens only."""
    top_p: float | None = None
    """Draw from the likeliest tokens that together have this probability."""
    min_p: float | None = None
    """Draw from tokens with at least this share of the likeliest one's probability."""
    typical_p: float | None = None
    """Draw from the tokens of most typical information that together have this probability."""
    num_return: int | None = None
    """Texts returned for each segment; those after the first are alternatives in JSON."""
    repetition_penalty: float | None = None
    """Above 1 makes tokens that were said before less likely."""
    no_repeat_ngram_size: int | None = None
    """No so many tokens in a row may occur twice."""
    min_new_tokens: int | None = None
    """Shortest text in tokens."""
    max_new_tokens: int | Literal["auto"] | None = None
    """Longest text in tokens; `auto`: in proportion to the audio, also where the model sets a length."""
    timestamps: bool | Literal["auto"] | None = None
    """Let the decoder say when phrases begin and end (Whisper); `auto`: where its vocabulary has times."""
    generation_set: tuple[str, ...] = ()
    """`key=value` for any other key of `generation_config.json`."""
    ctc_weight: float | None = None
    """Weight of the CTC head beside the decoder in transcripts, from 0 to below 1; None: as the model was trained."""
    lm: str | None = None
    """A causal language model over the decoder's vocabulary, as `--model`."""
    lm_weight: float = 0.3
    """Weight of the language model."""
    hotwords: str | None = None
    """A file with words and phrases that are likely, one a line."""
    hotword_boost: float = 1.0
    """Added to the score for each token of a hotword."""
    retry_repeats: bool = False
    """Search again where a text repeats itself: with more beams, then more and more by chance (`--seed`)."""
    word_times: bool = False
    """Say when each word was said; never changes the text."""
    max_segment: float = 30.0
    """Longest stretch of audio decoded in one piece, in seconds; longer audio is cut in pauses."""
    vad: Literal["auto", "none", "energy", "silero"] = "auto"
    """How speech is told from pauses, which are left out; `auto`: as well as possible, and only in longer audio."""
    batch_seconds: float | None = None
    """Seconds of audio decoded at once, padding counted; None: what suits the device."""
    batch_size: int = 64
    """Stretches of audio decoded at once."""

    def __post_init__(self) -> None:
        if self.strategy in ("greedy", "sample") and (self.beam_size or 1) > 1:
            raise UsageError(f"`--strategy {self.strategy}` keeps one text, but --beam-size is {self.beam_size}.")
        for name in ("max_new_tokens", "batch_size"):
            value = getattr(self, name)
            check(value in (None, "auto") or value >= 1, f"--{name.replace('_', '-')}", "at least 1", value)
        for name in ("beam_size", "num_return"):
            value = getattr(self, name)
            fits = value is None or 1 <= value <= MOST_TEXTS
            check(fits, f"--{name.replace('_', '-')}", f"from 1 to {MOST_TEXTS}", value)
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
        check_used(self, "lm", "lm_weight")
        check_used(self, "hotwords", "hotword_boost")
        for name in ("lm_weight", "hotword_boost"):
            value = getattr(self, name)
            fits = abs(value) <= MOST_WEIGHT
            check(fits, f"--{name.replace('_', '-')}", f"from -{MOST_WEIGHT} to {MOST_WEIGHT}", value)
        fits = 1 <= self.max_segment <= MOST_SECONDS
        check(fits, "--max-segment", f"from 1 to {MOST_SECONDS} seconds", self.max_segment)
        check(self.batch_seconds is None or self.batch_seconds > 0, "--batch-seconds", "above 0", self.batch_seconds)

    @property
    def draws(self) -> bool:
        """Whether chance may decide a text."""
        return self.strategy == "sample" or self.retry_repeats

    def chosen(self) -> dict[str, Any]:
        """Return what changes the text and was asked for, by name."""
        silent = ("batch_seconds", "batch_size")
        return {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if item.name not in silent and getattr(self, item.name) != item.default
        }
