"""A translation memory in the search, against probabilities computed one place at a time."""

import pytest
import torch

from speechcli.decoding.memory import SHARPNESS, Example, MemoryScorer

START, TAG, END, VOCABULARY = 0, 1, 2, 9
EXAMPLES = [Example((3, 4, 3, 5, END), 1.0), Example((4, 3, 4, 6, END), 0.25), Example((7, END), 0.5)]


def uniform(rows=1):
    return torch.zeros(rows, VOCABULARY)


def expected(text, share, scores):
    """The mixed log-probabilities after a text, by definition."""
    masses = [0.0] * VOCABULARY
    for tokens, weight in EXAMPLES:
        for place, token in enumerate(tokens):
            before, common = tokens[:place], 0
            while common < min(len(before), len(text)) and before[-1 - common] == text[-1 - common]:
                common += 1
            whole = common == len(before) == len(text)
            masses[token] += weight * SHARPNESS ** (common + whole)
    usual = scores.log_softmax(-1).exp()
    return (share * torch.tensor(masses) / sum(masses) + (1 - share) * usual).log()


def follow(scorer, text, scores):
    ids = torch.tensor([[START]])
    for token in text:
        scorer(ids, scores)
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    return scorer(ids, scores)[0]


@pytest.mark.parametrize("text", [(), (3,), (3, 4), (3, 4, 3), (4, 3), (8,), (8, 3, 4), (7,), (6, 6)])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_the_more_tokens_an_example_shares_with_the_text_the_likelier_is_its_next_one(text, share):
    scores = torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(len(text)))
    found = follow(MemoryScorer(EXAMPLES, share=share, start=1), text, scores)
    assert torch.allclose(found, expected(text, share, scores[0]), atol=1e-5)
    assert found.exp().sum() == pytest.approx(1.0, abs=1e-5)


def test_special_tokens_do_not_interrupt_what_a_text_shares_with_an_example():
    plain, tagged = (MemoryScorer(EXAMPLES, share=0.5, start=1, passed=[TAG]) for _ in range(2))
    assert torch.equal(follow(plain, (3, 4), uniform()), follow(tagged, (TAG, 3, 4), uniform()))


def test_the_prompt_is_no_part_of_the_text():
    scorer = MemoryScorer(EXAMPLES, share=0.5, start=3)
    found = scorer(torch.tensor([[START, 3, 4]]), uniform())[0]
    assert torch.allclose(found, expected((), 0.5, uniform()[0]))


def test_impossible_tokens_remain_impossible():
    scores = uniform().index_fill(1, torch.tensor([3]), -torch.inf)
    found = MemoryScorer(EXAMPLES, share=0.9, start=1)(torch.tensor([[START]]), scores)[0]
    assert found[3] == -torch.inf and found[4].isfinite()


def test_beams_follow_the_examples_each_on_its_own():
    scorer = MemoryScorer(EXAMPLES, share=0.7, start=1)
    scorer(torch.tensor([[START]]), uniform())
    scorer.reorder(torch.tensor([0, 0]))
    scorer(torch.tensor([[START, 3], [START, 4]]), uniform(2))
    scorer.reorder(torch.tensor([1, 0]))
    found = scorer(torch.tensor([[START, 4, 3], [START, 3, 4]]), uniform(2))
    assert torch.allclose(found, torch.stack([expected(text, 0.7, uniform()[0]) for text in ((4, 3), (3, 4))]))


def test_long_examples_stay_finite():
    long = Example((*([3, 4] * 100), END), 1.0)
    found = follow(MemoryScorer([long], share=0.5, start=1), (3, 4) * 100, uniform())
    assert found.isfinite().all() and int(found.argmax()) == END


def test_an_empty_memory_changes_nothing():
    scores = torch.randn(1, VOCABULARY)
    assert torch.equal(MemoryScorer([], share=0.9, start=1)(torch.tensor([[START]]), scores), scores)
