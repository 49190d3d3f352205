"""GenerationOptions: all decoding options, under Hugging Face's names."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple

from speechcli.decoding.option_rules import UNSUPPORTED, check_supported, check_value
from speechcli.errors import ModelError, UsageError

MIN_TEMPERATURE = 1e-6
"""For sampling; dividing logits by much less gives infinities."""
MAX_TEMPERATURE = 1e6
"""For sampling; above it, all tokens are equally likely."""
DEFAULT_NEW_TOKENS = 20
"""Tokens after the prompt if no length is set, as in transformers 5."""


class LengthLimits(NamedTuple):
    """The limits of one search in tokens, including the prompt."""

    shortest: int
    longest: int


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How to decode. Values are checked on construction; those that are not set have Hugging Face's defaults.

    Raises:
        UsageError: if a value is not allowed.
    """

    max_length: int | None = None
    """Maximum length in tokens, including the prompt; `max_new_tokens` takes precedence. With neither: 20 new ones."""
    max_new_tokens: int | None = None
    """Maximum length in tokens, excluding the prompt."""
    min_length: int = 0
    """Minimum length in tokens, including the prompt. `min_new_tokens` takes precedence."""
    min_new_tokens: int | None = None
    """Minimum length in tokens, excluding the prompt."""

    do_sample: bool = False
    """Draw tokens at random by their probability instead of taking the most likely one."""
    num_beams: int = 1
    """Number of beams; 1: no beam search."""
    num_return_sequences: int = 1
    """Hypotheses returned for each utterance; at most `num_beams`, except for sampling without beams."""
    length_penalty: float = 1.0
    """Beam scores are divided by length ** length_penalty; above 0 favors longer texts."""
    early_stopping: bool | Literal["never"] = False
    """Stop if `num_beams` are finished (True), or if improvement is unlikely (False) or impossible ("never")."""

    temperature: float = 1.0
    """Sampling: logits are divided by it."""
    top_k: int = 50
    """Sampling: keep the k most likely tokens; 0 keeps all."""
    top_p: float = 1.0
    """Sampling: keep the most likely tokens that together have this probability; 1 keeps all."""
    min_p: float | None = None
    """Sampling: drop tokens less likely than this share of the most likely one."""
    top_h: float | None = None
    """Sampling: keep the most likely tokens up to this share of the entropy."""
    typical_p: float = 1.0
    """Sampling: keep the most typical tokens that together have this probability; 1 keeps all."""
    epsilon_cutoff: float = 0.0
    """Sampling: drop tokens less likely than this; 0 drops none."""
    eta_cutoff: float = 0.0
    """Sampling: as `epsilon_cutoff`, scaled by the entropy; 0 drops none."""

    repetition_penalty: float = 1.0
    """Positive scores of tokens that already occurred are divided by it, negative ones multiplied; 1: no effect."""
    no_repeat_ngram_size: int = 0
    """No sequence of this many tokens may occur twice; 0: no limit."""
    bad_words_ids: tuple[tuple[int, ...], ...] | None = None
    """Token sequences that are never generated."""
    sequence_bias: tuple[tuple[tuple[int, ...], float], ...] | None = None
    """Pairs of a token sequence and the bonus for its last token."""
    suppress_tokens: tuple[int, ...] | None = None
    """Token ids that are never generated."""
    begin_suppress_tokens: tuple[int, ...] | None = None
    """Token ids that are never generated as the first token."""
    forced_bos_token_id: int | None = None
    """First generated token after a prompt of one token: the language of multilingual decoders."""
    forced_eos_token_id: int | tuple[int, ...] | None = None
    """Last generated token if `max_length` is reached."""
    return_timestamps: bool = False
    """Generate timestamps between phrases, if `no_timestamps_token_id` is set."""
    no_timestamps_token_id: int | None = None
    """The token id before the first timestamp, in vocabularies that end with timestamps."""
    max_initial_timestamp_index: int | None = None
    """Index of the largest timestamp that may be generated first."""
    exponential_decay_length_penalty: tuple[int, float] | None = None
    """(start, factor): from `start` tokens after the prompt on, the end is favored by factor ** further tokens."""
    remove_invalid_values: bool = False
    """Replace NaN by 0 and infinities by the largest numbers."""
    renormalize_logits: bool = False
    """Normalize scores to log-probabilities after all other changes."""

    bos_token_id: int | None = None
    pad_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    """One or more ids that end a text."""
    decoder_start_token_id: int | None = None

    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Other keys of generation_config.json, which are saved again."""

    def __post_init__(self) -> None:
        for each in fields(self):
            if each.name != "extra":
                object.__setattr__(self, each.name, _frozen(getattr(self, each.name)))
        for name, default in _DEFAULTS.items():
            value = getattr(self, name)
            if value is not None or default is not None:
                check_value(name, value)
        self._check_together()

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """The ids that end a text."""
        return _as_ids(self.eos_token_id)

    @property
    def forced_eos_ids(self) -> tuple[int, ...]:
        """The ids that end a text of maximum length."""
        return _as_ids(self.forced_eos_token_id)

    @property
    def start_token_id(self) -> int:
        """The first token of the decoder input.

        Raises:
            UsageError: if neither `decoder_start_token_id` nor `bos_token_id` is set.
        """
        start = self.bos_token_id if self.decoder_start_token_id is None else self.decoder_start_token_id
        if start is None:
            raise UsageError(
                "`decoder_start_token_id` must be set, but neither it nor `bos_token_id` is.",
                hint="Add decoder_start_token_id to the model's generation_config.json.",
            )
        return start

    @property
    def fill_token_id(self) -> int:
        """The id that pads shorter rows of a result tensor.

        As in transformers, beam search pads with the end-of-text id if the pad id is 0, with -1 if no id ends a text.
        """
        if self.num_beams > 1:
            return (self.pad_token_id or self.eos_ids[0]) if self.eos_ids else -1
        if self.pad_token_id is None:
            return self.eos_ids[0] if self.eos_ids else -1
        return self.pad_token_id

    def length_limits(self, prompt_tokens: int) -> LengthLimits:
        """Return the minimum and maximum length of a result for a prompt.

        Raises:
            UsageError: if the prompt leaves no room for a token.
        """
        longest = prompt_tokens + DEFAULT_NEW_TOKENS if self.max_length is None else self.max_length
        if self.max_new_tokens is not None:
            longest = prompt_tokens + self.max_new_tokens
        if longest <= prompt_tokens:
            raise UsageError(
                f"`max_length` must be above the prompt's {prompt_tokens} tokens, but is {longest}.",
                hint="Set max_new_tokens instead, which excludes the prompt.",
            )
        shortest = self.min_length if self.min_new_tokens is None else prompt_tokens + self.min_new_tokens
        return LengthLimits(shortest, longest)

    def with_(self, **changes: Any) -> "GenerationOptions":
        """Return a copy with some values replaced; None resets a value to its default.

        Raises:
            UsageError: if a name is not an option, or a value is not allowed.
        """
        for name in changes:
            if name not in _DEFAULTS:
                near = difflib.get_close_matches(name, _DEFAULTS, n=1)
                hint = f"Did you mean {near[0]}?" if near else f"Options are: {', '.join(_DEFAULTS)}."
                raise UsageError(f"`{name}` is not a generation option.", hint=hint)
        return replace(self, **{name: _DEFAULTS[name] if new is None else new for name, new in changes.items()})

    def check_supported(self) -> None:
        """Refuse keys that choose an unsupported search.

        Raises:
            UsageError: if there is such a key.
        """
        check_supported(self.extra)

    def _check_together(self) -> None:
        if self.do_sample and not MIN_TEMPERATURE <= self.temperature <= MAX_TEMPERATURE:
            limits = f"from {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}"
            raise UsageError(
                f"`temperature` must be {limits} when sampling, but is {self.temperature:g}.",
                hint="Use do_sample=False instead.",
            )
        draws_each = self.do_sample and self.num_beams == 1
        if self.num_return_sequences > self.num_beams and not draws_each:
            raise UsageError(
                f"`num_return_sequences` must be at most `num_beams` ({self.num_beams}), "
                f"but is {self.num_return_sequences}.",
                hint="Raise num_beams, or set do_sample.",
            )
        suppressed = set(self.suppress_tokens or ())
        for name, forced in (
            ("forced_bos_token_id", _as_ids(self.forced_bos_token_id)),
            ("forced_eos_token_id", self.forced_eos_ids),
        ):
            if forced and suppressed.issuperset(forced):
                raise UsageError(f"`{name}` must not be among `suppress_tokens`, but is {list(forced)}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GenerationOptions":
        """Make options from the content of a generation_config.json; unknown keys go to `extra`.

        Raises:
            UsageError: if a value is not allowed.
        """
        known = {name: value for name, value in values.items() if name in _DEFAULTS and value is not None}
        return cls(**known, extra={name: value for name, value in values.items() if name not in _DEFAULTS})

    @classmethod
    def from_files(
        cls, config: Mapping[str, Any], generation_config: Mapping[str, Any] | None = None
    ) -> "GenerationOptions":
        """Make the options of a model folder.

        Args:
            config: the content of config.json, which is used if there is no generation_config.json; options that are
                not at its top level may be in its section `decoder`, as in files of 2021 and 2022.
            generation_config: the content of generation_config.json; None: there is no such file.

        Raises:
            ModelError: if a value is not allowed.
        """
        try:
            if generation_config is not None:
                return cls.from_dict(generation_config)
            merged: dict[str, Any] = {}
            for section in (config.get("decoder") or {}, config):
                merged |= {name: section[name] for name in (*_DEFAULTS, *UNSUPPORTED) if section.get(name) is not None}
            return cls.from_dict(merged)
        except UsageError as error:
            name = "config.json" if generation_config is None else "generation_config.json"
            raise ModelError(f"{name} cannot be used: {error.message}", hint=error.hint) from error

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a generation_config.json: values that are not defaults, and all unknown keys."""
        ours = {name: _thawed(getattr(self, name)) for name in _DEFAULTS if getattr(self, name) != _DEFAULTS[name]}
        return {**self.extra, **ours}


_DEFAULTS: dict[str, Any] = {each.name: each.default for each in fields(GenerationOptions) if each.name != "extra"}


def _as_ids(ids: int | tuple[int, ...] | None) -> tuple[int, ...]:
    if ids is None:
        return ()
    return (ids,) if isinstance(ids, int) else ids


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        value = list(value.items())
    return tuple(_frozen(each) for each in value) if isinstance(value, list | tuple) else value


def _thawed(value: Any) -> Any:
    return [_thawed(each) for each in value] if isinstance(value, tuple) else value
