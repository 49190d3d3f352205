"""The files of a tokenizer and their content."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from speechcli.errors import ModelError

FILE_NAMES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "dict.txt",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spiece.model",
    "source.spm",
    "target.spm",
    "target_vocab.json",
)
"""Files of a tokenizer, which are saved with a model."""

ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
"""Roles of special tokens, in the order in which Hugging Face adds missing ones to a vocabulary."""

USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "bos": ("<s>", "<|endoftext|>", "__start__"),
    "eos": ("</s>", "<|endoftext|>", "__end__"),
    "unk": ("<unk>", "[UNK]", "<|endoftext|>", "__unk__"),
    "sep": ("[SEP]", "</s>"),
    "pad": ("<pad>", "[PAD]", "__null__"),
    "cls": ("[CLS]", "<s>"),
    "mask": ("<mask>", "[MASK]"),
}
"""Names of the tokens of a role if no file of the folder defines it."""

PHONEMES = ("wav2vec2phonemectc", "wav2vec2phoneme")
CHARACTERS = ("wav2vec2ctc", "wav2vec2", *PHONEMES)
CONTINUED = ("speech2text2", "speechtotext2", "blenderbotsmall")
"""Kinds of tokenizers (`TokenizerFiles.kind`): of phoneme CTC heads; of all CTC heads; with pieces ending in ``@@``."""

# Classes and families that are independent of the kind of vocabulary.
GENERIC = ("", "pretrained", "tokenizersbackend", "sentencepiecebackend", "auto", "speechencoderdecoder")


@dataclass(frozen=True)
class TokenizerFiles:
    """The bytes of a folder's tokenizer files and the content of its JSON files."""

    folder: Path
    """The folder, for messages."""
    contents: Mapping[str, bytes]
    """Contents by file name."""
    config: Mapping[str, Any]
    """``tokenizer_config.json``; empty if there is none."""
    special_tokens: Mapping[str, Any]
    """``special_tokens_map.json``; empty if there is none."""
    added_tokens: Mapping[str, Any]
    """``added_tokens.json``: token to id; empty if there is none."""
    model: Mapping[str, Any]
    """``config.json`` of the model; empty if there is none."""

    @classmethod
    def read(cls, folder: Path) -> "TokenizerFiles":
        """Read all tokenizer files of a folder.

        Raises:
            ModelError: the folder has none, or a JSON file is damaged.
        """
        try:
            contents = {name: (folder / name).read_bytes() for name in FILE_NAMES if (folder / name).is_file()}
            model = (folder / "config.json").read_bytes() if (folder / "config.json").is_file() else b"{}"
        except OSError as error:
            raise ModelError(f"The tokenizer in `{folder}` must be readable, but: {error}.") from error
        if not contents:
            raise ModelError(f"`{folder}` must contain tokenizer files, but has none.")

        def parsed(name: str) -> Mapping[str, Any]:
            return parse_json(contents[name], folder / name) if name in contents else {}

        config, special = parsed("tokenizer_config.json"), parsed("special_tokens_map.json")
        added = parsed("added_tokens.json")
        return cls(folder, contents, config, special, added, parse_json(model, folder / "config.json"))

    def role_token(self, role: str) -> tuple[bool, str | None]:
        """Return whether the files define the token of a role ("pad"), and the token (None: defined as missing)."""
        for source in (self.config, self.special_tokens):
            if f"{role}_token" in source:
                return True, token_text(source[f"{role}_token"])
        return False, None

    def extra_special_tokens(self) -> list[str]:
        """Return the special tokens without a role, for example language tags.

        Raises:
            ModelError: they are not a list.
        """
        texts: list[str | None] = []
        for source in (self.config, self.special_tokens):
            for key in ("additional_special_tokens", "extra_special_tokens"):
                value = source.get(key) or []
                if not isinstance(value, list | Mapping):
                    raise ModelError(f"`{key}` of the tokenizer in `{self.folder}` must be a list, but is {value!r}.")
                texts += [token_text(token) for token in (value.values() if isinstance(value, Mapping) else value)]
        return list(dict.fromkeys(text for text in texts if text is not None))

    def special_names(self) -> set[str]:
        """Return all possible names of special tokens: those in the files, and the usual ones."""
        names = {name for role in ROLES if (name := self.role_token(role)[1]) is not None}
        return names.union(self.extra_special_tokens(), *USUAL_NAMES.values())

    def listed_tokens(self) -> dict[int, tokenizers.AddedToken]:
        """Return the added tokens by id.

        Raises:
            ModelError: an entry is not a token with an id.
        """
        tokens: dict[int, tokenizers.AddedToken] = {}
        try:
            for text, id_ in self.added_tokens.items():
                special = text in self.extra_special_tokens() or any(self.role_token(role)[1] == text for role in ROLES)
                tokens[int(id_)] = tokenizers.AddedToken(text, special=special, normalized=not special)
            for id_, entry in (self.config.get("added_tokens_decoder") or {}).items():
                flags = ("lstrip", "rstrip", "normalized", "single_word", "special")
                given = {flag: bool(entry[flag]) for flag in flags if flag in entry}
                tokens[int(id_)] = tokenizers.AddedToken(entry["content"], **given)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ModelError(f"The added tokens in `{self.folder}` must be tokens with ids, but: {error!r}.") from error
        return tokens

    @property
    def kind(self) -> str:
        """The class of the tokenizer, or the family of the model, as one word ("mbart50"); "" if it is unknown."""
        decoder = self.model.get("decoder")
        family = decoder if isinstance(decoder, Mapping) else self.model
        names = (self.config.get("tokenizer_class"), self.model.get("tokenizer_class"), family.get("model_type"))
        return next((kind for kind in map(kind_of, names) if kind not in GENERIC), "")

    @property
    def of_characters(self) -> bool:
        """Whether the vocabulary is that of a CTC head: ``vocab.json`` without other vocabulary files."""
        stated = kind_of(self.config.get("tokenizer_class"))
        others = {"tokenizer.json", "merges.txt"}.union(
            name for name in FILE_NAMES if name.endswith((".model", ".spm"))
        )
        alone = others.isdisjoint(self.contents) and self.kind not in CONTINUED
        return "vocab.json" in self.contents and (stated in CHARACTERS or (alone and stated in GENERIC))


