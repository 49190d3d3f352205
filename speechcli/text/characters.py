"""Vocabularies of CTC heads: characters, a word delimiter, and a padding token that is also the blank."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from speechcli.errors import ModelError
from speechcli.text.vocabulary import TokenizerFiles, parse_json, token_text

SPACES = re.compile(r"\s+")

LISTED = 8
"""Maximum number of languages that a message lists."""


@dataclass(frozen=True)
class Characters:
    """The character vocabulary of a CTC head that does not use the decoder's tokens; id 0 is the blank.

    Args:
        symbols: the characters in order of their ids, from 1; a space is one of them.
    """

    symbols: str

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Characters":
        """Return the vocabulary of all characters in some texts."""
        return cls("".join(sorted(set("".join(map(_plain, texts))))))

    def __len__(self) -> int:
        """Return the number of ids."""
        return 1 + len(self.symbols)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; unknown characters are left out."""
        return [1 + place for character in _plain(text) if (place := self.symbols.find(character)) >= 0]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of some ids; blanks are left out."""
        return "".join(self.symbols[id_ - 1] for id_ in ids if id_)


def _plain(text: str) -> str:
    return SPACES.sub(" ", text)


def characters(files: TokenizerFiles) -> tokenizers.Tokenizer:
    """Build the tokenizer of a CTC head from ``vocab.json``, as Hugging Face's ``Wav2Vec2CTCTokenizer``.

    It decodes CTC paths, with one id per frame: repeated ids are merged and blanks removed.

    Raises:
        ModelError: the vocabulary does not map tokens to ids.
    """
    backend, path = _of_paths(files)
    # transformers 5 writes null for this key, but uses the default when it reads it.
    delimiter = token_text(files.config.get("word_delimiter_token", "|")) or "|"
    space = files.config.get("replace_word_delimiter_char", " ")
    backend.normalizer = normalizers.Replace(" ", delimiter)
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Sequence([path, decoders.Replace(delimiter, space), decoders.Fuse()])
    # Files list it as special, but it is never removed from a text.
    backend.add_tokens([tokenizers.AddedToken(delimiter, normalized=False)])
    # Tokens with several characters are matched before the text is split into characters.
    several = [token for token in backend.get_vocab(with_added_tokens=False) if len(token) > 1]
    backend.add_tokens([tokenizers.AddedToken(token, lstrip=True, rstrip=True, normalized=False) for token in several])
    return backend


def phonemes(files: TokenizerFiles) -> tokenizers.Tokenizer:
    """Build the tokenizer of a CTC head over phonemes, as Hugging Face's ``Wav2Vec2PhonemeCTCTokenizer``.

    It decodes CTC paths like `characters`, with spaces between phonemes, and encodes such texts.

    Raises:
        ModelError: the vocabulary does not map tokens to ids.
    """
    backend, path = _of_paths(files)
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    delimiter = token_text(files.config.get("word_delimiter_token"))
    without_delimiter = [decoders.Replace(delimiter, "")] if delimiter else []
    spaced = decoders.Replace(Regex(r"(?<=.)\z"), " ")
    backend.decoder = decoders.Sequence([path, *without_delimiter, spaced, decoders.Fuse()])
    return backend


def _of_paths(files: TokenizerFiles) -> tuple[tokenizers.Tokenizer, decoders.Decoder]:
    model = models.WordLevel(_vocabulary(files), unk_token=files.role_token("unk")[1] or "<unk>")
    pad = files.role_token("pad")[1] or "<pad>"
    # Without clean-up it keeps the word delimiter.
    return tokenizers.Tokenizer(model), decoders.CTC(pad_token=pad, cleanup=False)


def _vocabulary(files: TokenizerFiles) -> dict[str, int]:
    path = files.folder / "vocab.json"
    values: Mapping[str, Any] = parse_json(files.contents["vocab.json"], path)
    languages = [name for name, each in values.items() if isinstance(each, Mapping)]
    if languages:
        language = files.config.get("target_lang")
        if language not in languages:
            more = ", …" if len(languages) > LISTED else ""
            raise ModelError(
                f"`{path}` must have a vocabulary for the language (`target_lang`) {language!r:.80}, but has those of "
                f"{', '.join(languages[:LISTED])}{more}."
            )
        values = values[language]
    if not values or not all(type(id_) is int and 0 <= id_ < 2**32 for id_ in values.values()):
        raise ModelError(f"`{path}` must map tokens to ids, but does not.")
    return dict(values)
