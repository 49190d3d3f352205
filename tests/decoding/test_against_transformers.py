"""With any options, the same tokens and scores as transformers' `generate`."""

import random
from typing import Any

import pytest
import torch
from transformers import GenerationConfig
from transformers.modeling_outputs import BaseModelOutput

from speechcli.decoding.generate import generate
from speechcli.decoding.generation_options import GenerationOptions
from speechcli.decoding.hypothesis import padded_sequences

from .oracle import BART, BERT, IDS, PrefixCache, PrefixStep, memory_of, model_of

SOME_LENGTHS: list[dict[str, Any]] = [
    {"max_new_tokens": 8},
    {"max_length": 7},
    {"max_length": 10, "min_length": 5},
    {"max_new_tokens": 9, "min_new_tokens": 6},
]
SOME_RULES: list[dict[str, Any]] = [
    {},
    {},
    {"forced_bos_token_id": 5},
    {"forced_eos_token_id": 2},
    {"forced_bos_token_id": 5, "forced_eos_token_id": [2, 3], "begin_suppress_tokens": [4, 6, 7]},
    {"suppress_tokens": [3, 4, 5, 6], "begin_suppress_tokens": [2, 7]},
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.8, "remove_invalid_values": True},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2, "renormalize_logits": True},
    {"no_repeat_ngram_size": 3},
    {"bad_words_ids": [[2], [4], [5, 6], [7, 8, 9], [3, 3]]},
    {"sequence_bias": [[[4], 3.0], [[5, 6], -4.0], [[7, 8], 4.0], [[9, 8], 2.0]]},
    {"exponential_decay_length_penalty": [2, 1.4]},
    {"eos_token_id": [2, 9, 11]},
    {"eos_token_id": [2, 9], "pad_token_id": None},
    {"eos_token_id": None, "min_length": 3},
]


def random_options(kind: str, choice: random.Random, **fixed: Any) -> dict[str, Any]:
    beams = {
        "length_penalty": choice.choice([-1.0, 0.0, 0.6, 1.0, 2.0]),
        "early_stopping": choice.choice([True, False, "never"]),
    }
    values = {**IDS[kind], **beams, **choice.choice(SOME_LENGTHS), **choice.choice(SOME_RULES), **fixed}
    if values["num_beams"] > 1:
        values["num_return_sequences"] = choice.randint(1, values["num_beams"])
    return values


def assert_same(kind: str, values: dict[str, Any], seed: int, prompt: torch.Tensor | None = None) -> None:
    batch = 3
    model, memory = model_of(kind, seed % 4), memory_of(batch, seed)
    prompt = torch.full((batch, 1), values["decoder_start_token_id"]) if prompt is None else prompt
    theirs_set = dict(values)
    if values.get("early_stopping") and values["num_beams"] == 1:
        theirs_set["early_stopping"] = False
    torch.manual_seed(seed)
    theirs = model.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=memory.clone()),
        decoder_input_ids=prompt,
        generation_config=GenerationConfig(**theirs_set, return_dict_in_generate=True, output_scores=True),
    )
    options = GenerationOptions.from_dict(values)
    generator = torch.Generator().manual_seed(seed)
    ours = generate(PrefixStep(model), PrefixCache(memory), prompt, options, generator=generator)
    assert padded_sequences(ours, prompt, options).tolist() == theirs.sequences.tolist(), values
    if values["num_beams"] > 1:
        scores = torch.tensor([hypothesis.score for row in ours for hypothesis in row])
        torch.testing.assert_close(scores, theirs.sequences_scores, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", [BERT, BART])
@pytest.mark.parametrize("seed", range(40))
def test_beam_search_returns_the_same_tokens_as_transformers(kind: str, seed: int) -> None:
    choice = random.Random(seed)
    assert_same(kind, random_options(kind, choice, num_beams=choice.randint(2, 5)), seed)


@pytest.mark.parametrize("kind", [BERT, BART])
@pytest.mark.parametrize("rules", SOME_RULES[1:])
def test_greedy_search_returns_the_same_tokens_as_transformers(kind: str, rules: dict[str, Any]) -> None:
    seed = SOME_RULES.index(rules)
    assert_same(kind, random_options(kind, random.Random(seed), num_beams=1) | rules, seed)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_longer_prompt_counts_as_in_transformers(beams: int) -> None:
    prompt = torch.tensor([[2, 5, 6], [2, 6, 5], [2, 7, 7]])
    for rules in (
        {"max_length": 8, "no_repeat_ngram_size": 2, "forced_bos_token_id": 9},
        {"max_new_tokens": 6, "begin_suppress_tokens": [2, 3, 4], "min_new_tokens": 3},
    ):
        assert_same(BART, {**IDS[BART], **rules, "num_beams": beams}, 5, prompt)


WARPS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.6, "top_k": 5},
    {"temperature": 1.4, "top_p": 0.8, "top_k": 0},
    {"typical_p": 0.7, "epsilon_cutoff": 0.02},
    {"min_p": 0.1, "eta_cutoff": 0.03, "repetition_penalty": 1.3},
    {"top_h": 0.6},
]


@pytest.mark.parametrize("warps", WARPS)
def test_sampling_draws_the_same_tokens_as_transformers_from_the_same_seed(warps: dict[str, Any]) -> None:
    values = {**IDS[BART], **warps, "do_sample": True, "num_beams": 1, "num_return_sequences": 2, "max_new_tokens": 8}
    assert_same(BART, values, 11)


@pytest.mark.parametrize("warps", WARPS[:5])
def test_beam_sampling_draws_the_same_tokens_as_transformers_from_the_same_seed(warps: dict[str, Any]) -> None:
    values = {**IDS[BERT], **warps, "do_sample": True, "num_beams": 3, "num_return_sequences": 3, "max_new_tokens": 6}
    assert_same(BERT, values, 7)