@dataclass(frozen=True)
class Rebuilt:
    """A tokenizer built from older vocabulary files."""

    backend: tokenizers.Tokenizer
    size: int | None = None
    """Number of ids that the model knows; the pieces after them are only needed to split words. None: all."""


def has_tokenizer(folder: Path) -> bool:
    """Return whether a folder contains a vocabulary of any kind, supported or not."""
    return any((folder / name).is_file() for name in FILE_NAMES if not name.endswith(("_config.json", "_map.json")))


def decoded(files: TokenizerFiles, name: str) -> str:
    """Return the text of a file.

    Raises:
        ModelError: it is not UTF-8.
    """
    try:
        return files.contents[name].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"`{files.folder / name}` must be UTF-8, but: {error}.") from error


def token_text(token: object) -> str | None:
    """Return the text of a token in a JSON file: a string, an object with ``content``, or null."""
    if isinstance(token, Mapping):
        token = token.get("content")
    return None if token is None else str(token)


def parse_json(content: bytes, path: Path) -> dict[str, Any]:
    """Parse a JSON object.

    Args:
        content: the file's bytes.
        path: the file, for the message.

    Raises:
        ModelError: it is not a JSON object.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"`{path}` must be a JSON file, but: {error}.") from error
    if not isinstance(value, dict):
        raise ModelError(f"`{path}` must contain a JSON object, but contains a {type(value).__name__}.")
    return value


def kind_of(name: object) -> str:
    """Return a tokenizer class or a model family as one word: "MBart50TokenizerFast" -> "mbart50"."""
    text = re.sub(r"Tokenizer(Fast)?$", "", name) if isinstance(name, str) else ""
    return re.sub(r"[-_]", "", text).lower()
