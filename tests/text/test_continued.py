"""Vocabularies whose pieces end in ``@@`` inside a word: Speech2Text2 and the small Blenderbot."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from speechcli.text.tokenizer import Tokenizer

from .sentences import sentences

MERGES = """t h;h e</w>;th e</w>;i n;e r</w>;o w;q u;qu i;c k</w>;qui ck</w>;b r;br ow;brow n</w>;a n;an d</w>;u n;
r un;o v;l a;la z;laz y</w>;d o;do g</w>;о б;л и;ли с;а н;' s</w>"""
SPEECH2TEXT2 = ["<s>", "<pad>", "</s>", "<unk>"]
BLENDERBOT = ["__null__", "__start__", "__end__", "__unk__", "__newln__"]


def merges() -> list[tuple[str, str]]:
    pairs = [pair.strip().split(" ") for pair in MERGES.replace("\n", "").split(";")]
    return [(left, right) for left, right in pairs]


def vocabulary(special: Sequence[str], *, without: Sequence[str] = ()) -> dict[str, int]:
    """Every merged piece and every letter, in the spelling of vocab.json, some of them left out."""
    pieces = [left + right for left, right in merges()]
    letters = "abcdefghijklmnopqrstuvwxyzабвгдлисноь'.,!?()"
    spelled = [piece.removesuffix("</w>") if piece.endswith("</w>") else piece + "@@" for piece in pieces]
    tokens = [*special, *spelled, *(letter + "@@" for letter in letters), *letters]
    return {token: number for number, token in enumerate(t for t in dict.fromkeys(tokens) if t not in without)}


def write(folder: Path, tokens: dict[str, int], head: str, columns: str = "", **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(tokens))
    (folder / "merges.txt").write_text(head + "".join(f"{left} {right}{columns}\n" for left, right in merges()))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def divided(word: str) -> list[str]:
    """A word in pieces: the pair of the lowest merge is joined everywhere, until no pair is a merge."""
    order = {pair: rank for rank, pair in enumerate(merges())}
    pieces = [*word[:-1], word[-1] + "</w>"]
    while pairs := [pair for pair in zip(pieces, pieces[1:], strict=False) if pair in order]:
        first, second = min(pairs, key=order.__getitem__)
        joined: list[str] = []
        while pieces:
            here = pieces[:2] == [first, second]
            joined.append("".join(pieces[: 2 if here else 1]))
            pieces = pieces[2 if here else 1 :]
        pieces = joined
    return [piece + "@@" for piece in pieces[:-1]] + [pieces[-1].removesuffix("</w>")]


@pytest.mark.parametrize("columns", ["", " 17"])
def test_speech2text2_is_byte_pairs_of_words(columns: str, tmp_path: Path) -> None:
    # real vocabularies lack pieces that are nearly always merged further
    tokens = vocabulary(SPEECH2TEXT2, without=("th@@", "brow@@", "лис@@", "qu@@"))
    ours = Tokenizer.load(
        write(tmp_path, tokens, "", columns, tokenizer_class="Speech2Text2Tokenizer", do_lower_case=True)
    )
    for text in ("The quick brown fox and his dogs", "th brow лиса лис qu", "the\x1cdog \x1f", *sentences(300, odd=0)):
        pieces = [piece for word in text.lower().split() for piece in divided(word)]
        assert ours.encode(text) == [tokens.get(piece, 3) for piece in pieces], text
    text = "the lazy dog's runs over"
    assert ours.decode(ours.encode(text)) == text
    assert ours.encode("the", special=True) == ours.encode("the")
    assert (ours.bos_id, ours.pad_id, ours.eos_id, ours.unk_id) == (0, 1, 2, 3)
    assert ours.vocabulary_size == len(tokens)


def test_capitals_become_small_as_in_python_with_the_sigma_that_ends_a_word(tmp_path: Path) -> None:
    config = {"tokenizer_class": "Speech2Text2Tokenizer", "do_lower_case": True}
    normalizer = Tokenizer.load(write(tmp_path, vocabulary(SPEECH2TEXT2), "", **config)).backend.normalizer
    draw = random.Random(0)
    texts = ["".join(draw.choice("ΣΣΣσςΑαΟBz'’.1 \u0301ΐʰ:日İßЖא_,") for _ in range(4)) for _ in range(2000)]
    for text in ("ΟΔΟΣ ΣΟΦΙΑΣ.", "Σ", "Α'Σ Α'ΣΑ", *texts):
        assert normalizer.normalize_str(text) == text.lower(), text


def test_a_vocabulary_without_merges_still_decodes(tmp_path: Path) -> None:
    tokens = vocabulary(SPEECH2TEXT2)
    (tmp_path / "vocab.json").write_text(json.dumps(tokens))
    (tmp_path / "config.json").write_text('{"decoder": {"model_type": "speech_to_text_2"}}')
    ours = Tokenizer.load(tmp_path)
    assert ours.decode([2, tokens["qui@@"], tokens["ck"], tokens["brown"], tokens["d@@"], tokens["o"], 2]) == (
        "quick brown do"
    )


def test_the_small_blenderbot_encodes_as_in_transformers(tmp_path: Path) -> None:
    from transformers import BlenderbotSmallTokenizer

    tokens = vocabulary(BLENDERBOT, without=("th@@", "qu@@"))
    write(tmp_path, tokens, "#version: 0.2\n", tokenizer_class="BlenderbotSmallTokenizer")
    theirs = BlenderbotSmallTokenizer.from_pretrained(tmp_path)
    ours = Tokenizer.load(tmp_path)
    for text in ("It's (really) the quick\nbrown dog!", "th qu", *sentences(300, odd=0.1)):
        ids = theirs(text).input_ids
        assert ours.encode(text) == ids, text
        # a word that stops in the middle keeps its mark there
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True).removesuffix("@@"), text
    assert (ours.bos_id, ours.pad_id, ours.eos_id, ours.unk_id) == (1, 0, 2, 3)


def test_tokenizers_that_tokenizer_json_does_not_support_keep_their_old_files(tmp_path: Path) -> None:
    tokens = vocabulary(SPEECH2TEXT2, without=("th@@",))
    before = Tokenizer.load(write(tmp_path / "old", tokens, "", tokenizer_class="Speech2Text2Tokenizer"))
    before.save(tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "merges.txt",
        "tokenizer_config.json",
        "vocab.json",
    ]
    assert Tokenizer.load(tmp_path / "new").encode("the th") == before.encode("the th")
