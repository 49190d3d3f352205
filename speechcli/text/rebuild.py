"""Tokenizers from vocabulary files that are older than ``tokenizer.json``."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors

from speechcli.errors import ModelError
from speechcli.text.characters import characters, phonemes
from speechcli.text.pieces import LAYOUTS, from_layout, from_vocabulary, has_pieces
from speechcli.text.vocabulary import CONTINUED, PHONEMES, Rebuilt, TokenizerFiles, decoded, kind_of, parse_json

SUPPORTED = (
    "supported are tokenizer.json, vocab.txt (BERT), vocab.json with merges.txt (GPT-2, RoBERTa, BART, Blenderbot, "
    "Speech2Text2), sentencepiece models (XLM-R, mBART, Pegasus, XGLM, Marian and others), vocab.json of characters "
    "or phonemes (wav2vec 2.0)"
)


def rebuild(files: TokenizerFiles) -> Rebuilt:
    """Build a tokenizer from vocabulary files without ``tokenizer.json``.

    Raises:
        ModelError: the files are damaged or describe an unsupported tokenizer.
    """
    if files.of_characters:
        return Rebuilt((phonemes if files.kind in PHONEMES else characters)(files))
    names = ", ".join(files.contents)
    stated = files.config.get("tokenizer_class")
    if stated and files.kind == kind_of(stated) and files.kind not in _BUILDERS:
        raise ModelError(
            f"A tokenizer without tokenizer.json must be of a supported class, but `{files.folder}` ({names}) "
            f"needs `{stated}`; {SUPPORTED}.",
            hint="save it once with transformers' fast tokenizer, which writes tokenizer.json",
        )
    for builder in (_BUILDERS.get(files.kind), *_BY_FILES):
        if builder is not None and builder.fits(files):
            return builder.build(files)
    raise ModelError(
        f"A vocabulary without tokenizer.json must be of a supported kind, but `{files.folder}` has {names}; "
        f"{SUPPORTED}.",
        hint="save it once with transformers' fast tokenizer, which writes tokenizer.json",
    )


def _wordpiece(files: TokenizerFiles) -> Rebuilt:
    """Build BERT's tokenizer from ``vocab.txt``, with one token per line."""
    lines = decoded(files, "vocab.txt").split("\n")
    if lines[-1] == "":
        lines.pop()
    vocabulary = {line.rstrip("\r"): id_ for id_, line in enumerate(lines)}
    config = files.config
    names = {role: files.role_token(role)[1] or usual for role, usual in _BERT_NAMES.items()}
    missing = [name for name in names.values() if name not in vocabulary]
    if missing:
        raise ModelError(f"`{files.folder / 'vocab.txt'}` must have {', '.join(names.values())}, but lacks {missing}.")
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
    return Rebuilt(backend)


_BERT_NAMES = {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]"}


def _byte_level(files: TokenizerFiles) -> Rebuilt:
    """Build the tokenizer of GPT-2 (no special tokens), RoBERTa, BART (``<s> x </s>``) or Blenderbot (``x </s>``)."""
    vocabulary = dict(parse_json(files.contents["vocab.json"], files.folder / "vocab.json"))
    prefix_space = bool(files.config.get("add_prefix_space", files.kind == "blenderbot"))
    model = _bpe(files, vocabulary, _merges(files), continuing_subword_prefix="", end_of_word_suffix="")
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    backend.decoder = decoders.ByteLevel()
    start = files.role_token("cls")[1] or files.role_token("bos")[1] or "<s>"
    end = files.role_token("sep")[1] or files.role_token("eos")[1] or "</s>"
    guessed = files.kind not in (*BYTE_LEVEL_PLAIN, *BYTE_LEVEL_WRAPPED) and {"<s>", "</s>"} <= vocabulary.keys()
    if files.kind in BYTE_LEVEL_WRAPPED or guessed:
        missing = [name for name in (start, end) if name not in vocabulary]
        if missing:
            raise ModelError(f"`{files.folder / 'vocab.json'}` must have {start} and {end}, but lacks {missing}.")
        backend.post_processor = processors.RobertaProcessing(
            (end, vocabulary[end]), (start, vocabulary[start]), trim_offsets=True, add_prefix_space=prefix_space
        )
        if files.kind == "blenderbot":
            backend.post_processor = processors.TemplateProcessing(
                single=f"$A {end}", special_tokens=[(end, vocabulary[end])]
            )
    return Rebuilt(backend)


