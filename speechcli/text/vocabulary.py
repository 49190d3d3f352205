"""The files of a tokenizer, and the tokenizer that older vocabulary files describe."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

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
    "spiece.model",
    "source.spm",
    "target.spm",
)
"""What belongs to a tokenizer and is kept when a model is saved."""

VOCABULARY_FILES = ("tokenizer.json", "vocab.txt", "vocab.json")

WORDPIECE = ("Bert", "Electra", "DistilBert", "Ernie", "MegatronBert", "MobileBert", "ConvBert", "LayoutLM")
BYTE_LEVEL_PLAIN = ("GPT2",)
BYTE_LEVEL_WRAPPED = ("Roberta", "Bart", "Mvp", "Data2VecText", "Longformer", "LED", "RobertaPreLayerNorm")
"""Names of tokenizer classes without ``Tokenizer`` and ``TokenizerFast``, by the pipeline that they use."""

CHARACTERS = ("Wav2Vec2CTC", "Wav2Vec2")

GENERIC = ("", "PreTrained", "TokenizersBackend", "Auto")

SUPPORTED = (
    "supported are tokenizer.json, vocab.txt (BERT), vocab.json with merges.txt (GPT-2, RoBERTa, BART), and vocab.json "
    "alone (CTC)"
)


@dataclass(frozen=True)
class TokenizerFiles:
    """The bytes of a folder's tokenizer files and what its json files say."""

    folder: Path
    """Where they were read; for messages."""
    contents: Mapping[str, bytes]
    """File name to content, as it was on disk."""
    config: Mapping[str, Any]
    """``tokenizer_config.json``; empty if there is none."""
    special_tokens: Mapping[str, Any]
    """``special_tokens_map.json``; empty if there is none."""
    added_tokens: Mapping[str, Any]
    """``added_tokens.json``: token to id; empty if there is none."""

    @classmethod
    def read(cls, folder: Path) -> "TokenizerFiles":
        """Read every tokenizer file that a folder has.

        Raises:
            ModelError: if the folder has none, or a json file is corrupt.
        """
        try:
            contents = {name: (folder / name).read_bytes() for name in FILE_NAMES if (folder / name).is_file()}
        except OSError as error:
            raise ModelError(f"The tokenizer in `{folder}` must be readable, but: {error}.") from error
        if not contents:
            raise ModelError(f"`{folder}` must hold the files of a tokenizer, but has none; {SUPPORTED}.")

        def parsed(name: str) -> Mapping[str, Any]:
            return parse_json(contents[name], folder / name) if name in contents else {}

        config, special = parsed("tokenizer_config.json"), parsed("special_tokens_map.json")
        return cls(folder, contents, config, special, parsed("added_tokens.json"))

    def role_token(self, role: str) -> tuple[bool, str | None]:
        """Say whether the files name the token of a role ("pad"), and which it is (None: they say that it has none)."""
        for source in (self.config, self.special_tokens):
            if f"{role}_token" in source:
                return True, token_text(source[f"{role}_token"])
        return False, None

    def extra_special_tokens(self) -> list[str]:
        """Return the special tokens without a role: language tags, for example."""
        texts: list[str | None] = []
        for source in (self.config, self.special_tokens):
            for key in ("additional_special_tokens", "extra_special_tokens"):
                value = source.get(key) or []
                texts += [token_text(token) for token in (value.values() if isinstance(value, Mapping) else value)]
        return list(dict.fromkeys(text for text in texts if text is not None))

    def listed_tokens(self) -> dict[int, tokenizers.AddedToken]:
        """Return the tokens that are listed with their id.

        Raises:
            ModelError: if an entry is no token with an id.
        """
        tokens: dict[int, tokenizers.AddedToken] = {}
        try:
            for text, id_ in self.added_tokens.items():
                special = text in self.extra_special_tokens() or any(
                    self.role_token(role)[1] == text for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
                )
                tokens[int(id_)] = tokenizers.AddedToken(text, special=special, normalized=not special)
            for id_, entry in (self.config.get("added_tokens_decoder") or {}).items():
                flags = ("lstrip", "rstrip", "normalized", "single_word", "special")
                given = {flag: bool(entry[flag]) for flag in flags if flag in entry}
                tokens[int(id_)] = tokenizers.AddedToken(entry["content"], **given)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ModelError(f"The added tokens in `{self.folder}` must be tokens with ids, but: {error!r}.") from error
        return tokens

    @property
    def class_name(self) -> str:
        """The tokenizer class that the folder was saved with, without ``Tokenizer`` and ``Fast``; "" if unsaid."""
        name = self.config.get("tokenizer_class") or ""
        return str(name).removesuffix("Fast").removesuffix("Tokenizer")

    @property
    def of_characters(self) -> bool:
        """Whether the vocabulary is that of a CTC head: characters in ``vocab.json`` alone."""
        old = "vocab.json" in self.contents and not {"merges.txt", "tokenizer.json"} & set(self.contents)
        return "vocab.json" in self.contents and (self.class_name in CHARACTERS or (old and self.class_name in GENERIC))


def has_tokenizer(folder: Path) -> bool:
    """Say whether a folder holds a vocabulary of any kind, supported or not."""
    return any((folder / name).is_file() for name in FILE_NAMES if not name.endswith(("_config.json", "_map.json")))


