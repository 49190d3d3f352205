"""Tokenizers from sentencepiece models, with the ids of the pieces in each family of checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from speechcli.errors import ModelError
from speechcli.text.sentencepiece import BPE, CONTROL, NORMAL, USER_DEFINED, SentencePieceModel
from speechcli.text.vocabulary import Rebuilt, TokenizerFiles, decoded, parse_json

MODEL_FILES = ("sentencepiece.bpe.model", "sentencepiece.model", "spiece.model", "target.spm")
"""Names of sentencepiece models; of Marian's two models, the decoder uses that of the target language."""

MBART_LANGUAGES = tuple(
    "ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV my_MM ne_NP nl_XX "
    "ro_RO ru_RU si_LK tr_TR vi_VN zh_CN".split()
)
MBART50_LANGUAGES = MBART_LANGUAGES + tuple(
    "af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK ml_IN mn_MN mr_IN pl_PL ps_AF pt_XX sv_SE sw_KE ta_IN "
    "te_IN th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI".split()
)
PLBART_LANGUAGES = ("__java__", "__python__", "__en_XX__")
PLBART_MULTI_LANGUAGES = (*PLBART_LANGUAGES, "__javascript__", "__php__", "__ruby__", "__go__")

# Lower than all sums of scores, so that such a token is only used for text that is otherwise unknown.
_LAST_RESORT = -1e4


@dataclass(frozen=True)
class Layout:
    """The order of the pieces in a family, and the special tokens around a text."""

    head: tuple[str, ...] = ()
    """Tokens before the pieces."""
    skip: int = 0
    """Number of first pieces of the model that `head` replaces."""
    tail: tuple[str, ...] = ()
    """Tokens after the pieces."""
    around: str = "$A"
    """Template of the special tokens around a text."""
    composed: bool = False
    """Whether texts are normalized to Unicode's composed form (NFC)."""


_FAIRSEQ = Layout(head=("<s>", "<pad>", "</s>", "<unk>"), skip=3)
_XLM_ROBERTA = replace(_FAIRSEQ, tail=("<mask>",), around="<s> $A </s>")
_PEGASUS = ("<pad>", "</s>", "<mask_1>", "<mask_2>", *(f"<unk_{number}>" for number in range(2, 103)))
_CAMEMBERT = ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED")

LAYOUTS: Mapping[str, Layout] = {
    "xlmroberta": _XLM_ROBERTA,
    "xlmrobertaxl": _XLM_ROBERTA,
    "xmod": _XLM_ROBERTA,
    "mbart": replace(_FAIRSEQ, tail=(*MBART_LANGUAGES, "<mask>"), around="$A </s> en_XX"),
    "mbart50": replace(_FAIRSEQ, tail=(*MBART50_LANGUAGES, "<mask>"), around="en_XX $A </s>"),
    "nllb": replace(_FAIRSEQ, tail=("<mask>",), around="eng_Latn $A </s>"),
    "plbart": replace(_FAIRSEQ, tail=(*PLBART_LANGUAGES, "<mask>"), around="$A </s>"),
    "xglm": replace(_FAIRSEQ, tail=tuple(f"<madeupword{number}>" for number in range(7)), around="</s> $A"),
    "camembert": Layout(head=_CAMEMBERT, skip=1, tail=("<mask>",), around="<s> $A </s>"),
    "pegasus": Layout(head=_PEGASUS, skip=2, around="$A </s>"),
    "bigbirdpegasus": Layout(head=_PEGASUS, skip=2, around="$A </s>"),
    "bertgeneration": Layout(),
    "gptsw3": Layout(composed=True),
    "rembert": Layout(around="[CLS] $A [SEP]"),
    "bigbird": Layout(around="[CLS] $A [SEP]"),
}
"""By kind of tokenizer (`TokenizerFiles.kind`)."""


def has_pieces(files: TokenizerFiles) -> bool:
    """Return whether there is a sentencepiece model among the files."""
    return any(name in files.contents for name in MODEL_FILES)


def from_layout(files: TokenizerFiles) -> Rebuilt:
    """Build the tokenizer of a family whose ids follow the order of the pieces in the model.

    Raises:
        ModelError: the model is damaged or of an unsupported kind.
    """
    model = _read(files)
    layout = _layout(files)
    pieces = [piece.text for piece in model.pieces[layout.skip :]]
    tail = [token for token in layout.tail if token not in pieces]
    return Rebuilt(_build(files, model, [*layout.head, *pieces, *tail], special=(*layout.head, *tail), layout=layout))


def from_vocabulary(files: TokenizerFiles) -> Rebuilt:
    """Build the tokenizer of a family whose ids are in ``vocab.json`` (Marian) or ``dict.txt`` (BARTpho).

    The model does not know pieces that are not listed there.

    Raises:
        ModelError: a file is damaged, or the vocabulary has gaps.
    """
    model = _read(files)
    if "dict.txt" in files.contents:
        listed = [line.split(" ")[0] for line in decoded(files, "dict.txt").splitlines() if line.strip()]
        vocabulary, layout = [*_FAIRSEQ.head, *listed, "<mask>"], _XLM_ROBERTA
    else:
        vocabulary, layout = _numbered(files), Layout(around="$A </s>")
    known = set(vocabulary)
    rest = [piece.text for piece in model.pieces if piece.text not in known and piece.kind != CONTROL]
    special = [token for token in (*_FAIRSEQ.head, "<mask>") if token in known]
    return Rebuilt(_build(files, model, [*vocabulary, *rest], special=special, layout=layout), size=len(vocabulary))


def _read(files: TokenizerFiles) -> SentencePieceModel:
    name = next(name for name in MODEL_FILES if name in files.contents)
    try:
        return SentencePieceModel.parse(files.contents[name])
    except ValueError as error:
        raise ModelError(f"`{files.folder / name}` must be a sentencepiece model, but: {error}.") from error


