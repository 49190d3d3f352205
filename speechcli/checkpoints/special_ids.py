"""The ids that training and generation need, from a decoder's vocabulary and configuration."""

from dataclasses import dataclass, replace

from speechcli.decoding.generation_options import GenerationOptions
from speechcli.errors import ModelError
from speechcli.families.config import FamilyConfig
from speechcli.text.languages import resolve_language
from speechcli.text.tokenizer import Tokenizer

MAX_TOKENS = 200
"""Longest text of a new model, start token included; the default of Hugging Face's speech recipes."""


@dataclass(frozen=True)
class SpecialIds:
    """Ids by role; None: not known."""

    decoder_start_token_id: int | None = None
    """What the decoder reads first."""
    pad_token_id: int | None = None
    """What fills the shorter texts of a batch."""
    eos_token_id: int | None = None
    """What ends a text."""


def find_ids(
    decoder: FamilyConfig, tokenizer: Tokenizer | None, given: SpecialIds, *, required: bool = True
) -> SpecialIds:
    """Find the special ids: what is given, else the vocabulary's, else the decoder configuration's.

    A text begins with `<s>` or `[CLS]`, but with `</s>` where language tags come next (mBART), or with a token
    for that alone (Whisper); it ends with `</s>` or
    `[SEP]`; where there is no padding token (GPT-2), the end pads.

    Args:
        decoder: its configuration.
        tokenizer: its vocabulary.
        given: ids that win.
        required: whether to refuse when one is not found.

    Raises:
        ModelError: an id is not found, or lies outside the decoder's embeddings.
    """
    rows = vars(decoder)["vocab_size"]
    stated = {key: _one(value) for key, value in decoder.to_dict().items()}
    if not required:  # a small model may state the defaults of a large one (Marian's 58100)
        stated = {key: value for key, value in stated.items() if value is not None and 0 <= value < rows}
    end = _first(given.eos_token_id, *_roles(tokenizer, "eos", "sep"), stated.get("eos_token_id"))
    start = _first(
        given.decoder_start_token_id,
        None if tokenizer is None else tokenizer.start_id,
        end if tokenizer is not None and tokenizer.languages else None,
        *_roles(tokenizer, "bos", "cls"),
        stated.get("decoder_start_token_id"),
        stated.get("bos_token_id"),
    )
    padding = _first(given.pad_token_id, *_roles(tokenizer, "pad"), stated.get("pad_token_id"), end)
    ids = SpecialIds(decoder_start_token_id=start, pad_token_id=padding, eos_token_id=end)
    _refuse_outside(ids, tokenizer, rows)
    if required:
        _refuse_unknown(ids)
    return ids


def generation_defaults(
    room: int, ids: SpecialIds, tokenizer: Tokenizer | None, language: str | None
) -> GenerationOptions:
    """How a new model decodes: greedily, up to `MAX_TOKENS` or what the decoder's positions allow.

    Args:
        room: tokens that the decoder has positions for.
        ids: that begin, end and fill a text.
        tokenizer: the vocabulary.
        language: that is to be written, in any spelling, where the vocabulary has language tags; None: left open.

    Raises:
        UsageError: the vocabulary has no tag for the language.
    """
    options = GenerationOptions(
        decoder_start_token_id=ids.decoder_start_token_id,
        pad_token_id=ids.pad_token_id,
        eos_token_id=ids.eos_token_id,
        bos_token_id=None if tokenizer is None else tokenizer.bos_id,
        max_length=min(MAX_TOKENS, room),
    )
    if language is None or tokenizer is None or not tokenizer.languages:
        return options
    tag = resolve_language(language, tokenizer.languages)
    return replace(options, forced_bos_token_id=tokenizer.languages[tag])


def _refuse_unknown(ids: SpecialIds) -> None:
    for name in ("eos_token_id", "decoder_start_token_id", "pad_token_id"):
        if getattr(ids, name) is None:
            raise ModelError(
                f"Training needs `{name}`, but neither the decoder's vocabulary nor its configuration has it.",
                hint="Name a folder with the decoder's tokenizer files (--tokenizer).",
            )


def _refuse_outside(ids: SpecialIds, tokenizer: Tokenizer | None, rows: int) -> None:
    if tokenizer is not None and tokenizer.vocabulary_size > rows:
        raise ModelError(
            f"The decoder has embeddings for {rows} tokens, but its vocabulary has {tokenizer.vocabulary_size}.",
            hint="Give the tokenizer that the decoder was trained with.",
        )
    for name in ("eos_token_id", "decoder_start_token_id", "pad_token_id"):  # the end may be what begins or pads
        value = getattr(ids, name)
        if value is not None and not 0 <= value < rows:
            raise ModelError(f"`{name}` must be one of the decoder's {rows} tokens, but is {value}.")


def _roles(tokenizer: Tokenizer | None, *roles: str) -> list[int | None]:
    return [None if tokenizer is None else getattr(tokenizer, f"{role}_id") for role in roles]


def _one(value: object) -> int | None:
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, int) else None


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
