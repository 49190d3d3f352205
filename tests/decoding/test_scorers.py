"""Scorers of the next token, against sums over everything that could be written."""

import itertools
import math

import pytest
import torch

from speechcli.decoding.ctc import prefix_beam_search
from speechcli.decoding.ctc_prefix import CtcPrefixScorer
from speechcli.decoding.generate import generate
from speechcli.decoding.generation_options import GenerationOptions
from speechcli.decoding.scorers import Hotwords, LanguageModelBonus, LanguageModelScorer, ScorerPerText

from .test_ctc import brute_force, logprobs

START, BLANK, END, VOCABULARY = 0, 1, 3, 5
IDS = {"decoder_start_token_id": START, "pad_token_id": BLANK, "eos_token_id": END}


class Ids:
    """A cache that keeps the ids."""

    def __init__(self, batch):
        self.ids = torch.zeros(batch, 0, dtype=torch.long)

    def reorder(self, rows):
        self.ids = self.ids[rows]


def table_model(seed):
    """A model that looks at the last two tokens."""
    table = 2 * torch.randn(VOCABULARY, VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(seed))

    def step(ids, cache):
        cache.ids = torch.cat([cache.ids, ids], dim=1)
        before = cache.ids[:, -2] if cache.ids.shape[1] > 1 else torch.zeros_like(cache.ids[:, 0])
        return table[before, cache.ids[:, -1]]

    return step


def model_score(step, text):
    """The log-probability of a text and its end."""
    cache, total, read = Ids(1), 0.0, START
    for token in (*text, END):
        total += step(torch.tensor([[read]]), cache).log_softmax(-1)[0, token].item()
        read = token
    return total


def end_score(step, text):
    """The log-probability of the end after a text."""
    cache = Ids(1)
    return step(torch.tensor([[START, *text]]), cache).log_softmax(-1)[0, END].item()


def ctc_scores(table, weight=0.5):
    return CtcPrefixScorer(table[None], torch.tensor([table.shape[0]]), weight=weight, blank=BLANK, ends=[END])


@pytest.mark.parametrize("seed", range(3))
def test_an_unfinished_text_is_as_likely_as_all_texts_that_begin_so(seed):
    table = logprobs(4, VOCABULARY, seed)
    likely = brute_force(table)
    for text in itertools.product((0, 2, 4), repeat=3):
        scores, total = ctc_scores(table), 0.0
        ids = torch.tensor([[START]])
        for length, token in enumerate(text, start=1):
            gain = 2 * scores(ids, torch.zeros(1, VOCABULARY))[0]
            ended = total + gain[END].item()
            assert ended == pytest.approx(math.log(likely.get(text[: length - 1], 1e-300)), abs=1e-3)
            total += gain[token].item()
            begun = sum(each for other, each in likely.items() if other[:length] == text[:length])
            if begun == 0:
                assert gain[token] < -1e4
                break
            assert total == pytest.approx(math.log(begun), abs=1e-3)
            ids = torch.cat([ids, torch.tensor([[token]])], dim=1)


@pytest.mark.parametrize("weight", [0.3, 0.7])
def test_joint_beam_search_finds_the_best_of_all_texts(weight):
    table, step = logprobs(4, VOCABULARY, 7), table_model(3)
    likely = brute_force(table)
    texts = [text for count in range(4) for text in itertools.product((0, 2, 4), repeat=count) if text in likely]
    joint = {text: (1 - weight) * model_score(step, text) + weight * math.log(likely[text]) for text in texts}
    options = GenerationOptions(**IDS, num_beams=40, length_penalty=0.0, early_stopping="never", max_new_tokens=5)
    (found,) = generate(step, Ids(1), torch.tensor([[START]]), options, scorers=[ctc_scores(table, weight)])
    best = max(joint, key=joint.__getitem__)
    assert found[0].tokens == (*best, END)
    assert found[0].score == pytest.approx(joint[best], abs=1e-3)


def test_a_recording_scores_the_same_beside_a_longer_one():
    short, long = logprobs(3, VOCABULARY, 1), logprobs(6, VOCABULARY, 2)
    both = torch.stack([torch.cat([short, torch.zeros(3, VOCABULARY)]), long])
    options = GenerationOptions(**IDS, num_beams=3, max_new_tokens=6)
    prompt = torch.full((2, 1), START)
    mixed = CtcPrefixScorer(both, torch.tensor([3, 6]), weight=0.5, blank=BLANK, ends=[END])
    together = generate(table_model(5), Ids(2), prompt, options, scorers=[mixed])
    for table, found in zip((short, long), together, strict=True):
        (alone,) = generate(table_model(5), Ids(1), prompt[:1], options, scorers=[ctc_scores(table)])
        assert alone[0].tokens == found[0].tokens and alone[0].score == pytest.approx(found[0].score, abs=1e-4)


