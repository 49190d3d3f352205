import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from speechcli.errors import ModelError
from speechcli.text.tokenizer import Tokenizer
from speechcli.text.vocabulary import has_tokenizer

from .sentences import sentences
from .vocabularies import NASTY, write_bart, write_bert, write_gpt2, write_json, write_whisper

TAGS = ["en_XX", "de_DE", "zh_CN"]


def write_mbart(folder: Path, **config: Any) -> Path:
    """Write tokenizer.json in the manner of mBART-50: unigram pieces, then language tags as added special tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("▁a", -1.0), ("b", -1.0)]
    backend = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=3))
    backend.normalizer = normalizers.Strip(left=False, right=True)
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", *TAGS, "<mask>"])
    backend.post_processor = processors.TemplateProcessing(
        single="en_XX $A </s>", special_tokens=[("en_XX", 7), ("</s>", 2)]
    )
    backend.enable_truncation(2)
    backend.enable_padding(length=9)
    backend.save(str(folder / "tokenizer.json"))
    if config:
        write_json(folder / "tokenizer_config.json", config)
    return folder


CASES = {
    "bert": (write_bert, "BertTokenizer", {"do_lower_case": True}),
    "bert_cased": (write_bert, "BertTokenizer", {"do_lower_case": False}),
    "bert_accents": (write_bert, "BertTokenizer", {"do_lower_case": True, "strip_accents": False}),
    "bert_no_chinese": (write_bert, "BertTokenizer", {"tokenize_chinese_chars": False}),
    "bert_clean_up": (write_bert, "BertTokenizer", {"clean_up_tokenization_spaces": True}),
    "gpt2": (write_gpt2, "GPT2Tokenizer", {}),
    "gpt2_prefix": (write_gpt2, "GPT2Tokenizer", {"add_prefix_space": True}),
    "roberta": (write_bart, "RobertaTokenizer", {}),
    "roberta_prefix": (write_bart, "RobertaTokenizer", {"add_prefix_space": True}),
    "bart": (write_bart, "BartTokenizer", {}),
    "bart_clean_up": (write_bart, "BartTokenizer", {"clean_up_tokenization_spaces": True}),
}


@pytest.mark.parametrize("case", CASES)
def test_older_vocabulary_files_give_the_ids_and_texts_of_transformers(case: str, tmp_path: Path) -> None:
    import transformers

    write, class_name, config = CASES[case]
    write(tmp_path, tokenizer_class=class_name, **config)
    theirs = getattr(transformers, class_name).from_pretrained(tmp_path)
    ours = Tokenizer.load(tmp_path)
    for text in [*NASTY, *sentences(120)]:
        ids = theirs(text, add_special_tokens=False)["input_ids"]
        wrapped = theirs(text)["input_ids"]
        assert ours.encode(text) == ids, text
        assert ours.encode(text, special=True) == wrapped, text
        assert ours.decode(wrapped) == theirs.decode(wrapped, skip_special_tokens=True), text
        assert ours.decode(wrapped, skip_special=False) == theirs.decode(wrapped), text
    for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        assert getattr(ours, f"{role}_id") == getattr(theirs, f"{role}_token_id"), role
    assert ours.vocabulary_size == len(theirs)


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ("bert", {"do_lower_case": False}),
        ("bert_cased", {"do_lower_case": True}),
        ("bert", {"strip_accents": False}),
        ("bert", {"tokenize_chinese_chars": False, "tokenizer_class": None}),
        ("gpt2", {"add_prefix_space": True}),
        ("bart", {"add_prefix_space": True}),
        ("gpt2_prefix", {"add_prefix_space": False}),
    ],
)
def test_options_of_the_config_override_those_of_tokenizer_json(
    case: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    import transformers

    write, class_name, config = CASES[case]
    folder = write(tmp_path / "tokenizer", tokenizer_class=class_name, **config)
    Tokenizer.load(folder).save(folder)
    config = {"tokenizer_class": class_name, **config, **changes}
    write_json(folder / "tokenizer_config.json", {key: each for key, each in config.items() if each is not None})
    write_json(folder / "config.json", {"model_type": class_name.removesuffix("Tokenizer").lower()})
    ours, theirs = Tokenizer.load(folder), transformers.AutoTokenizer.from_pretrained(folder)
    for text in NASTY:
        assert ours.encode(text) == theirs(text, add_special_tokens=False).input_ids


def test_blenderbot_adds_a_space_before_and_an_end_token_after_the_text(tmp_path: Path) -> None:
    import transformers

    ours = Tokenizer.load(write_bart(tmp_path, tokenizer_class="BlenderbotTokenizer"))
    theirs = transformers.BlenderbotTokenizer.from_pretrained(tmp_path)
    for text in NASTY:
        ids = theirs(text, add_special_tokens=False)["input_ids"]
        assert ours.encode(text) == ids, text
        assert ours.encode(text, special=True) == [*ids, 2], text


@pytest.mark.parametrize("case", ["bert", "gpt2", "bart"])
def test_a_rebuilt_tokenizer_is_saved_with_its_files_and_reads_the_same(case: str, tmp_path: Path) -> None:
    write, class_name, config = CASES[case]
    folder = write(tmp_path / "old", tokenizer_class=class_name, **config)
    before = Tokenizer.load(folder)
    before.save(tmp_path / "new")
    old = {path.name: path.read_bytes() for path in folder.iterdir()}
    new = {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    assert set(new) - set(old) == {"tokenizer.json"}
    assert {name: new[name] for name in old} == old
    after = Tokenizer.load(tmp_path / "new")
    assert after.vocabulary_size == before.vocabulary_size
    for text in NASTY:
        assert after.encode(text, special=True) == before.encode(text, special=True)
        assert after.decode(after.encode(text)) == before.decode(before.encode(text))


def test_tokenizer_json_is_saved_byte_for_byte(tmp_path: Path) -> None:
    folder = write_mbart(tmp_path / "old", additional_special_tokens=TAGS, unknown_key=1)
    Tokenizer.load(folder).save(tmp_path / "new")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "new" / name).read_bytes() == (folder / name).read_bytes()


def test_whispers_vocabulary_has_tags_tasks_and_times(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_whisper(tmp_path))
    assert (tokenizer.languages, tokenizer.tasks) == ({"en": 8, "de": 9}, {"translate": 10, "transcribe": 11})
    assert (tokenizer.start_id, tokenizer.no_timestamps_id, tokenizer.end_id) == (7, 12, 6)
    assert tokenizer.decode([7, 9, 11, 13, *tokenizer.encode("ab"), 14, 6]) == "ab"


def test_whispers_english_vocabulary_only_writes_english(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_whisper(tmp_path, words=50_256))
    assert (tokenizer.start_id, tokenizer.languages, tokenizer.tasks) == (50_257, {"en": 50_258}, {})


def test_truncation_and_padding_left_in_the_file_are_switched_off(tmp_path: Path) -> None:
    assert Tokenizer.load(write_mbart(tmp_path)).encode("ab ab ab") == [5, 6, 5, 6, 5, 6]


def test_language_tags_are_the_added_special_tokens_that_look_like_one(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_mbart(tmp_path))
    assert tokenizer.languages == {"en_XX": 7, "de_DE": 8, "zh_CN": 9}
    assert tokenizer.vocabulary_size == 11


def test_nllb_tags_from_the_config_are_languages_and_are_skipped_in_decoding(tmp_path: Path) -> None:
    folder = write_mbart(tmp_path, extra_special_tokens=["deu_Latn", "<b>"])
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.languages["deu_Latn"] == 11
    assert tokenizer.decode([11, 5, 6, 2]) == "ab"
    assert tokenizer.decode([11, 5, 6, 2], skip_special=False) == "deu_Latn ab</s>"


def test_labels_of_bert_end_with_sep(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_bert(tmp_path))
    assert tokenizer.encode("Hello world") == [5, 6]
    assert (tokenizer.eos_id, tokenizer.end_id) == (None, 3)


def test_labels_of_gpt2_end_with_endoftext(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_gpt2(tmp_path))
    end = tokenizer.eos_id
    assert tokenizer.end_id == end
    assert (tokenizer.bos_id, tokenizer.unk_id, tokenizer.pad_id) == (end, end, None)


def test_labels_of_bart_lose_the_start(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_bart(tmp_path))
    assert [*tokenizer.encode("hello"), tokenizer.end_id] == tokenizer.encode("hello", special=True)[1:]


def test_ordinary_entries_can_take_the_roles_of_special_tokens(tmp_path: Path) -> None:
    # The German GPT-2 fine-tune on the Hub: bos `~`, pad `_`, and an end token behind the vocabulary.
    folder = write_gpt2(tmp_path)
    vocabulary = json.loads((folder / "vocab.json").read_text())
    del vocabulary["<|endoftext|>"]
    write_json(folder / "vocab.json", vocabulary)
    end = len(vocabulary)
    write_json(folder / "added_tokens.json", {"<|endoftext|>": end})
    roles = {"bos_token": "~", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "_"}
    write_json(folder / "special_tokens_map.json", roles)
    tokenizer = Tokenizer.load(folder)
    assert (tokenizer.bos_id, tokenizer.pad_id) == (vocabulary["~"], vocabulary["_"])
    assert (tokenizer.eos_id, tokenizer.unk_id, tokenizer.vocabulary_size) == (end, end, end + 1)
    assert tokenizer.decode([*tokenizer.encode("hello"), vocabulary["_"], end]) == "hello"


def test_added_tokens_of_the_config_keep_their_ids_and_flags(tmp_path: Path) -> None:
    entries = {
        "32": {"content": "<two>", "special": True},
        "31": {"content": "one", "lstrip": True, "normalized": False, "special": False},
    }
    tokenizer = Tokenizer.load(write_bert(tmp_path, added_tokens_decoder=entries))
    assert tokenizer.encode("hello one<two>") == [5, 31, 32]
    assert tokenizer.decode([5, 31, 32]) == "hello one"


def test_an_added_token_with_another_id_than_its_place_is_refused(tmp_path: Path) -> None:
    folder = write_bert(tmp_path, added_tokens_decoder={"90": {"content": "<x>", "special": True}})
    with pytest.raises(ModelError, match="`<x>` must have id 90, but .* gives it 31"):
        Tokenizer.load(folder)


def test_a_role_that_the_config_sets_to_null_is_empty(tmp_path: Path) -> None:
    assert Tokenizer.load(write_bart(tmp_path, pad_token=None)).pad_id is None


def test_mask_takes_the_space_before_it(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_bart(tmp_path))
    assert tokenizer.encode("hello <mask>") == [*tokenizer.encode("hello"), tokenizer.mask_id]


def test_without_a_class_bart_and_gpt2_are_distinguished_by_their_vocabularies(tmp_path: Path) -> None:
    bart = Tokenizer.load(write_bart(tmp_path / "bart"))
    gpt2 = Tokenizer.load(write_gpt2(tmp_path / "gpt2"))
    assert bart.encode("", special=True) == [0, 2]
    assert gpt2.encode("", special=True) == []


def test_a_tokenizer_can_be_sent_to_another_process(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_mbart(tmp_path))
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert (copy.encode("ab"), copy.languages) == ([5, 6], tokenizer.languages)


def test_ids_outside_the_vocabulary_are_ignored_in_decoding(tmp_path: Path) -> None:
    assert Tokenizer.load(write_mbart(tmp_path)).decode([5, 6, 999]) == "ab"


def test_a_tokenizer_without_an_end_is_refused_when_labels_are_made(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_mbart(tmp_path, eos_token=None, sep_token=None))
    with pytest.raises(ModelError, match="neither eos nor sep"):
        _ = tokenizer.end_id


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "must contain tokenizer files, but has none"),
        ({"tokenizer.json": "{"}, "must be a tokenizer file, but"),
        ({"tokenizer.json": '{"version": "1.0"}'}, "must be a tokenizer file, but"),
        ({"vocab.txt": "a\n", "tokenizer_config.json": "{"}, "must be a JSON file, but"),
        ({"vocab.txt": "a\n", "tokenizer_config.json": "[]"}, "must contain a JSON object, but contains a list"),
        ({"vocab.txt": "a\n"}, r"must have \[UNK\], \[CLS\], \[SEP\], but lacks"),
        ({"merges.txt": "a b"}, "must be of a supported kind, but .* has merges.txt"),
        ({"sentencepiece.bpe.model": "x"}, "sentencepiece.bpe.model` must be a sentencepiece model, but"),
        ({"vocab.json": '{"a": 0}', "merges.txt": "a b c\n"}, "Line 1 .* must have two symbols, but is 'a b c'"),
        ({"vocab.json": '{"a": 0}', "merges.txt": "a b\n"}, "must be a byte-pair encoding, but"),
        ({"vocab.json": '{"a": "x"}', "merges.txt": ""}, "must be a byte-pair encoding, but"),
        (
            {"vocab.json": "{}", "merges.txt": "", "tokenizer_config.json": '{"tokenizer_class": "BartTokenizer"}'},
            "must have <s> and </s>, but lacks",
        ),
        (
            {"vocab.json": "{}", "tokenizer_config.json": '{"tokenizer_class": "LlamaTokenizer"}'},
            "needs `LlamaTokenizer`; supported are",
        ),
        ({"vocab.txt": "a\n", "added_tokens.json": '{"x": "y"}'}, "must have"),
        (
            {"vocab.txt": "[UNK]\n[CLS]\n[SEP]\n", "special_tokens_map.json": '{"additional_special_tokens": 5}'},
            "`additional_special_tokens` .* must be a list, but is 5",
        ),
    ],
)
def test_missing_or_damaged_files_are_one_sentence(files: dict[str, str], message: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelError, match=message):
        Tokenizer.load(tmp_path)


def change_mbart(folder: Path, change: Any) -> None:
    path = write_mbart(folder) / "tokenizer.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_a_tokenizer_file_that_adds_unknown_special_tokens_is_refused(tmp_path: Path) -> None:
    change_mbart(tmp_path, lambda value: value["post_processor"]["special_tokens"].pop("</s>"))
    with pytest.raises(ModelError, match="must be a tokenizer file, but"):
        Tokenizer.load(tmp_path)


def test_a_text_that_cannot_be_encoded_is_one_sentence(tmp_path: Path) -> None:
    change_mbart(tmp_path, lambda value: value["model"].update(unk_id=None))
    with pytest.raises(ModelError, match="must be able to encode 'ü', but: .*unk_id"):
        Tokenizer.load(tmp_path).encode("ü")


def test_added_tokens_must_be_tokens_with_ids(tmp_path: Path) -> None:
    folder = write_bert(tmp_path, added_tokens_decoder={"x": {}})
    with pytest.raises(ModelError, match="must be tokens with ids"):
        Tokenizer.load(folder)


def test_has_tokenizer_detects_vocabularies_but_not_configs(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert not has_tokenizer(tmp_path)
    (tmp_path / "spiece.model").write_bytes(b"")
    assert has_tokenizer(tmp_path)
