"""Exact results of every search on a model that is a table."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from speechcli.decoding.beam import beam_search
from speechcli.decoding.generate import generate, start_prompt
from speechcli.decoding.generation_options import GenerationOptions
from speechcli.decoding.hypothesis import Hypothesis, padded_sequences
from speechcli.errors import UsageError

from .oracle import BART, BERT, IDS, PrefixCache, PrefixStep, memory_of, model_of

START, END, A, B = range(4)
"""The greedy text is "A A end" (0.6 * 0.5 * 0.6); "B A end" (0.4 * 0.9 * 0.9) is likelier."""
TABLE = {
    (): {A: 0.6, B: 0.4},
    (A,): {A: 0.5, B: 0.45, END: 0.05},
    (B,): {A: 0.9, B: 0.1},
    (A, A): {END: 0.6, A: 0.4},
    (A, B): {END: 0.6, B: 0.4},
    (B, A): {END: 0.9, A: 0.1},
    (B, B): {END: 1.0},
}


class TableCache:
    """Remembers the ids, and the calls that it got."""

    def __init__(self, rows: int) -> None:
        self.ids = torch.zeros(rows, 0, dtype=torch.long)
        self.reorders: list[list[int]] = []

    def reorder(self, rows: Tensor) -> None:
        self.reorders.append(rows.tolist())
        self.ids = self.ids[rows]


def table_step(ids: Tensor, cache: TableCache) -> Tensor:
    cache.ids = torch.cat([cache.ids, ids], dim=1)
    logits = torch.full((len(ids), 4), -30.0)
    for row, said in enumerate(cache.ids[:, 1:].tolist()):
        for token, probability in TABLE.get(tuple(said), {END: 1.0}).items():
            logits[row, token] = math.log(probability)
    return logits


def decode(rows: int = 1, cache: TableCache | None = None, **values: Any) -> list[list[Hypothesis]]:
    options = GenerationOptions(eos_token_id=END, pad_token_id=END, decoder_start_token_id=START, **values)
    return generate(table_step, cache or TableCache(rows), start_prompt(options, rows), options)


def test_greedy_search_takes_the_most_likely_token_at_each_step() -> None:
    ((found,),) = decode()
    assert found.tokens == (A, A, END)
    assert found.logprobs == pytest.approx([math.log(0.6), math.log(0.5), math.log(0.6)])
    assert found.score == pytest.approx(math.log(0.6 * 0.5 * 0.6) / 3)


def test_a_beam_of_two_finds_the_likelier_text_that_begins_worse() -> None:
    ((best, second),) = decode(num_beams=2, num_return_sequences=2, length_penalty=0.0)
    assert best.tokens == (B, A, END)
    assert best.score == pytest.approx(math.log(0.4 * 0.9 * 0.9))
    assert best.logprobs == pytest.approx([math.log(0.4), math.log(0.9), math.log(0.9)])
    assert second.tokens == (A, A, END)
    assert second.score == pytest.approx(math.log(0.6 * 0.5 * 0.6))


def test_beam_scores_are_divided_for_the_length() -> None:
    ((best,),) = decode(num_beams=2, length_penalty=2.0)
    assert best.tokens == (B, A, END)
    assert best.score == pytest.approx(math.log(0.4 * 0.9 * 0.9) / 3**2)


def test_the_longest_length_ends_a_text_without_an_end() -> None:
    assert decode(max_new_tokens=2)[0][0].tokens == (A, A)
    assert decode(num_beams=2, max_new_tokens=2)[0][0].tokens == (B, A)
    assert decode(max_new_tokens=2, forced_eos_token_id=END)[0][0].tokens == (A, END)


def test_twenty_tokens_are_generated_if_no_length_is_set() -> None:
    options = GenerationOptions(decoder_start_token_id=START)
    ((found,),) = generate(table_step, TableCache(1), start_prompt(options, 1), options)
    assert len(found.tokens) == 20


def test_the_model_reads_the_prompt_once_for_each_utterance_and_the_cache_then_grows() -> None:
    cache = TableCache(2)
    decode(2, cache, num_beams=2)
    assert cache.reorders[0] == [0, 0, 1, 1]
    assert cache.reorders[1] == [0, 0, 2, 2]  # at first all beams come from the first
    assert cache.reorders[2] == [1, 0, 3, 2]  # "B A" is now better than "A A"


def test_greedy_search_never_reorders_the_cache() -> None:
    cache = TableCache(2)
    decode(2, cache)
    assert cache.reorders == []


@pytest.mark.parametrize("kind", [BERT, BART])
def test_beam_of_one_equals_greedy(kind: str) -> None:
    for seed in range(6):
        options = GenerationOptions.from_dict({**IDS[kind], "early_stopping": True, "max_new_tokens": 8})
        model, memory, prompt = model_of(kind, seed % 4), memory_of(3, seed), start_prompt(options, 3)
        greedy = generate(PrefixStep(model), PrefixCache(memory), prompt, options)
        with torch.no_grad():
            beam = beam_search(PrefixStep(model), PrefixCache(memory), prompt, options)
        assert [each.tokens for (each,) in beam] == [each.tokens for (each,) in greedy]
        assert [each.score for (each,) in beam] == pytest.approx([each.score for (each,) in greedy], abs=1e-4)


def test_a_result_does_not_depend_on_its_batch() -> None:
    for length_penalty in (0.0, 1.0, 2.0):
        options = GenerationOptions.from_dict(
            {**IDS[BART], "num_beams": 4, "num_return_sequences": 4, "length_penalty": length_penalty}
        )
        model, memory = model_of(BART, 1), memory_of(4, 9)
        together = generate(PrefixStep(model), PrefixCache(memory), start_prompt(options, 4), options)
        for row, expected in enumerate(together):
            cache = PrefixCache(memory[row : row + 1])
            (alone,) = generate(PrefixStep(model), cache, start_prompt(options, 1), options)
            assert [each.tokens for each in alone] == [each.tokens for each in expected]


def test_logprobs_are_those_of_the_raw_model_with_any_processors() -> None:
    for beams in (1, 2):
        ((found,),) = decode(num_beams=beams, suppress_tokens=[A], repetition_penalty=3.0)
        assert found.tokens == (B, B, END)
        assert found.logprobs == pytest.approx([math.log(0.4), math.log(0.1), 0.0], abs=1e-6)


def test_the_same_seed_draws_the_same_texts_and_leaves_the_global_generator_alone() -> None:
    options = GenerationOptions(do_sample=True, num_return_sequences=20, eos_token_id=END, decoder_start_token_id=START)
    state = torch.get_rng_state()

    def draw(seed: int) -> list[list[Hypothesis]]:
        generator = torch.Generator().manual_seed(seed)
        return generate(table_step, TableCache(1), start_prompt(options, 1), options, generator=generator)

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)
    assert torch.get_rng_state().equal(state)


def test_tokens_are_drawn_in_proportion_to_the_processed_softmax() -> None:
    options = GenerationOptions(
        do_sample=True, num_return_sequences=4000, temperature=0.5, max_new_tokens=1, decoder_start_token_id=START
    )
    generator = torch.Generator().manual_seed(0)
    (found,) = generate(table_step, TableCache(1), start_prompt(options, 1), options, generator=generator)
    share = sum(each.tokens == (A,) for each in found) / len(found)
    assert share == pytest.approx(0.6**2 / (0.6**2 + 0.4**2), abs=0.03)


def test_a_sample_narrowed_to_one_token_is_greedy() -> None:
    ((found,),) = decode(do_sample=True, top_k=1)
    assert found.tokens == (A, A, END)


@pytest.mark.parametrize("options", [{"do_sample": True, "top_k": 1}, {}])
def test_the_score_is_the_log_probability_divided_by_a_power_of_the_length(options: dict[str, Any]) -> None:
    ((found,),) = decode(length_penalty=2.0, **options)
    assert found.score == pytest.approx(sum(found.logprobs) / 3**2)


def test_a_prompt_without_room_is_refused() -> None:
    with pytest.raises(UsageError, match="`max_length` must be above the prompt's 1 tokens, but is 1"):
        decode(max_length=1)


def test_a_search_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="`num_beam_groups` .* is not supported, but is 2"):
        decode(num_beams=2, extra={"num_beam_groups": 2})


FILLS = [
    ({"num_beams": 1, "pad_token_id": 0, "eos_token_id": 2}, 0),
    ({"num_beams": 1, "pad_token_id": None, "eos_token_id": (2, 3)}, 2),
    ({"num_beams": 2, "pad_token_id": 5, "eos_token_id": 2}, 5),
    ({"num_beams": 2, "pad_token_id": 0, "eos_token_id": 2}, 2),
    ({"num_beams": 2, "pad_token_id": None, "eos_token_id": 2}, 2),
    ({"num_beams": 2, "pad_token_id": 5, "eos_token_id": None}, -1),
]


@pytest.mark.parametrize(("values", "fill"), FILLS)
def test_short_rows_are_filled_as_transformers_fills_them(values: dict[str, Any], fill: int) -> None:
    hypotheses = [[Hypothesis((7, 2), 0.0, (0.0, 0.0)), Hypothesis((8, 8, 2), 0.0, (0.0,) * 3)]]
    laid_out = padded_sequences(hypotheses, torch.tensor([[1]]), GenerationOptions(**values))
    assert laid_out.tolist() == [[1, 7, 2, fill], [1, 8, 8, 2]]
