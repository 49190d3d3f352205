"""The effective decoding options: those of the model's generation_config.json, overridden by those of the user."""

import math
from collections.abc import Collection, Iterator
from typing import Any

from speechcli.decoding.generation_options import GenerationOptions
from speechcli.errors import UsageError
from speechcli.pipelines.compose_options import parse_changes
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.text.prompts import Prompts, prompts_for
from speechcli.text.tokenizer import Tokenizer

DEFAULT_BEAMS = 5
TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)

# Fast speech has 6 syllables or 20 letters per second, and in some vocabularies each letter is a token.
TOKENS_PER_SECOND = 25
# Room for tags and the end, and for a word in a very short clip.
SPARE_TOKENS = 16
# The limit grows in steps, so that clips of similar length have the same limit and are decoded together.
LIMIT_STEP_SECONDS = 5

_NAMES = {
    "length_penalty": "length_penalty",
    "early_stopping": "early_stopping",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "num_return": "num_return_sequences",
    "repetition_penalty": "repetition_penalty",
    "no_repeat_ngram_size": "no_repeat_ngram_size",
    "min_new_tokens": "min_new_tokens",
}

_OF_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p")
_OF_BEAMS = ("length_penalty", "early_stopping")


def effective_options(model: GenerationOptions, decoding: DecodingOptions) -> GenerationOptions:
    """Return the model's options, overridden by those of the user.

    Raises:
        UsageError: a value is not allowed, or the values contradict each other or the search.
    """
    changes: dict[str, Any] = {
        theirs: getattr(decoding, ours) for ours, theirs in _NAMES.items() if getattr(decoding, ours) is not None
    }
    if decoding.strategy in ("greedy", "sample"):
        changes |= {"num_beams": 1, "do_sample": decoding.strategy == "sample"}
    elif decoding.strategy == "beam":
        usual = model.num_beams if model.num_beams > 1 else DEFAULT_BEAMS
        changes |= {"num_beams": decoding.beam_size or max(usual, decoding.num_return or 1), "do_sample": False}
    elif decoding.beam_size is not None:
        changes |= {"num_beams": decoding.beam_size}
    if decoding.num_return is None and "num_beams" in changes and not changes.get("do_sample", model.do_sample):
        changes["num_return_sequences"] = min(model.num_return_sequences, changes["num_beams"])
    if decoding.max_new_tokens == "auto":
        changes |= {"max_length": None, "max_new_tokens": None}
    elif decoding.max_new_tokens is not None:
        changes |= {"max_new_tokens": decoding.max_new_tokens}
    if decoding.timestamps is not None:
        changes |= {"return_timestamps": bool(decoding.timestamps)}
    options = model.with_(**(parse_changes(decoding.generation_set) | changes))
    _refuse_unused(decoding, options)
    return options


def _refuse_unused(decoding: DecodingOptions, options: GenerationOptions) -> None:
    """Refuse options that have no effect in the chosen search."""
    ranks = options.num_beams > 1 or decoding.retry_repeats
    for names, used, problem, strategy in (
        (_OF_SAMPLING, options.do_sample, "is for sampling, but this search does not sample", "sample"),
        (_OF_BEAMS, ranks, "is for beam search, but this search keeps one text", "beam"),
    ):
        for name in names:
            if getattr(decoding, name) is not None and not used:
                flag = f"--{name.replace('_', '-')}"
                raise UsageError(f"`{flag}` {problem}.", hint=f"Add --strategy {strategy}.")


def check_times(decoding: DecodingOptions, tokenizer: Tokenizer, name: str) -> None:
    """Refuse `--timestamps` if the model's vocabulary has no timestamps.

    Raises:
        UsageError: timestamps are requested, but there are none.
    """
    if decoding.timestamps is True and tokenizer.no_timestamps_id is None:
        raise UsageError(
            f"`--timestamps` needs a decoder that predicts timestamps, as Whisper's does, but {name} has none.",
            hint="Leave it out: srt, vtt, tsv and json have the times of the segments.",
        )


def other_searches(options: GenerationOptions) -> Iterator[GenerationOptions]:
    """Yield other searches for a repetitive text: more beams, then sampling at rising temperatures.

    Whisper falls back to sampling at once (Radford et al. 2022); more beams are often enough, and deterministic.
    """
    beams = max(DEFAULT_BEAMS, 2 * options.num_beams - 1, options.num_return_sequences)
    yield options.with_(num_beams=beams, do_sample=False)
    for temperature in TEMPERATURES:
        yield options.with_(num_beams=1, do_sample=True, temperature=temperature, top_k=0)


def decoder_prompts(tokenizer: Tokenizer, options: GenerationOptions, taught: Collection[str]) -> Prompts:
    """Make the decoder prompts for some options.

    Args:
        tokenizer: the tokenizer of the decoder.
        options: how to decode.
        taught: `Bundle.taught`.

    Raises:
        UsageError: the options have no start token.
    """
    start, forced = options.start_token_id, options.forced_bos_token_id
    return prompts_for(tokenizer, start=start, forced=forced, times=options.return_timestamps, taught=taught)


def with_limit(
    options: GenerationOptions, seconds: float, positions: int, *, prompt_tokens: int = 1
) -> GenerationOptions:
    """Return options with a limit for the length of the text.

    If neither the model nor the user limits the length of a text, the limit is 25 tokens per second of audio, with the
    seconds rounded up to a multiple of 5, plus 16. It never exceeds the positions of the decoder.

    Args:
        options: the decoding options.
        seconds: length of the audio.
        positions: maximum number of tokens that the decoder can read.
        prompt_tokens: number of tokens in the prompt.
    """
    if options.max_length is None and options.max_new_tokens is None:
        rounded = LIMIT_STEP_SECONDS * math.ceil(seconds / LIMIT_STEP_SECONDS)
        options = options.with_(max_new_tokens=SPARE_TOKENS + TOKENS_PER_SECOND * rounded)
    if options.length_limits(prompt_tokens).longest > positions:
        options = options.with_(max_new_tokens=None, max_length=positions)
    return options
