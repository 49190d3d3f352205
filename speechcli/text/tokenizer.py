"""The tokenizer of a model: token ids, special ids by role, language tags.

`Tokenizer` wraps the `tokenizers` package. It reads ``tokenizer.json``, or rebuilds it from older vocabulary files
(`speechcli.text.rebuild`), and saves the files of the folder unchanged.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import tokenizers
from tokenizers import normalizers, pre_tokenizers

from speechcli.errors import ModelError
from speechcli.text.rebuild import BYTE_LEVEL_PLAIN, BYTE_LEVEL_WRAPPED, WORDPIECE, rebuild
from speechcli.text.vocabulary import ROLES, USUAL_NAMES, TokenizerFiles, kind_of

LANGUAGE_TAG = re.compile(r"[a-z]{2,3}_([A-Z]{2}|[A-Z][a-z]{3})")
"""``de_DE`` in mBART-50, ``deu_Latn`` in NLLB."""

TRANSCRIPT_START = "<|startoftranscript|>"
"""Token of Whisper's vocabularies, in which ``<|de|>`` is the tag ``de``."""
TRANSCRIPT_TAG = re.compile(r"<\|([a-z]{2,3})\|>")
ENGLISH_ONLY_START = 50_257
"""Id of that token in English-only Whisper vocabularies, whose language tags and tasks are unused."""

# Detokenization as in the first BERT releases, in the same order.
CLEAN_UPS = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


