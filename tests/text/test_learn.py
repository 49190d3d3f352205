import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechcli.errors import UsageError
from speechcli.text.learn import learn_vocabulary
from speechcli.text.tokenizer import Tokenizer

TEXTS = ["one two two", "two three", "Two, 22 trees!"]


def learn(folder, texts=TEXTS, size=60, **options):
    for name, content in learn_vocabulary(texts, size, **options).items():
        (folder / name).write_bytes(content)
    return Tokenizer.load(folder)


def pieces(tokenizer, text):
    return [tokenizer.backend.id_to_token(token) for token in tokenizer.encode(text)]


def test_frequent_words_become_one_piece_and_rare_ones_stay_characters(tmp_path):
    tokenizer = learn(tmp_path, ["two"] * 9 + ["tow"], size=11)
    assert pieces(tokenizer, "two tow") == ["▁two", "▁t", "o", "w"]


def test_punctuation_marks_and_digits_are_tokens_of_their_own(tmp_path):
    assert pieces(learn(tmp_path, ["two, 22!"] * 9), "two, 22!") == ["▁two", ",", "▁", "2", "2", "!"]


@given(st.lists(st.lists(st.sampled_from("abcàé'.7Ж"), min_size=1).map("".join), min_size=1, max_size=5))
def test_training_texts_are_encoded_and_decoded_without_loss(tmp_path_factory, words):
    text = " ".join(words)
    tokenizer = learn(tmp_path_factory.mktemp("learned"), [text])
    assert tokenizer.unk_id not in tokenizer.encode(text)
    assert tokenizer.decode(tokenizer.encode(f"  {text} ".replace(" ", "\t "))) == text


def test_letters_with_accents_are_one_character_however_they_are_written(tmp_path):
    tokenizer = learn(tmp_path, ["é"])
    assert tokenizer.encode(unicodedata.normalize("NFD", "é")) == tokenizer.encode("é")


def test_lowercase_writes_without_capitals(tmp_path):
    tokenizer = learn(tmp_path, lowercase=True)
    assert tokenizer.decode(tokenizer.encode("TWO Trees")) == "two trees"


def test_the_special_tokens_have_their_roles(tmp_path):
    tokenizer = learn(tmp_path)
    assert (tokenizer.bos_id, tokenizer.pad_id, tokenizer.end_id, tokenizer.unk_id) == (0, 1, 2, 3)
    assert tokenizer.languages == {}


def test_language_tags_follow_all_pieces(tmp_path):
    tokenizer = learn(tmp_path, languages=["de", "mdw"])
    last = tokenizer.vocabulary_size - 1
    assert tokenizer.languages == {"de_XX": last - 1, "mdw_XX": last}


def test_the_size_includes_special_tokens(tmp_path):
    assert learn(tmp_path, ["abcabc " * 9], size=12, languages=["de", "en"]).vocabulary_size == 12
    assert learn(tmp_path, ["a"], size=99).vocabulary_size < 10


def test_a_size_without_room_for_the_characters_is_refused():
    with pytest.raises(UsageError, match="at least 8 tokens .* size is 7"):  # four special ones, a, b, c and ▁
        learn_vocabulary(["abc"], 7)


def test_transformers_reads_the_same_tokens(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = learn(tmp_path, languages=["de", "en"])
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs(TEXTS[2])["input_ids"] == [*tokenizer.encode(TEXTS[2]), tokenizer.end_id]
    assert theirs.decode(theirs(TEXTS[2])["input_ids"], skip_special_tokens=True) == TEXTS[2]
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["eos_token"] == theirs.eos_token