def rebuild(files: TokenizerFiles) -> tokenizers.Tokenizer:
    """Build a tokenizer from the vocabulary files of the years before ``tokenizer.json``.

    Raises:
        ModelError: if the files are corrupt or describe a tokenizer that is not supported.
    """
    known = (*WORDPIECE, *BYTE_LEVEL_PLAIN, *BYTE_LEVEL_WRAPPED, *GENERIC)
    names = ", ".join(name for name in files.contents)
    if files.class_name not in known:
        raise ModelError(
            f"A tokenizer without tokenizer.json must be of a supported class, but `{files.folder}` ({names}) "
            f"needs `{files.config['tokenizer_class']}`; {SUPPORTED}.",
            hint="save it once with transformers' fast tokenizer, which writes tokenizer.json",
        )
    if "vocab.json" in files.contents and "merges.txt" in files.contents:
        return _byte_level(files)
    if "vocab.txt" in files.contents:
        return _wordpiece(files)
    raise ModelError(
        f"A vocabulary without tokenizer.json must be of a supported kind, but `{files.folder}` has {names}; "
        f"{SUPPORTED}.",
        hint="save it once with transformers' fast tokenizer, which writes tokenizer.json",
    )


def _wordpiece(files: TokenizerFiles) -> tokenizers.Tokenizer:
    """Build BERT's tokenizer from ``vocab.txt``: a token a line."""
    lines = _decoded(files, "vocab.txt").split("\n")
    if lines[-1] == "":
        lines.pop()
    vocabulary = {line.rstrip("\r"): id_ for id_, line in enumerate(lines)}
    config = files.config
    names = {role: files.role_token(role)[1] or usual for role, usual in _BERT_NAMES.items()}
    missing = [name for name in names.values() if name not in vocabulary]
    if missing:
        raise ModelError(f"`{files.folder / 'vocab.txt'}` must hold {', '.join(names.values())}, but lacks {missing}.")
    backend = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token=names["unk"]))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(config.get("tokenize_chinese_chars", True)),
        strip_accents=config.get("strip_accents"),
        lowercase=bool(config.get("do_lower_case", True)),
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    start, end = names["cls"], names["sep"]
    backend.post_processor = processors.TemplateProcessing(
        single=f"{start}:0 $A:0 {end}:0",
        pair=f"{start}:0 $A:0 {end}:0 $B:1 {end}:1",
        special_tokens=[(start, vocabulary[start]), (end, vocabulary[end])],
    )
    return backend


_BERT_NAMES = {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]"}


def _byte_level(files: TokenizerFiles) -> tokenizers.Tokenizer:
    """Build the tokenizer of GPT-2 (adds nothing) or of RoBERTa and BART (``<s> x </s>``)."""
    vocabulary = dict(parse_json(files.contents["vocab.json"], files.folder / "vocab.json"))
    prefix_space = bool(files.config.get("add_prefix_space", False))
    try:
        backend = tokenizers.Tokenizer(
            models.BPE(
                vocabulary,
                _merges(files),
                continuing_subword_prefix="",
                end_of_word_suffix="",
                fuse_unk=False,
            )
        )
    except Exception as error:  # the package raises plain Exception and ValueError
        raise ModelError(f"The vocabulary in `{files.folder}` must be a byte-level BPE, but: {error}.") from error
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    backend.decoder = decoders.ByteLevel()
    start = files.role_token("cls")[1] or files.role_token("bos")[1] or "<s>"
    end = files.role_token("sep")[1] or files.role_token("eos")[1] or "</s>"
    wrapped = files.class_name in BYTE_LEVEL_WRAPPED
    if wrapped or (files.class_name in GENERIC and "<s>" in vocabulary and "</s>" in vocabulary):
        missing = [name for name in (start, end) if name not in vocabulary]
        if missing:
            raise ModelError(f"`{files.folder / 'vocab.json'}` must hold {start} and {end}, but lacks {missing}.")
        backend.post_processor = processors.RobertaProcessing(
            (end, vocabulary[end]), (start, vocabulary[start]), trim_offsets=True, add_prefix_space=prefix_space
        )
    return backend


def _merges(files: TokenizerFiles) -> list[tuple[str, str]]:
    merges = []
    for number, line in enumerate(_decoded(files, "merges.txt").split("\n"), start=1):
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        parts = line.rstrip("\r").split(" ")
        if len(parts) != 2:
            raise ModelError(
                f"Line {number} of `{files.folder / 'merges.txt'}` must hold two symbols, but holds {line!r}."
            )
        merges.append((parts[0], parts[1]))
    return merges


def _decoded(files: TokenizerFiles, name: str) -> str:
    try:
        return files.contents[name].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"`{files.folder / name}` must be UTF-8, but: {error}.") from error


def token_text(token: object) -> str | None:
    """Return the text of a token that a json file gives as a string, an object with ``content``, or null."""
    if isinstance(token, Mapping):
        token = token.get("content")
    return None if token is None else str(token)


def parse_json(content: bytes, path: Path) -> dict[str, Any]:
    """Parse a json object.

    Args:
        content: the file's bytes.
        path: the file, for the message.

    Raises:
        ModelError: if it is no json object.
    """
    try:
        value = json.loads(content)
    except ValueError as error:
        raise ModelError(f"`{path}` must be a json file, but: {error}.") from error
    if not isinstance(value, dict):
        raise ModelError(f"`{path}` must hold a json object, but holds a {type(value).__name__}.")
    return value