def _continued(files: TokenizerFiles) -> Rebuilt:
    """Build the tokenizer of Speech2Text2 or the small Blenderbot: pieces inside a word end in ``@@``.

    In the merges, and in `tokenizers`, the last piece of a word ends in ``</w>`` instead. Intermediate pieces of the
    merges that are not in the vocabulary get ids after it. A text that ends inside a word does not end in ``@@``,
    which transformers keeps.
    """
    listed = parse_json(files.contents["vocab.json"], files.folder / "vocab.json")
    special = files.special_names()
    vocabulary = {_at_word_end(token, special): number for token, number in listed.items()}
    merges = _merges(files, more_columns=True) if "merges.txt" in files.contents else []
    for piece in dict.fromkeys(piece for left, right in merges for piece in (left, right, left + right)):
        vocabulary.setdefault(piece, len(vocabulary))
    unknown = next(name for name in (files.role_token("unk")[1], "<unk>", "__unk__") if name in (*listed, "__unk__"))
    model = _bpe(files, vocabulary, merges, unk_token=unknown, end_of_word_suffix="</w>")
    backend = tokenizers.Tokenizer(model)
    if files.kind == "blenderbotsmall":
        marks = [normalizers.Replace(mark, f" {mark}") for mark in ".,!?()"]
        line = normalizers.Replace(Regex(r"(?<=\S)\n"), " __newln__ ")
        steps = [line, *marks, normalizers.Replace("'", " ' "), *_LOWERCASE]
    else:  # words are separated as by Python's `split`, which has four more separators
        steps = [normalizers.Replace(Regex("[\x1c-\x1f]"), " ")]
        steps += _LOWERCASE if files.config.get("do_lower_case") else []
    backend.normalizer = normalizers.Sequence(steps)
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.BPEDecoder(suffix="</w>")
    return Rebuilt(backend, size=max(listed.values(), default=-1) + 1)


_CASED, _IGNORABLE = r"[\p{Cased}&&[^\p{Case_Ignorable}]]", r"\p{Case_Ignorable}"
_BEFORE = "|".join(_CASED + _IGNORABLE * count for count in range(3))
_LOWERCASE = (
    # Unicode's rule for the Greek sigma at the end of a word, which `Lowercase` does not have
    normalizers.Replace(Regex(f"(?<={_BEFORE})Σ(?!{_IGNORABLE}*{_CASED})"), "ς"),
    normalizers.Lowercase(),
)
"""Conversion to lower case as by Python's `lower`."""


def _at_word_end(token: str, special: Container[str]) -> str:
    if token in special:
        return token
    return token.removesuffix("@@") if token.endswith("@@") else token + "</w>"


def _bpe(
    files: TokenizerFiles, vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], **options: str
) -> models.BPE:
    try:
        return models.BPE(dict(vocabulary), list(merges), fuse_unk=False, **options)
    except Exception as error:  # the package raises plain Exception and ValueError
        raise ModelError(f"The vocabulary in `{files.folder}` must be a byte-pair encoding, but: {error}.") from error


def _merges(files: TokenizerFiles, *, more_columns: bool = False) -> list[tuple[str, str]]:
    merges = []
    for number, line in enumerate(decoded(files, "merges.txt").split("\n"), start=1):
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        parts = line.rstrip("\r").split(" ")
        if len(parts) < 2 or (len(parts) > 2 and not more_columns):
            raise ModelError(
                f"Line {number} of `{files.folder / 'merges.txt'}` must have two symbols, but is {line!r}."
            )
        merges.append((parts[0], parts[1]))
    return merges


@dataclass(frozen=True)
class _Builder:
    build: Callable[[TokenizerFiles], Rebuilt]
    fits: Callable[[TokenizerFiles], bool]
    """Whether the required files are present."""


def _has(*names: str) -> Callable[[TokenizerFiles], bool]:
    return lambda files: all(name in files.contents for name in names)


WORDPIECE = ("bert", "electra", "distilbert", "ernie", "megatronbert", "mobilebert", "convbert", "layoutlm")
BYTE_LEVEL_PLAIN = ("gpt2", "whisper")
BYTE_LEVEL_WRAPPED = (
    "roberta",
    "bart",
    "mvp",
    "data2vectext",
    "longformer",
    "led",
    "robertaprelayernorm",
    "blenderbot",
)

_WORDPIECE = _Builder(_wordpiece, _has("vocab.txt"))
_BYTE_LEVEL = _Builder(_byte_level, _has("vocab.json", "merges.txt"))
_LISTED = _Builder(
    from_vocabulary, lambda files: has_pieces(files) and not {"vocab.json", "dict.txt"}.isdisjoint(files.contents)
)
_BUILDERS = {
    **dict.fromkeys(WORDPIECE, _WORDPIECE),
    **dict.fromkeys((*BYTE_LEVEL_PLAIN, *BYTE_LEVEL_WRAPPED), _BYTE_LEVEL),
    **dict.fromkeys(CONTINUED, _Builder(_continued, _has("vocab.json"))),
    **dict.fromkeys(("marian", "bartpho", "speech2text"), _LISTED),
    **dict.fromkeys(LAYOUTS, _Builder(from_layout, has_pieces)),
}
"""By kind of tokenizer (`TokenizerFiles.kind`)."""
_BY_FILES = (_BYTE_LEVEL, _WORDPIECE, _LISTED, _Builder(from_layout, has_pieces))
