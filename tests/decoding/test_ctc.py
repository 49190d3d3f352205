import itertools
import math

import pytest
import torch

from speechcli.decoding.alignment import align
from speechcli.decoding.ctc import as_path, collapse, prefix_beam_search
from speechcli.decoding.scorers import Hotwords

BLANK = 1


def logprobs(frames: int, vocabulary: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(frames, vocabulary, generator=generator)).log_softmax(dim=-1)


def brute_force(table: torch.Tensor) -> dict[tuple[int, ...], float]:
    """Add up every path."""
    texts: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(table.size(1)), repeat=table.size(0)):
        probability = math.exp(sum(table[frame, token].item() for frame, token in enumerate(path)))
        text = collapse(list(path), BLANK)
        texts[text] = texts.get(text, 0.0) + probability
    return texts


def test_equal_neighbors_are_merged_and_blanks_removed():
    assert collapse([1, 5, 5, 1, 5, 0, 0, 1], BLANK) == (5, 5, 0)
    assert collapse(as_path((5, 5, 0), BLANK), BLANK) == (5, 5, 0)


@pytest.mark.parametrize("seed", range(5))
def test_prefix_beam_search_sums_the_probability_of_all_paths_of_a_text(seed):
    table = logprobs(5, 4, seed)
    expected = sorted(brute_force(table).items(), key=lambda item: -item[1])
    found = prefix_beam_search(table, beams=400, blank=BLANK)
    assert [text for text, _ in found[:8]] == [text for text, _ in expected[:8]]
    for (_, logprob), (_, probability) in zip(found, expected, strict=True):
        assert logprob == pytest.approx(math.log(probability), abs=1e-4)


def test_a_narrow_beam_keeps_the_best_texts():
    table = logprobs(5, 4, 3)
    (best,) = prefix_beam_search(table, beams=1, blank=BLANK)
    assert best[0] == prefix_beam_search(table, beams=4, blank=BLANK)[0][0]


def test_the_most_likely_text_may_differ_from_that_of_the_most_likely_path():
    # a blank twice: 0.36; "0" by three paths: 0.48 + 0.16
    table = torch.tensor([[0.4, 0.6, 0.0], [0.4, 0.6, 0.0]]).clamp(min=1e-9).log()
    assert collapse(table.argmax(dim=-1).tolist(), BLANK) == ()
    assert prefix_beam_search(table, beams=3, blank=BLANK)[0][0] == (0,)


@pytest.mark.parametrize("seed", range(3))
def test_hotwords_change_the_scores_of_texts_and_so_their_order(seed):
    hotwords = Hotwords([(0, 2), (2, 2, 0)], boost=0.7)

    def bonus(text):
        told = [hotwords.bonus(text[:place]) for place in range(len(text) + 1)]
        return sum(gains.get(token, other) for token, (other, gains) in zip(text, told, strict=False)) + told[-1][0]

    assert (bonus((0, 2)), bonus((2, 0)), bonus((0,))) == pytest.approx((1.4, 0.0, 0.0))
    table = logprobs(4, 4, seed)
    expected = {text: score + bonus(text) for text, score in prefix_beam_search(table, beams=1000, blank=BLANK)}
    found = prefix_beam_search(table, beams=1000, blank=BLANK, bonuses=[hotwords.bonus])
    assert dict(found) == pytest.approx(expected)
    assert [score for _, score in found] == pytest.approx(sorted(expected.values(), reverse=True))


def test_no_frames_are_no_text():
    assert prefix_beam_search(torch.zeros(0, 4), beams=2, blank=BLANK)[0][0] == ()


@pytest.mark.parametrize("seed", range(3))
def test_tokens_are_aligned_with_their_most_likely_path(seed):
    table, text = logprobs(6, 4, seed), (2, 2, 0)
    paths = [path for path in itertools.product(range(4), repeat=6) if collapse(path, BLANK) == text]
    best = max(paths, key=lambda path: sum(table[frame, token].item() for frame, token in enumerate(path)))
    spans = align(table, text, blank=BLANK)
    aligned = [BLANK] * 6
    for token, span in zip(text, spans, strict=True):
        aligned[span.start : span.end] = [token] * (span.end - span.start)
        mean = sum(table[frame, token].item() for frame in range(span.start, span.end)) / (span.end - span.start)
        assert span.logprob == pytest.approx(mean, abs=1e-5)
    assert tuple(aligned) == best


def test_a_text_that_is_longer_than_the_frames_cannot_be_aligned():
    table = logprobs(3, 4, 0)
    assert len(align(table, (2, 0, 2), blank=BLANK)) == 3
    assert align(table, (2, 2, 0), blank=BLANK) is None  # equal neighbors need a blank between them
    assert align(table, (), blank=BLANK) == [] == align(table[:0], (), blank=BLANK)
