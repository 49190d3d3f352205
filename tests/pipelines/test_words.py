import math

import pytest
import torch

from speechcli.pipelines.recognition.words import WordAligner, spell
from speechcli.text.characters import Characters

from .tiny_model import make_tokenizer

PIECES = {0: "", 2: "", 10: " a", 11: "b", 12: " c", 13: "ö"}


def decode(ids):
    return "".join(PIECES[each] for each in ids).strip()


def test_pieces_make_words_and_tags_belong_to_none():
    assert spell(decode, [0, 10, 11, 12, 2]) == [("ab", (1, 2)), ("c", (3,))]
    assert spell(decode, []) == []


def test_without_spaces_each_piece_is_a_word():
    assert spell(decode, [0, 10, 11, 12], spaced=False) == [("a", (1,)), ("b", (2,)), ("c", (3,))]


def test_words_of_a_real_tokenizer_are_those_of_its_text(tmp_path):
    tokenizer = make_tokenizer(tmp_path)
    ids = [21, *tokenizer.encode("ab cde f"), 2]
    assert [word for word, _ in spell(tokenizer.decode, ids)] == ["ab", "cde", "f"]
    assert sum(len(places) for _, places in spell(tokenizer.decode, ids)) >= 6


def test_a_letter_of_several_bytes_belongs_to_the_token_that_completes_it():
    def bytes_to_text(ids):
        return bytes(ids).decode("utf-8", "replace")

    assert spell(bytes_to_text, list("é x".encode())) == [("é", (1,)), ("x", (3,))]


def test_a_word_lasts_from_its_first_token_to_its_last_and_is_as_sure_as_its_tokens():
    logits = torch.full((8, 14), -10.0)
    for frame, token in enumerate([1, 10, 1, 11, 11, 1, 12, 1]):
        logits[frame, token] = 10.0
    aligner = WordAligner(decode, blank=1, silent={2}, vocabulary=14)
    words = aligner.align(logits, [10, 11, 12, 2], [-0.1, -0.3, -0.5, -9.0], seconds=0.8, spaced=True)
    assert [(word.word, round(word.start, 3), round(word.end, 3)) for word in words] == [
        ("ab", 0.1, 0.5),
        ("c", 0.6, 0.7),
    ]
    assert [word.probability for word in words] == [pytest.approx(math.exp(-0.2)), pytest.approx(math.exp(-0.5))]


def test_a_head_over_characters_times_words_by_their_letters():
    characters = Characters(" abcö")
    assert characters.encode("a b") == [2, 1, 3]
    logits = torch.full((8, len(characters)), -10.0)
    for frame, heard in enumerate([0, 2, 3, 3, 1, 0, 4, 0]):
        logits[frame, heard] = 10.0
    aligner = WordAligner(decode, blank=0, silent={2}, vocabulary=6, characters=characters)
    words = aligner.align(logits, [0, 10, 11, 12, 2], [-9.0, -0.1, -0.3, -0.5, -9.0], seconds=0.8, spaced=True)
    assert [(word.word, round(word.start, 3), round(word.end, 3)) for word in words] == [
        ("ab", 0.1, 0.4),
        ("c", 0.6, 0.7),
    ]
    assert words[0].probability == pytest.approx(math.exp(-0.2))


def test_a_word_that_the_head_cannot_say_is_where_the_one_before_it_ends():
    logits = torch.full((3, 12), -10.0)
    logits[:, 1], logits[1, 10] = 0.0, 10.0
    words = WordAligner(decode, blank=1, silent=set(), vocabulary=12).align(
        logits, [10, 12], [-0.1, -0.1], seconds=0.3, spaced=True
    )
    assert [(word.word, round(word.start, 3), round(word.end, 3)) for word in words] == [
        ("a", 0.1, 0.2),
        ("c", 0.2, 0.2),
    ]


def test_a_text_that_is_too_long_for_the_frames_has_no_times():
    aligner = WordAligner(decode, blank=1, silent=set(), vocabulary=14)
    assert aligner.align(torch.zeros(1, 14), [10, 12], [-0.1, -0.1], seconds=0.1, spaced=True) is None