def _layout(files: TokenizerFiles) -> Layout:
    layout = LAYOUTS.get(files.kind, _XLM_ROBERTA)
    if files.kind == "nllb":
        # Published checkpoints have the tags before <mask>; transformers puts them after it if it reads the .model.
        layout = replace(layout, tail=(*(tag for tag in files.extra_special_tokens() if tag != "<mask>"), "<mask>"))
    elif files.kind == "plbart" and files.config.get("language_codes") == "multi":
        layout = replace(layout, tail=PLBART_MULTI_LANGUAGES)
    spoken = files.config.get("src_lang")
    if isinstance(spoken, str) and spoken in layout.tail:
        words = [spoken if word in layout.tail else word for word in layout.around.split()]
        layout = replace(layout, around=" ".join(words))
    return layout


def _numbered(files: TokenizerFiles) -> list[str]:
    name = "target_vocab.json" if "target_vocab.json" in files.contents else "vocab.json"
    ids = parse_json(files.contents[name], files.folder / name)
    order = sorted(ids, key=lambda token: (str(type(ids[token])), ids[token]))
    if [ids[token] for token in order] != list(range(len(order))) or "<unk>" not in ids:
        raise ModelError(f"`{files.folder / name}` must number its tokens from 0 and contain `<unk>`, but does not.")
    return order


def _build(
    files: TokenizerFiles, model: SentencePieceModel, tokens: list[str], *, special: Sequence[str], layout: Layout
) -> tokenizers.Tokenizer:
    scores = _scores(model)
    unknown = model.pieces[model.unk_id].text
    if unknown not in tokens:
        raise ModelError(f"The vocabulary in `{files.folder}` must contain {unknown!r}, but does not.")
    try:
        backend = tokenizers.Tokenizer(_model(model, tokens, scores, unknown, special))
        _normalize(backend, model, composed=layout.composed)
    except Exception as error:  # the package raises plain Exception and ValueError
        raise ModelError(f"The vocabulary in `{files.folder}` must be a sentencepiece model, but: {error}.") from error
    controls = [piece.text for piece in model.pieces if piece.kind == CONTROL and piece.text in tokens]
    backend.add_special_tokens([_added(token, special=True) for token in (*special, *controls)])
    if model.kind == BPE:
        symbols = [piece.text for piece in model.pieces if piece.kind == USER_DEFINED]
        backend.add_tokens([_added(token, special=False) for token in symbols])
    _wrap(backend, layout)
    return backend


def _scores(model: SentencePieceModel) -> dict[str, float]:
    # As in sentencepiece, user-defined symbols take precedence over all other segmentations.
    best = max((piece.score for piece in model.pieces if piece.kind == NORMAL), default=0.0)
    return {
        piece.text: len(piece.text.encode()) * best - 0.1 if piece.kind == USER_DEFINED else piece.score
        for piece in model.pieces
    }


def _model(
    model: SentencePieceModel,
    tokens: Sequence[str],
    scores: Mapping[str, float],
    unknown: str,
    special: Sequence[str],
) -> models.Model:
    if model.kind == BPE:
        ids = {token: number for number, token in enumerate(tokens)}
        merges = _merges({token: scores[token] for token in tokens if token in scores}, ids)
        return models.BPE(ids, merges, unk_token=unknown, fuse_unk=True, byte_fallback=model.byte_fallback)
    # Unigram keeps the first of two tokens with the same text; special tokens are matched before it runs.
    scored = [(token, scores.get(token, 0.0 if token in special else _LAST_RESORT)) for token in tokens]
    return models.Unigram(scored, unk_id=tokens.index(unknown), byte_fallback=model.byte_fallback)


def _merges(scores: Mapping[str, float], ids: Mapping[str, int]) -> list[tuple[str, str]]:
    # sentencepiece merges any two pieces whose concatenation is a piece, that with the highest score first
    merges = []
    for token in sorted(scores, key=lambda token: (-scores[token], ids[token])):
        splits = [(token[:place], token[place:]) for place in range(1, len(token))]
        known = [pair for pair in splits if pair[0] in ids and pair[1] in ids]
        merges += sorted(known, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    return merges


def _normalize(backend: tokenizers.Tokenizer, model: SentencePieceModel, *, composed: bool) -> None:
    rules = [normalizers.Precompiled(model.charsmap)] if model.charsmap else []
    # sentencepiece applies the longest matching rule, but Precompiled the shortest. That would lose the second of two
    # combining marks and leave Hangul syllables of three letters decomposed, so texts are composed (NFC) before.
    composed = composed or any(rule.normalize_str("e\u0301") == "é" for rule in rules)
    # Half-width kana and their voice marks are composed after the rules.
    compose = [normalizers.NFC()] if composed else []
    steps: list[normalizers.Normalizer] = [*compose, *rules, *(compose if rules else [])]
    if model.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if model.add_dummy_prefix:
        steps.append(normalizers.Prepend("▁"))
    backend.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    words = decoders.Metaspace(prepend_scheme="always" if model.add_dummy_prefix else "never")
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), words]) if model.byte_fallback else words


def _wrap(backend: tokenizers.Tokenizer, layout: Layout) -> None:
    ids = {word: backend.token_to_id(word) for word in layout.around.split() if word != "$A"}
    around = " ".join(word for word in layout.around.split() if ids.get(word, 0) is not None)
    if ids:
        known = [(word, number) for word, number in ids.items() if number is not None]
        backend.post_processor = processors.TemplateProcessing(single=around, special_tokens=known)


def _added(token: str, *, special: bool) -> AddedToken:
    return AddedToken(token, lstrip=token == "<mask>", normalized=False, special=special)
