"""The vocabularies of CTC heads, against transformers' Wav2Vec2CTCTokenizer."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2PhonemeCTCTokenizer

from speechcli.errors import ModelError
from speechcli.text.tokenizer import Tokenizer

TOKENS = ["<pad>", "<s>", "</s>", "<unk>", "|", "A", "B", "C", "'", "Ch", "É"]


def write(folder: Path, tokens: list[str] = TOKENS, **config: Any) -> Wav2Vec2CTCTokenizer:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: id_ for id_, token in enumerate(tokens)}))
    theirs = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), **config)
    theirs.save_pretrained(folder)
    return theirs


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "lower": {"do_lower_case": True},
    "space": {"replace_word_delimiter_char": "_"},
    "lower, tokens of several letters": {"tokens": [*TOKENS, "sch", "ng", "ß"], "do_lower_case": True},
    "brackets": {"tokens": ["[PAD]", "[UNK]", " ", *"abc"], "pad_token": "[PAD]", "unk_token": "[UNK]",
                 "word_delimiter_token": " ", "bos_token": None, "eos_token": None},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_ctc_path_is_decoded_as_in_transformers(case: str, tmp_path: Path) -> None:
    theirs = write(tmp_path, **CASES[case])
    ours = Tokenizer.load(tmp_path)
    assert ours.pad_id == theirs.pad_token_id
    choice = random.Random(3)
    for _ in range(100):
        path = [choice.randrange(13) for _ in range(choice.randrange(10))]  # two ids beyond the vocabulary
        for skip in (False, True):
            assert ours.decode(path, skip_special=skip).strip() == theirs.decode(path, skip_special_tokens=skip), path


@pytest.mark.parametrize("case", CASES)
def test_a_text_has_the_ids_of_transformers(case: str, tmp_path: Path) -> None:
    theirs = write(tmp_path, **CASES[case])
    ours = Tokenizer.load(tmp_path)
    for text in ("", "a b c", "ABC'  x", "É ÉA", "sch ch ngb", "İı ß ΑΣ"):
        assert ours.encode(text) == theirs(text).input_ids


@pytest.mark.parametrize("delimiter", [None, "|"])
def test_a_ctc_path_of_phonemes_is_decoded_as_in_transformers(delimiter: str | None, tmp_path: Path) -> None:
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "ð", "ə", "k", "aː", "t͡ʃ", "|"]
    (tmp_path / "vocab.json").write_text(json.dumps({token: id_ for id_, token in enumerate(tokens)}))
    theirs = Wav2Vec2PhonemeCTCTokenizer(
        str(tmp_path / "vocab.json"), word_delimiter_token=delimiter, do_phonemize=False
    )
    theirs.save_pretrained(tmp_path)
    ours = Tokenizer.load(tmp_path)
    choice = random.Random(5)
    for _ in range(100):
        path = [choice.randrange(12) for _ in range(1 + choice.randrange(10))]
        assert ours.decode(path, skip_special=False).strip() == theirs.decode(path), path
    assert ours.encode("ð ə t͡ʃ  k x") == theirs("ð ə t͡ʃ  k x").input_ids


def test_folders_of_2020_have_no_tokenizer_class_and_no_list_of_added_tokens(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(json.dumps({token: id_ for id_, token in enumerate(TOKENS)}))
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": "<pad>", "unk_token": "<unk>"}')
    assert Tokenizer.load(tmp_path).decode([5, 5, 0, 5, 4, 6, 12], skip_special=False) == "AA B<unk>"


def test_a_saved_vocabulary_decodes_the_same(tmp_path: Path) -> None:
    write(tmp_path / "a", do_lower_case=True)
    Tokenizer.load(tmp_path / "a").save(tmp_path / "b")
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == ["tokenizer_config.json", "vocab.json"]
    assert Tokenizer.load(tmp_path / "b").decode([5, 4, 10], skip_special=False) == "a é"


def test_the_vocabulary_of_the_given_language_is_used(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps({"deu": {"<pad>": 0, "ß": 1}, "eng": {"<pad>": 0, "a": 1}}))
    config = json.loads((tmp_path / "tokenizer_config.json").read_text()) | {"added_tokens_decoder": {}}
    for language, text in (("deu", "ß"), ("eng", "a")):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"target_lang": language}))
        assert Tokenizer.load(tmp_path).decode([1], skip_special=False) == text
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="must have a vocabulary for the language .*None, but has those of deu, eng"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("file", "key", "value", "words"),
    [
        ("vocab.json", "A", -1, "map tokens to ids"),
        ("vocab.json", "A", 2**40, "map tokens to ids"),
        ("vocab.json", "A", True, "map tokens to ids"),
        ("tokenizer_config.json", "replace_word_delimiter_char", None, "must be valid"),
        ("tokenizer_config.json", "word_delimiter_token", "\ud800", "must be valid"),
        ("tokenizer_config.json", "pad_token", "\ud800", "must be valid"),
    ],
)
def test_invalid_values_of_a_vocabulary_are_refused(file: str, key: str, value: object, words: str, tmp_path) -> None:
    write(tmp_path)
    content = json.loads((tmp_path / file).read_text())
    (tmp_path / file).write_text(json.dumps(content | {key: value}))
    with pytest.raises(ModelError, match=words) as caught:
        Tokenizer.load(tmp_path)
    assert "\n" not in caught.value.message
