"""The rule for each value of a generation_config.json, and the keys that are not supported."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from speechcli.errors import UsageError


def check_value(name: str, value: Any) -> None:
    """Check the value of one generation option.

    Raises:
        UsageError: if it is not allowed.
    """
    allowed, rule = _RULES[name]
    if not allowed(value):
        raise UsageError(f"`{name}` must be {rule}, but is {value!r}.")


def check_supported(extra: Mapping[str, Any]) -> None:
    """Refuse keys that choose an unsupported search.

    Raises:
        UsageError: if one of them has another value than its neutral one.
    """
    for name, neutral in UNSUPPORTED.items():
        value = extra.get(name)
        if value is not None and value != neutral:
            raise UsageError(
                f"`{name}` must not be set, because it is not supported, but is {value!r}.",
                hint=f"Remove {name} from the model's generation_config.json.",
            )


def keys_without_effect(extra: Mapping[str, Any]) -> list[str]:
    """Return the keys that are set but have no effect on audio input."""
    return [name for name, neutral in WITHOUT_EFFECT.items() if extra.get(name) not in (None, neutral)]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _at_least(least: int) -> Callable[[Any], bool]:
    return lambda value: _whole(value) and value >= least


def _ids(value: Any) -> bool:
    return isinstance(value, tuple) and all(_whole(each) and each >= 0 for each in value)


def _some_ids(value: Any) -> bool:
    return _ids(value) and len(value) > 0


def _bias(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and _some_ids(value[0]) and _number(value[1])


def _sequence(allowed: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple) and all(allowed(each) for each in value)


def _decay(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and _whole(value[0]) and _number(value[1])


_POSITIVE = (_at_least(1), "a whole number of at least 1")
_NOT_NEGATIVE = (_at_least(0), "a whole number of at least 0")
_ID = (_at_least(0), "a token id")
_ID_OR_IDS = (lambda value: _at_least(0)(value) or _some_ids(value), "a token id or a list of token ids")
_IDS = (_ids, "a list of token ids")
_BOOL = (lambda value: isinstance(value, bool), "true or false")
_SHARE = (lambda value: _number(value) and 0 <= value <= 1, "a number from 0 to 1")
_POSITIVE_SHARE = (lambda value: _number(value) and 0 < value <= 1, "a number above 0 and at most 1")
_CUTOFF = (lambda value: _number(value) and 0 <= value < 1, "a number of at least 0 and below 1")

_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "max_length": _POSITIVE,
    "max_new_tokens": _POSITIVE,
    "min_length": _NOT_NEGATIVE,
    "min_new_tokens": _NOT_NEGATIVE,
    "do_sample": _BOOL,
    "num_beams": _POSITIVE,
    "num_return_sequences": _POSITIVE,
    "length_penalty": (lambda value: _number(value) and abs(value) <= 50, "a number from -50 to 50"),
    "early_stopping": (lambda value: isinstance(value, bool) or value == "never", 'true, false or "never"'),
    "temperature": (lambda value: _number(value) and 0 <= value < math.inf, "a number of at least 0"),
    "top_k": _NOT_NEGATIVE,
    "top_p": _SHARE,
    "min_p": _SHARE,
    "top_h": _POSITIVE_SHARE,
    "typical_p": _POSITIVE_SHARE,
    "epsilon_cutoff": _CUTOFF,
    "eta_cutoff": _CUTOFF,
    "repetition_penalty": (lambda value: _number(value) and value > 0, "a number above 0"),
    "no_repeat_ngram_size": _NOT_NEGATIVE,
    "bad_words_ids": (_sequence(_some_ids), "a list of lists of token ids"),
    "sequence_bias": (_sequence(_bias), "a list of pairs of a list of token ids and a number"),
    "suppress_tokens": _IDS,
    "begin_suppress_tokens": _IDS,
    "forced_bos_token_id": _ID,
    "forced_eos_token_id": _ID_OR_IDS,
    "return_timestamps": _BOOL,
    "no_timestamps_token_id": _ID,
    "max_initial_timestamp_index": _NOT_NEGATIVE,
    "exponential_decay_length_penalty": (_decay, "a pair of a whole number and a number"),
    "remove_invalid_values": _BOOL,
    "renormalize_logits": _BOOL,
    "bos_token_id": _ID,
    "pad_token_id": _ID,
    "eos_token_id": _ID_OR_IDS,
    "decoder_start_token_id": _ID,
}

UNSUPPORTED: dict[str, Any] = {
    "num_beam_groups": 1,
    "penalty_alpha": 0,
    "force_words_ids": None,
    "constraints": None,
    "dola_layers": None,
    "guidance_scale": 1,
    "watermarking_config": None,
    "stop_strings": None,
    "max_time": None,
    "token_healing": False,
}
"""Keys of unsupported searches, and their neutral values."""

WITHOUT_EFFECT = {"encoder_repetition_penalty": 1, "encoder_no_repeat_ngram_size": 0, "diversity_penalty": 0}
"""Keys that transformers also ignores if the input is audio, and their neutral values."""