@pytest.mark.parametrize("beams", [1, 30])
def test_a_language_model_adds_its_weighted_score(beams):
    step, lm = table_model(1), table_model(2)
    options = GenerationOptions(**IDS, num_beams=beams, length_penalty=0.0, early_stopping="never", max_new_tokens=3)
    scorer = LanguageModelScorer(lm, Ids(1), weight=0.6, begin=[START], longest=9)
    (found,) = generate(step, Ids(1), torch.tensor([[START]]), options, scorers=[scorer])

    def score(text):
        return model_score(step, text) + 0.6 * model_score(lm, text)

    if beams == 1:
        assert found[0].tokens != generate(step, Ids(1), torch.tensor([[START]]), options)[0][0].tokens
        return
    texts = [text for count in range(3) for text in itertools.product((0, 1, 2, 4), repeat=count)]
    assert found[0].tokens[:-1] == max(texts, key=score)


@pytest.mark.parametrize("beams", [1, 4])
def test_texts_with_a_language_model_that_has_read_different_texts_are_searched_for_together_as_alone(beams):
    options = GenerationOptions(**IDS, num_beams=beams, num_return_sequences=beams, max_new_tokens=6)
    step, lm = table_model(1), table_model(2)
    before = [[START, 4, START], [START, 2, 4, 4, 2], [2]]

    def scorer(begin):
        return LanguageModelScorer(lm, Ids(1), weight=2.0, begin=begin, longest=9)

    def search(*scorers):
        prompt = torch.full((len(scorers), 1), START)
        return generate(step, Ids(len(scorers)), prompt, options, scorers=[ScorerPerText(scorers)])

    together = search(*map(scorer, before))
    assert together == [search(scorer(begin))[0] for begin in before]
    assert len({found[0].tokens for found in together}) > 1


@pytest.mark.parametrize(("seed", "end", "kept"), [(0, END, 64), (1, None, 64), (2, END, 2)])
def test_a_language_model_adds_its_weighted_score_to_that_of_a_ctc_head(seed, end, kept, monkeypatch):
    monkeypatch.setattr("speechcli.decoding.scorers.KEPT_TEXTS", kept)
    lm, table = table_model(seed), logprobs(4, VOCABULARY, seed)
    gains = LanguageModelBonus(lm, lambda: Ids(1), weight=0.6, begin=START, end=end, longest=10)

    def score(text):
        return model_score(lm, text) - (0.0 if end else end_score(lm, text))

    expected = {text: math.log(p) + 0.6 * score(text) for text, p in brute_force(table).items()}
    found = prefix_beam_search(table, beams=5000, blank=BLANK, bonuses=[gains])
    assert dict(found) == pytest.approx(expected, abs=1e-4)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


def test_texts_too_long_for_a_language_model_get_no_bonus():
    gains = LanguageModelBonus(table_model(0), lambda: Ids(1), weight=0.6, begin=START, end=END, longest=3)
    assert len(gains((2, 4))[1]) == VOCABULARY and gains((2, 4, 2)) == (0.0, {})


def test_bonuses_of_a_text_are_added_up():
    table, hotwords = logprobs(4, VOCABULARY, 3), Hotwords([(0, 2)], boost=0.7)
    gains = LanguageModelBonus(table_model(3), lambda: Ids(1), weight=0.6, begin=START, end=END, longest=10)
    plain, steered, fused, both = (
        dict(prefix_beam_search(table, beams=5000, blank=BLANK, bonuses=bonuses))
        for bonuses in ((), (hotwords.bonus,), (gains,), (hotwords.bonus, gains))
    )
    assert both == pytest.approx({text: steered[text] + fused[text] - plain[text] for text in plain})


def bonus(words, text, boost=1.0):
    """Return the sum of the bonuses of a text, token by token."""
    hotwords = Hotwords(words, boost=boost)
    ids, gained = [START], 0.0
    for token in text:
        gained += hotwords(torch.tensor([ids]), torch.zeros(1, 10))[0, token].item()
        ids.append(token)
    return gained


def test_a_hotword_gains_for_each_of_its_tokens():
    assert bonus([(5, 6, 7)], [2, 5, 6, 7, 2]) == 3.0
    assert bonus([(5, 6, 7)], [5, 6, 7, 5, 6, 7, 2]) == 6.0


def test_the_bonus_of_an_unfinished_hotword_is_taken_back():
    assert bonus([(5, 6, 7)], [5, 6]) == 2.0
    assert bonus([(5, 6, 7)], [5, 6, 2]) == 0.0
    assert bonus([(5, 6, 7)], [5, 5, 6, 7, 2]) == 3.0
    assert bonus([(5, 5, 6)], [5, 5, 5, 6, 2]) == 3.0


def test_a_longer_hotword_may_start_with_a_shorter_one():
    assert bonus([(5,), (5, 6)], [5, 2]) == 1.0
    assert bonus([(5,), (5, 6)], [5, 6, 2]) == 2.0


def test_hotwords_may_be_a_whole_dictionary():
    words = [tuple(1 + int(digit) for digit in f"{number:05o}") for number in range(0, 8**5, 3)]
    assert bonus(words, (1, 1, 1, 1, 4, 9)) == 5.0
    assert bonus(words, (1, 1, 1, 1, 5, 9)) == 0.0


def test_no_hotwords_change_nothing():
    scores = torch.randn(2, 10)
    assert Hotwords([], boost=3.0)(torch.zeros(2, 1, dtype=torch.long), scores) is scores
