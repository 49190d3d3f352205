"""sentencepiece models without the package: pieces, ids and texts are those of the package and of each family."""

import json
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechcli.errors import ModelError
from speechcli.text.pieces import MBART50_LANGUAGES, MBART_LANGUAGES
from speechcli.text.sentencepiece import SentencePieceModel
from speechcli.text.tokenizer import Tokenizer

from .sentences import TEXTS, sentences

sentencepiece = pytest.importorskip("sentencepiece")
Model = Any
FAIRSEQ = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    home = tmp_path_factory.mktemp("models")
    made: dict[str, bytes] = {}

    def trained(**options: Any) -> bytes:
        key = repr(sorted(options.items()))
        if key not in made:
            defaults: dict[str, Any] = {"vocab_size": 370, "hard_vocab_limit": False, "character_coverage": 0.98}
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(_corpus()),
                model_prefix=str(home / str(len(made))),
                minloglevel=2,
                num_threads=1,
                **(defaults | options),
            )
            made[key] = (home / f"{len(made)}.model").read_bytes()
        return made[key]

    return trained


def _corpus() -> Iterator[str]:
    yield from TEXTS * 3
    yield from sentences(150, seed=5, odd=0)


def load(folder: Path, model: bytes, name: str = "sentencepiece.bpe.model", **config: Any) -> Tokenizer:
    (folder / name).write_bytes(model)
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return Tokenizer.load(folder)


def reference(model: bytes) -> Model:
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def assert_same(ours: Tokenizer, theirs: Model, ids: Callable[[int], int], count: int = 150) -> None:
    """The ids of each sentence are those of the package, renumbered, and so is the text that they spell."""
    for text in sentences(count):
        expected = theirs.encode(text)
        encoded = ours.encode(text)
        assert encoded == [ids(i) for i in expected], repr(text)
        known = [i for i in expected if i != theirs.unk_id()]
        assert ours.decode([ids(i) for i in known]).strip() == theirs.decode(known).strip(), repr(text)


def fairseq(i: int) -> int:
    return {0: 3, 1: 0, 2: 2}.get(i, i + 1)


OPTIONS = {
    "unigram": {},
    "unigram_nfkc_cf": {"normalization_rule_name": "nmt_nfkc_cf"},
    "unigram_unnormalized": {"normalization_rule_name": "identity"},
    "unigram_no_prefix": {"add_dummy_prefix": False},
    "unigram_all_spaces": {"remove_extra_whitespaces": False},
    "unigram_bytes": {"byte_fallback": True, "vocab_size": 640},
    "unigram_symbols": {"user_defined_symbols": "<sep>,fox"},
    "bpe": {"model_type": "bpe"},
    "bpe_bytes": {"model_type": "bpe", "byte_fallback": True, "vocab_size": 640},
}


@pytest.mark.parametrize("case", OPTIONS)
def test_every_kind_of_model_splits_texts_as_the_package_does(case: str, train, tmp_path: Path) -> None:
    model = train(**OPTIONS[case])
    ours = load(tmp_path, model, "spiece.model", tokenizer_class="BertGenerationTokenizer")
    assert_same(ours, reference(model), lambda i: i, count=2000 if case == "unigram" else 200)


@pytest.mark.parametrize("rules", ["nmt_nfkc", "nfkc_cf", "identity"])
def test_decomposed_letters_are_composed_as_the_package_does(rules, train, tmp_path) -> None:
    model = train(normalization_rule_name=rules)
    ours, theirs = load(tmp_path, model, "spiece.model", tokenizer_class="BertGenerationTokenizer"), reference(model)
    for text in ("Tiếng Việt", "빠른 갈색 여우가", "Ǟ ḝ தமிழ் மொழி", *sentences(100, odd=0)):
        decomposed = unicodedata.normalize("NFD", text)
        assert ours.encode(decomposed) == theirs.encode(decomposed), ascii(decomposed)


def test_half_width_kana_are_composed_as_the_package_does(train, tmp_path) -> None:
    model = train(**OPTIONS["unigram_bytes"])
    ours, theirs = load(tmp_path, model, "spiece.model", tokenizer_class="BertGenerationTokenizer"), reference(model)
    for text in ("ｶﾞｷﾞ ﾊﾟｰﾄ", "ｳﾞ ｱﾞ ﾞｶ", "ガ ギ"):
        assert ours.encode(text) == theirs.encode(text), ascii(text)