class Tokenizer:
    """Text to token ids and back, with the special ids that a decoder needs.

    Args:
        backend: the tokenizer of the `tokenizers` package; special tokens and languages are added to it if missing.
        files: the files of the tokenizer, which `save` writes.
        size: number of ids that the model knows; None: all.

    Attributes:
        vocabulary_size: one more than the largest token id.
        languages: the model's own language tags and their ids, in id order; empty for models without tags.
        tasks: ids of the tokens for `transcribe` and `translate`; empty for models without them.
        silence_id: token that the decoder predicts after its start token for silence; None: there is none.
        special_ids: ids of tokens that are no text: special tokens and timestamps.
        no_timestamps_id: token that requests text without timestamps; larger ids are timestamps. None: there is none.
        start_id: dedicated start token of the decoder; None: there is none.
        bos_id, eos_id, unk_id, sep_id, pad_id, cls_id, mask_id: ids by role; None if there is no such token.

    Raises:
        ModelError: a file of the folder contradicts the vocabulary.
    """

    def __init__(self, backend: tokenizers.Tokenizer, files: TokenizerFiles, *, size: int | None = None) -> None:
        self.backend = backend
        self.files = files
        # Some files were saved with truncation or padding enabled for training.
        backend.no_truncation()
        backend.no_padding()
        _add_listed_tokens(backend, files)
        ids = _add_role_tokens(backend, files)
        self.bos_id, self.eos_id, self.unk_id, self.sep_id = (ids[role] for role in ("bos", "eos", "unk", "sep"))
        self.pad_id, self.cls_id, self.mask_id = (ids[role] for role in ("pad", "cls", "mask"))
        _add_extra_special_tokens(backend, files)
        added = sorted(backend.get_added_tokens_decoder().items())
        self.languages = {t.content: i for i, t in added if t.special and LANGUAGE_TAG.fullmatch(t.content)}
        self.start_id: int | None = backend.token_to_id(TRANSCRIPT_START)
        self.silence_id: int | None = None
        self.no_timestamps_id: int | None = None
        self.tasks: dict[str, int] = {}
        if self.start_id is not None:
            tags = {found[1]: i for i, t in added if (found := TRANSCRIPT_TAG.fullmatch(t.content))}
            tasks = {task: backend.token_to_id(f"<|{task}|>") for task in ("transcribe", "translate")}
            # The first releases of the vocabulary have another name for it.
            silences = [backend.token_to_id(f"<|{name}|>") for name in ("nospeech", "nocaptions")]
            self.silence_id = next((number for number in silences if number is not None), None)
            self.no_timestamps_id = backend.token_to_id("<|notimestamps|>")
            if self.start_id == ENGLISH_ONLY_START:
                tags, tasks = {tag: i for tag, i in tags.items() if tag == "en"}, {}
            self.languages, self.tasks = tags, {task: i for task, i in tasks.items() if i is not None}
        self.vocabulary_size = size or max(backend.get_vocab().values(), default=-1) + 1
        times = [] if self.no_timestamps_id is None else range(self.no_timestamps_id + 1, self.vocabulary_size)
        self.special_ids = frozenset([*(i for i, t in added if t.special), *times])
        self._capitals = files.of_characters and bool(files.config.get("do_lower_case", False))
        # Many releases wrote the key for every tokenizer; byte-pair vocabularies restore spaces without it.
        byte_pairs = isinstance(backend.model, tokenizers.models.BPE)
        self._clean_up = bool(files.config.get("clean_up_tokenization_spaces", False)) and not byte_pairs

    @classmethod
    def load(cls, folder: Path, *, language: str | None = None) -> "Tokenizer":
        """Read the tokenizer of a model folder.

        Args:
            folder: a folder with ``tokenizer.json`` or older vocabulary files (`speechcli.text.rebuild`).
            language: the language tag, if each language has its own vocabulary (MMS); None: that of the files.

        Raises:
            ModelError: the files are missing, damaged, or of an unsupported kind.
        """
        files = TokenizerFiles.read(folder)
        if language is not None:
            files = replace(files, config={**files.config, "target_lang": language})
        try:
            return cls._of(files)
        except (TypeError, ValueError, OverflowError) as error:  # from the package, for values that it does not accept
            why = str(error).splitlines()[0].rstrip(".")
            raise ModelError(f"The files of the tokenizer in `{folder}` must be valid, but: {why}.") from error

    @classmethod
    def _of(cls, files: TokenizerFiles) -> "Tokenizer":
        raw = files.contents.get("tokenizer.json")
        if raw is None:
            rebuilt = rebuild(files)
            return cls(rebuilt.backend, files, size=rebuilt.size)
        try:
            backend = tokenizers.Tokenizer.from_buffer(raw)
            backend.encode("", add_special_tokens=True)  # special tokens around a text may be missing
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the package raises plain Exception, or a panic, which is not an Exception
            raise ModelError(f"`{files.folder / 'tokenizer.json'}` must be a tokenizer file, but: {error}.") from error
        _follow_config(backend, files)
        return cls(backend, files)

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files as they were read, plus ``tokenizer.json`` if it was missing."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.contents.items():
            (folder / name).write_bytes(content)
        # The format does not support pieces that the model does not know.
        whole = self.vocabulary_size == self.backend.get_vocab_size()
        if "tokenizer.json" not in self.files.contents and whole and not self.files.of_characters:
            (folder / "tokenizer.json").write_text(self.backend.to_str(pretty=True), encoding="utf-8")

    @property
    def end_id(self) -> int:
        """The id that ends a text: eos, or sep for BERT-like vocabularies.

        Raises:
            ModelError: the vocabulary has neither.
        """
        end = self.eos_id if self.eos_id is not None else self.sep_id
        if end is None:
            raise ModelError(
                "A decoder's tokenizer must have a token that ends a text, but this one has neither eos nor sep.",
                hint='add "eos_token" to tokenizer_config.json',
            )
        return end

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Convert text to token ids.

        Args:
            text: the text; special tokens in it are recognized.
            special: whether to add the special tokens around a text.

        Raises:
            ModelError: the text has unknown parts, and the vocabulary has no unknown token.
        """
        text = self._capitalized(text) if self._capitals else text
        try:
            ids = self.backend.encode(text, add_special_tokens=special).ids
        except Exception as error:  # the package raises plain Exception
            raise ModelError(f"The vocabulary must be able to encode {text!r:.80}, but: {error}.") from error
        return [self.unk_id if i >= self.vocabulary_size and self.unk_id is not None else i for i in ids]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Convert token ids to text; ids outside the vocabulary are ignored, and timestamps if `skip_special`.

        The ids of a character vocabulary are a CTC path: repeated ids are merged and padding is removed.
        """
        if skip_special and self.no_timestamps_id is not None:
            ids = [i for i in ids if i <= self.no_timestamps_id]
        text: str = self.backend.decode(self.known(ids), skip_special_tokens=skip_special)
        text = text.lower() if self._capitals else text
        if self._clean_up:
            for written, read in CLEAN_UPS:
                text = text.replace(written, read)
        return text

    def known(self, ids: Sequence[int]) -> list[int]:
        """Replace ids outside a character vocabulary by that of the unknown token, if there is one."""
        if not self.files.of_characters or self.unk_id is None:
            return list(ids)
        return [id_ if self.backend.id_to_token(id_) is not None else self.unk_id for id_ in ids]

    def _capitalized(self, text: str) -> str:
        added = sorted((token.content for token in self.backend.get_added_tokens_decoder().values()), key=len)
        parts = re.split(f"({'|'.join(map(re.escape, reversed(added)))})", text)
        return "".join(part if number % 2 else part.upper() for number, part in enumerate(parts))


