"""Special token ids for training and generation, from a decoder's vocabulary and configuration."""

from dataclasses import dataclass, replace

from speechcli.decoding.generation_options import GenerationOptions
from speechcli.errors import ModelError
from speechcli.families.config import FamilyConfig
from speechcli.text.languages import resolve_language
from speechcli.text.tokenizer import Tokenizer

MAX_TOKENS = 200
"""Maximum length of a text of a new model, including the start token; the default of Hugging Face's recipes."""


@dataclass(frozen=True)
class SpecialIds:
    """Ids by role; None: unknown."""

    decoder_start_token_id: int | None = None
    """First token that the decoder reads."""
    pad_token_id: int | None = None
    """Padding of shorter texts in a batch."""
    eos_token_id: int | None = None
    """Token that ends a text."""


def find_ids(
    decoder: FamilyConfig, tokenizer: Tokenizer | None, given: SpecialIds, *, required: bool = True
) -> SpecialIds:
    """Find the special ids: given ones, or those of the vocabulary, or those of the decoder's configuration.

    The start token is `<s>` or `[CLS]`, but `</s>` in vocabularies with language tags (mBART), or a dedicated token
    (Whisper). A text ends with `</s>` or `[SEP]`. Without a padding token (GPT-2), the end token is used for padding.

    Args:
        decoder: configuration of the decoder.
        tokenizer: its tokenizer.
        given: ids that override all others.
        required: whether to raise an error if an id is not found.

    Raises:
        ModelError: an id is not found, or is outside the decoder's vocabulary.
    """
    rows = vars(decoder)["vocab_size"]
    stated = {key: _one(value) for key, value in decoder.to_dict().items()}
    if not required:  # small models may have the default ids of large ones (Marian's 58100)
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
    """Return the generation options of a new model: greedy search, limited by `MAX_TOKENS` and the decoder's positions.

    Args:
        room: maximum number of tokens of the decoder.
        ids: the special ids.
        tokenizer: the tokenizer.
        language: default target language in any spelling; None: no default.

    Raises:
        UsageError: the vocabulary has no tag for the language, or there is none.
    """
    options = GenerationOptions(
        decoder_start_token_id=ids.decoder_start_token_id,
        pad_token_id=ids.pad_token_id,
        eos_token_id=ids.eos_token_id,
        bos_token_id=None if tokenizer is None else tokenizer.bos_id,
        max_length=min(MAX_TOKENS, room),
    )
    if language is None:
        return options
    tags = {} if tokenizer is None else tokenizer.languages
    return replace(options, forced_bos_token_id=tags[resolve_language(language, tags)])


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
    for name in ("eos_token_id", "decoder_start_token_id", "pad_token_id"):  # one token may have several of these roles
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