def test_a_model_file_is_parsed_as_by_the_package(train) -> None:
    content = train(user_defined_symbols="<sep>")
    ours, theirs = SentencePieceModel.parse(content), reference(content)
    assert len(ours.pieces) == theirs.get_piece_size() and ours.unk_id == theirs.unk_id()
    for number, piece in enumerate(ours.pieces):
        assert (piece.text, piece.score) == (theirs.id_to_piece(number), theirs.get_score(number))
    kinds = {piece.text: piece.kind for piece in ours.pieces}
    assert (kinds["<unk>"], kinds["<s>"], kinds["<sep>"]) == (2, 3, 4)


@pytest.mark.parametrize(
    ("kind", "tail", "around"),
    [
        ("XLMRobertaTokenizer", ("<mask>",), ("<s>", "</s>")),
        ("MBartTokenizer", (*MBART_LANGUAGES, "<mask>"), ("", "</s> en_XX")),
        ("MBart50Tokenizer", (*MBART50_LANGUAGES, "<mask>"), ("en_XX", "</s>")),
        ("mbart50", (*MBART50_LANGUAGES, "<mask>"), ("en_XX", "</s>")),
        ("PLBartTokenizer", ("__java__", "__python__", "__en_XX__", "<mask>"), ("", "</s>")),
        ("XGLMTokenizer", tuple(f"<madeupword{n}>" for n in range(7)), ("</s>", "")),
    ],
)
def test_ids_of_the_fairseq_families_start_with_four_special_tokens(
    kind: str, tail, around, train, tmp_path: Path
) -> None:
    model = train()
    ours, theirs = load(tmp_path, model, tokenizer_class=kind), reference(model)
    assert_same(ours, theirs, fairseq)
    first = theirs.get_piece_size() + 1
    assert [ours.backend.token_to_id(token) for token in tail] == [first + n for n in range(len(tail))]
    assert ours.vocabulary_size == first + len(tail)
    before, after = ([ours.backend.token_to_id(word) for word in side.split()] for side in around)
    assert ours.encode("fox", special=True) == [*before, *ours.encode("fox"), *after]
    assert tuple(ours.languages) == tuple(token for token in tail if token in MBART50_LANGUAGES)
    assert (ours.bos_id, ours.pad_id, ours.eos_id, ours.unk_id) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("config", "languages", "last"),
    [
        ({"tokenizer_class": "mbart50", "decoder": {"model_type": "mbart"}}, 52, "<mask>"),
        ({"decoder": {"model_type": "mbart"}, "encoder": {"model_type": "wav2vec2"}}, 25, "<mask>"),
        ({"model_type": "xlm-roberta"}, 0, "<mask>"),
        ({"decoder": {"model_type": "xglm"}}, 0, "<madeupword6>"),
        ({"model_type": "unheard-of"}, 0, "<mask>"),
    ],
)
def test_the_model_type_is_used_if_there_is_no_tokenizer_class(
    config, languages: int, last: str, train, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours = load(tmp_path, train())
    assert len(ours.languages) == languages
    assert ours.backend.token_to_id(last) == ours.vocabulary_size - 1


def test_xlm_r_encodes_as_in_transformers(train, tmp_path: Path) -> None:
    pytest.importorskip("google.protobuf")
    from transformers import XLMRobertaTokenizer

    ours = load(tmp_path, train(), tokenizer_class="XLMRobertaTokenizer")
    theirs = XLMRobertaTokenizer.from_pretrained(tmp_path)
    for text in sentences(60, odd=0):
        ids = theirs(text.strip()).input_ids
        assert ours.encode(text.strip(), special=True) == ids
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


def test_the_source_language_of_the_files_is_added_to_the_text(train, tmp_path: Path) -> None:
    ours = load(tmp_path, train(), tokenizer_class="MBart50Tokenizer", src_lang="de_DE")
    assert ours.encode("fox", special=True)[0] == ours.languages["de_DE"]


def test_nllb_takes_its_tags_from_the_files(train, tmp_path: Path) -> None:
    model, tags = train(), ["ace_Arab", "deu_Latn", "eng_Latn"]
    ours = load(tmp_path, model, tokenizer_class="NllbTokenizer", additional_special_tokens=tags)
    first = reference(model).get_piece_size() + 1
    assert ours.languages == {tag: first + n for n, tag in enumerate(tags)}
    assert ours.mask_id == first + 3
    assert ours.encode("", special=True) == [ours.languages["eng_Latn"], 2]


def test_plbart_may_know_more_languages(train, tmp_path: Path) -> None:
    model = train()
    ours = load(tmp_path, model, tokenizer_class="PLBartTokenizer", language_codes="multi")
    assert ours.backend.token_to_id("__go__") == reference(model).get_piece_size() + 7
    assert ours.mask_id is None


def test_camembert_keeps_its_unused_specials(train, tmp_path: Path) -> None:
    model = train()
    ours, theirs = load(tmp_path, model, tokenizer_class="CamembertTokenizer"), reference(model)
    assert_same(ours, theirs, lambda i: 3 if i == 0 else i + 4)
    assert ours.encode("fox", special=True) == [5, *ours.encode("fox"), 6]
    assert (ours.pad_id, ours.mask_id) == (1, theirs.get_piece_size() + 4)


def test_pegasus_ids_start_after_its_hundred_masks(train, tmp_path: Path) -> None:
    model = train(pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    ours, theirs = load(tmp_path, model, "spiece.model", tokenizer_class="PegasusTokenizer"), reference(model)
    assert_same(ours, theirs, lambda i: i + 103)
    assert ours.encode("fox", special=True) == [*ours.encode("fox"), 1]
    assert (ours.pad_id, ours.eos_id, ours.unk_id) == (0, 1, 105)
    assert [ours.backend.token_to_id(name) for name in ("<mask_1>", "<mask_2>", "<unk_2>", "<unk_102>")] == [
        2,
        3,
        4,
        104,
    ]


def test_rembert_adds_cls_and_sep(train, tmp_path: Path) -> None:
    model = train(pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols="[CLS],[SEP],[MASK]")
    ours = load(tmp_path, model, "sentencepiece.model", tokenizer_class="RemBertTokenizer")
    assert_same(ours, reference(model), lambda i: i)
    ids = [ours.backend.token_to_id(name) for name in ("[CLS]", "[SEP]")]
    assert ours.encode("fox", special=True) == [ids[0], *ours.encode("fox"), ids[1]]
    assert (ours.cls_id, ours.sep_id) == tuple(ids)


def test_gpt_sw3_normalizes_to_nfc_first(train, tmp_path: Path) -> None:
    model = train(model_type="bpe", normalization_rule_name="identity")
    ours, theirs = load(tmp_path, model, "spiece.model", tokenizer_class="GPTSw3Tokenizer"), reference(model)
    assert ours.encode("Cafe\u0301", special=True) == theirs.encode("Café") != theirs.encode("Cafe\u0301")


def write_marian(folder: Path, target: bytes, source: bytes, *, without: tuple[str, ...] = ()) -> dict[str, int]:
    models = reference(target), reference(source)
    pieces = [model.id_to_piece(n) for model in models for n in range(3, model.get_piece_size())]
    tokens = dict.fromkeys(["</s>", "<unk>", *(piece for piece in pieces if piece not in without), "<pad>"])
    ids = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(ids))
    (folder / "source.spm").write_bytes(source)
    (folder / "target.spm").write_bytes(target)
    (folder / "tokenizer_config.json").write_text('{"source_lang": "en", "target_lang": "de"}')
    (folder / "config.json").write_text('{"model_type": "marian"}')
    return ids


def test_marian_writes_with_the_target_model_and_the_ids_of_its_vocabulary(train, tmp_path: Path) -> None:
    target = train(vocab_size=380)
    theirs = reference(target)
    missing = tuple(theirs.id_to_piece(n) for n in range(200, 240))
    ids = write_marian(tmp_path, target, train(), without=missing)
    ours = Tokenizer.load(tmp_path)
    for text in sentences(200):
        expected = [ids.get(piece, ids["<unk>"]) for piece in theirs.encode(text, out_type=str)]
        assert ours.encode(text) == expected, text
    text = "The lazy dog"
    known = [i for i in ours.encode(text) if i != ids["<unk>"]]
    assert ours.decode(known) == theirs.decode([theirs.id_to_piece(theirs.piece_to_id(_name(ids, i))) for i in known])
    assert ours.encode(text, special=True)[-1] == ours.eos_id == 0
    assert (ours.pad_id, ours.vocabulary_size) == (len(ids) - 1, len(ids))
    assert (ours.bos_id, ours.cls_id) == (None, None)


def _name(ids: dict[str, int], wanted: int) -> str:
    return next(token for token, number in ids.items() if number == wanted)


def test_a_marian_vocabulary_survives_saving(train, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    write_marian(old, train(vocab_size=380), train(), without=("▁the",))
    before = Tokenizer.load(old)
    before.save(new)
    (new / "config.json").write_text('{"decoder": {"model_type": "marian"}}')
    after = Tokenizer.load(new)
    assert [after.encode(text) for text in sentences(30)] == [before.encode(text) for text in sentences(30)]
    assert after.vocabulary_size == before.vocabulary_size


def test_bartpho_has_only_the_pieces_in_its_list(train, tmp_path: Path) -> None:
    model = train()
    theirs = reference(model)
    listed = [theirs.id_to_piece(n) for n in range(3, theirs.get_piece_size(), 2)]
    (tmp_path / "dict.txt").write_text("".join(f"{piece} 1\n" for piece in listed))
    ours = load(tmp_path, model, tokenizer_class="BartphoTokenizer")
    ids = {piece: 4 + n for n, piece in enumerate(listed)}
    for text in sentences(200):
        assert ours.encode(text) == [ids.get(piece, 3) for piece in theirs.encode(text, out_type=str)], text
    assert (ours.mask_id, ours.vocabulary_size) == (4 + len(listed), 5 + len(listed))


def test_a_rebuilt_tokenizer_reads_the_same_from_its_tokenizer_json(train, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    before = load(old, train(), tokenizer_class="MBart50Tokenizer")
    before.save(new)
    assert (new / "tokenizer.json").exists() and (new / "sentencepiece.bpe.model").exists()
    after = Tokenizer.load(new)
    assert after.languages == before.languages
    assert [after.encode(text) for text in sentences(50)] == [before.encode(text) for text in sentences(50)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 pieces"),
        (b"\x0a\xff", "no number|in the middle"),
        (b"\x0a\x05abc", "in the middle of a field"),
        (b"\x0b", "a field of kind 3"),
        (b"\xff" * 12, "no number"),
        (b"\x0a\x02\x0a\xff", "no number|in the middle"),
        (b"\x0a\x03\x0a\x01\xff", "utf-8"),
        (b"\x0a\x03\x0a\x01a\x12\x02\x18\x03", "a unigram or a byte-pair model"),
        (b"\x0a\x03\x0a\x01a\x12\x03\xc0\x02\x09", "the unknown one is number 9"),
        (b"\x0a\x02\x08\x01", "a number where text is needed"),
        (b"\x0a\x03\x0a\x01a\x1a\x04\x12\x02zz", "must be a sentencepiece model"),
    ],
)
def test_a_damaged_model_is_one_sentence(content: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        load(tmp_path, content, "spiece.model", tokenizer_class="BertGenerationTokenizer")
    assert "\n" not in caught.value.message


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_mutated_model_is_read_or_refused(train, tmp_path_factory: pytest.TempPathFactory, data) -> None:
    content = bytearray(train())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.getbasetemp() / "mutated"
    folder.mkdir(exist_ok=True)
    try:
        load(folder, bytes(content), "spiece.model", tokenizer_class="BertGenerationTokenizer").encode("The fox")
    except ModelError as error:
        assert "\n" not in error.message


def test_a_vocabulary_with_gaps_is_refused(train, tmp_path: Path) -> None:
    write_marian(tmp_path, train(), train())
    (tmp_path / "vocab.json").write_text('{"<unk>": 0, "a": 2}')
    with pytest.raises(ModelError, match="must number its tokens from 0"):
        Tokenizer.load(tmp_path)