def _follow_config(backend: tokenizers.Tokenizer, files: TokenizerFiles) -> None:
    """Apply the options of ``tokenizer_config.json``: for these classes, they override those of ``tokenizer.json``."""
    stated, config = files.config.get("tokenizer_class"), files.config
    kind = files.kind if stated is None else kind_of(stated)
    rules, words = backend.normalizer, backend.pre_tokenizer
    if kind in WORDPIECE and isinstance(rules, normalizers.BertNormalizer):
        rules.lowercase = bool(config.get("do_lower_case", rules.lowercase))
        rules.strip_accents = config.get("strip_accents", rules.strip_accents)
        rules.handle_chinese_chars = bool(config.get("tokenize_chinese_chars", rules.handle_chinese_chars))
        backend.normalizer = rules
    if kind in (*BYTE_LEVEL_PLAIN, *BYTE_LEVEL_WRAPPED) and isinstance(words, pre_tokenizers.ByteLevel):
        words.add_prefix_space = bool(config.get("add_prefix_space", words.add_prefix_space))
        backend.pre_tokenizer = words


def _add_listed_tokens(backend: tokenizers.Tokenizer, files: TokenizerFiles) -> None:
    """Add the tokens that ``added_tokens.json`` and ``added_tokens_decoder`` list, in id order."""
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    for id_, token in sorted(files.listed_tokens().items(), key=lambda item: item[0]):
        if token.content in known:
            continue
        if token.special:
            backend.add_special_tokens([token])
        else:
            backend.add_tokens([token])
        found = backend.token_to_id(token.content)
        if found != id_:
            raise ModelError(
                f"The added token `{token.content}` must have id {id_}, but the vocabulary in `{files.folder}` "
                f"gives it {found}."
            )


def _add_role_tokens(backend: tokenizers.Tokenizer, files: TokenizerFiles) -> dict[str, int | None]:
    """Make the token of every role special, and return its id; None if there is none."""
    ids: dict[str, int | None] = {}
    for role in ROLES:
        defined, content = files.role_token(role)
        if not defined:
            usual = (name for name in USUAL_NAMES[role] if backend.token_to_id(name) is not None)
            content = next(usual, None)
        if content is not None:
            _make_special(backend, content, lstrip=role == "mask" and content == "<mask>")
        ids[role] = None if content is None else backend.token_to_id(content)
    return ids


def _add_extra_special_tokens(backend: tokenizers.Tokenizer, files: TokenizerFiles) -> None:
    for content in files.extra_special_tokens():
        _make_special(backend, content)


def _make_special(backend: tokenizers.Tokenizer, content: str, *, lstrip: bool = False) -> None:
    added = backend.get_added_tokens_decoder().values()
    if not any(token.content == content and token.special for token in added):
        backend.add_special_tokens([tokenizers.AddedToken(content, lstrip=lstrip, normalized=False, special=True)])
