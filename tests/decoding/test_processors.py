"""Each processor against transformers' processor of the same name, on random scores."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BartConfig, BartForCausalLM, GenerationConfig
from transformers.generation import logits_process as theirs

from speechcli.decoding.generation_options import GenerationOptions
from speechcli.decoding.processors import build_processors, process
from speechcli.errors import UsageError

VOCABULARY = 12
ROWS = 6
EOS = 2


def random_scores(seed: int) -> Tensor:
    scores = 3 * torch.randn(ROWS, VOCABULARY, generator=torch.Generator().manual_seed(seed))
    return scores.log_softmax(dim=-1) if seed % 2 else scores


def random_ids(tokens: int, seed: int) -> Tensor:
    return torch.randint(VOCABULARY, (ROWS, tokens), generator=torch.Generator().manual_seed(seed + 50))


def built(options: GenerationOptions, prompt_tokens: int = 1) -> list[Callable[[Tensor, Tensor], Tensor]]:
    return build_processors(options, prompt_tokens=prompt_tokens, vocabulary=VOCABULARY, device=torch.device("cpu"))


RULES: list[tuple[dict[str, Any], theirs.LogitsProcessor]] = [
    ({"min_length": 6}, theirs.MinLengthLogitsProcessor(6, EOS)),
    ({"min_new_tokens": 5}, theirs.MinNewTokensLengthLogitsProcessor(1, 5, EOS)),
    ({"repetition_penalty": 1.6}, theirs.RepetitionPenaltyLogitsProcessor(1.6)),
    ({"repetition_penalty": 0.7}, theirs.RepetitionPenaltyLogitsProcessor(0.7)),
    ({"no_repeat_ngram_size": 1}, theirs.NoRepeatNGramLogitsProcessor(1)),
    ({"no_repeat_ngram_size": 2}, theirs.NoRepeatNGramLogitsProcessor(2)),
    ({"no_repeat_ngram_size": 3}, theirs.NoRepeatNGramLogitsProcessor(3)),
    (
        {"bad_words_ids": [[EOS], [3], [4, 5], [5, 5]]},
        theirs.NoBadWordsLogitsProcessor([[EOS], [3], [4, 5], [5, 5]], EOS),
    ),
    (
        {"sequence_bias": [[[3], 1.5], [[4, 3], -2.0], [[5, 6, 3], 1.0]]},
        theirs.SequenceBiasLogitsProcessor([[[3], 1.5], [[4, 3], -2.0], [[5, 6, 3], 1.0]]),
    ),
    ({"suppress_tokens": [1, 4, 9]}, theirs.SuppressTokensLogitsProcessor([1, 4, 9])),
    ({"suppress_tokens": [1, 400]}, theirs.SuppressTokensLogitsProcessor([1, 400])),
    ({"begin_suppress_tokens": [1, 4]}, theirs.SuppressTokensAtBeginLogitsProcessor([1, 4], 1)),
    ({"forced_bos_token_id": 7}, theirs.ForcedBOSTokenLogitsProcessor(7)),
    ({"forced_eos_token_id": [2, 3], "max_length": 9}, theirs.ForcedEOSTokenLogitsProcessor(9, [2, 3])),
    (
        {"exponential_decay_length_penalty": (3, 1.3)},
        theirs.ExponentialDecayLengthPenalty((3, 1.3), EOS, 1),
    ),
    ({"remove_invalid_values": True}, theirs.InfNanRemoveLogitsProcessor()),
    ({"renormalize_logits": True}, theirs.LogitNormalization()),
]

WARPERS: list[tuple[dict[str, Any], Callable[[int], theirs.LogitsProcessor]]] = [
    ({"temperature": 0.3}, lambda least: theirs.TemperatureLogitsWarper(0.3)),
    ({"top_h": 0.4}, lambda least: theirs.TopHLogitsWarper(0.4)),
    ({"top_k": 1}, lambda least: theirs.TopKLogitsWarper(1, min_tokens_to_keep=least)),
    ({"top_k": 4}, lambda least: theirs.TopKLogitsWarper(4, min_tokens_to_keep=least)),
    ({"top_p": 0.0}, lambda least: theirs.TopPLogitsWarper(0.0, min_tokens_to_keep=least)),
    ({"top_p": 0.75}, lambda least: theirs.TopPLogitsWarper(0.75, min_tokens_to_keep=least)),
    ({"min_p": 0.0}, lambda least: theirs.MinPLogitsWarper(0.0, min_tokens_to_keep=least)),
    ({"min_p": 0.3}, lambda least: theirs.MinPLogitsWarper(0.3, min_tokens_to_keep=least)),
    ({"typical_p": 0.3}, lambda least: theirs.TypicalLogitsWarper(0.3, min_tokens_to_keep=least)),
    ({"typical_p": 0.9}, lambda least: theirs.TypicalLogitsWarper(0.9, min_tokens_to_keep=least)),
    ({"epsilon_cutoff": 0.1}, lambda least: theirs.EpsilonLogitsWarper(0.1, min_tokens_to_keep=least)),
    ({"eta_cutoff": 0.3}, lambda least: theirs.EtaLogitsWarper(0.3, min_tokens_to_keep=least)),
]


@pytest.mark.parametrize(("values", "reference"), RULES, ids=lambda value: str(value)[:60])
def test_the_scores_of_a_processor_equal_the_reference(
    values: dict[str, Any], reference: theirs.LogitsProcessor
) -> None:
    (processor,) = built(GenerationOptions.from_dict({"eos_token_id": EOS, **values}))
    changed = 0
    for seed, tokens in enumerate([1, 2, 3, 4, 5, 6, 8, 15]):
        ids, scores = random_ids(tokens, seed), random_scores(seed)
        if values.get("remove_invalid_values"):
            scores[0, :3] = torch.tensor([math.nan, math.inf, -math.inf])
        if tokens == 15:
            ids[:, -2:] = torch.tensor([[5, 6], [4, 4], [5, 5], [5, 6], [6, 5], [4, 5]])
            ids[:, :3] = torch.tensor([5, 6, 3])
        before = scores.clone()
        found = processor(ids, scores)
        torch.testing.assert_close(found, reference(ids, scores.clone()), rtol=1e-6, atol=1e-6)
        assert scores.equal(before) or scores.isnan().any(), "a processor must not change its input"
        changed += not found.equal(before)
    assert changed > 0


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(("values", "make"), WARPERS, ids=lambda value: str(value)[:40])
def test_the_probabilities_of_a_warper_equal_the_reference(
    values: dict[str, Any], make: Callable[[int], theirs.LogitsProcessor], beams: int
) -> None:
    settings = {"eos_token_id": EOS, "do_sample": True, "top_k": 0, "num_beams": beams, **values}
    (warper,) = built(GenerationOptions.from_dict(settings))
    reference = make(1 if beams == 1 else 2)
    for seed in range(8):
        ids, scores = random_ids(3, seed), random_scores(seed)
        found, wanted = warper(ids, scores).softmax(dim=-1), reference(ids, scores.clone()).softmax(dim=-1)
        torch.testing.assert_close(found, wanted)


def test_warpers_are_left_out_unless_sampling() -> None:
    assert built(GenerationOptions(temperature=0.5, top_k=3, top_p=0.5, min_p=0.1)) == []


def test_the_50_most_likely_tokens_are_kept_by_default_when_sampling() -> None:
    (top_k,) = built(GenerationOptions(do_sample=True))
    scores = torch.arange(60.0)[None]
    assert top_k(torch.zeros(1, 1, dtype=torch.long), scores).isfinite().sum() == 50


@pytest.mark.parametrize("prompt_tokens", [1, 3])
@pytest.mark.parametrize("beams", [1, 4])
def test_all_processors_together_run_in_the_order_of_transformers(prompt_tokens: int, beams: int) -> None:
    values = {
        "max_length": 10, "min_length": 6, "do_sample": True, "num_beams": beams, "temperature": 1.3, "top_k": 9,
        "top_p": 0.95, "min_p": 0.01, "typical_p": 0.97, "epsilon_cutoff": 0.01, "eta_cutoff": 0.01, "top_h": 0.95,
        "repetition_penalty": 1.4, "no_repeat_ngram_size": 2, "bad_words_ids": [[3], [4, 5]], "suppress_tokens": [9],
        "sequence_bias": [[[6], 1.5]], "begin_suppress_tokens": [8], "forced_bos_token_id": 7,
        "forced_eos_token_id": EOS, "exponential_decay_length_penalty": (2, 1.2), "renormalize_logits": True,
        "remove_invalid_values": True, "eos_token_id": EOS, "pad_token_id": 1,
    }  # fmt: skip
    small = BartConfig(vocab_size=VOCABULARY, d_model=4, decoder_layers=1, decoder_attention_heads=1, decoder_ffn_dim=4)
    model = BartForCausalLM(small)
    config = GenerationConfig(**values)
    config._eos_token_tensor = torch.tensor([EOS])
    reference = model._get_logits_processor(config, input_ids_seq_length=prompt_tokens, device="cpu")
    processors = built(GenerationOptions.from_dict(values), prompt_tokens)
    for tokens in range(prompt_tokens, 10):
        ids, scores = random_ids(tokens, tokens), random_scores(tokens)
        torch.testing.assert_close(process(processors, ids, scores), reference(ids, scores), rtol=1e-4, atol=1e-5)


def test_options_that_change_nothing_build_no_processor() -> None:
    assert built(GenerationOptions(eos_token_id=EOS, min_length=1)) == []


@pytest.mark.parametrize(
    "values",
    [{"forced_bos_token_id": 12}, {"forced_eos_token_id": [2, 30]}, {"bad_words_ids": [[1, 12]]}],
)
def test_a_forced_id_beyond_the_vocabulary_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be below the vocabulary's size 12, but is "):
        built(GenerationOptions.from_dict(values))
