"""Text models that cannot be the decoder are refused with the reason and with what can be."""

import pytest

from speechcli.errors import ModelError
from speechcli.families import TEXT_DECODERS
from speechcli.families.composite import family_config
from speechcli.families.refused import BROKEN, CAUSAL_ONLY, NOT_APART, why_refused


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("llama", "which has no cross-attention and so could not hear what the encoder says"),
        ("qwen3_moe", "which has no cross-attention and so could not hear what the encoder says"),
        ("gpt_neox", "which has no cross-attention and so could not hear what the encoder says"),
        ("opt", "which has no cross-attention and so could not hear what the encoder says"),
        ("t5", "of which the reference implementation has no decoder that stands alone"),
        ("distilbert", "of which the reference implementation has no decoder that stands alone"),
        ("big_bird", "gives other tokens with a cache than without one"),
        ("prophetnet", "fails when it decodes token by token"),
    ],
)
def test_a_decoder_that_cannot_be_is_refused_with_its_reason(kind: str, reason: str) -> None:
    with pytest.raises(ModelError) as caught:
        family_config({"model_type": kind}, TEXT_DECODERS, role="text decoder")
    assert reason in caught.value.message and f"`model_type` is '{kind}'" in caught.value.message
    assert all(name in caught.value.message for name in TEXT_DECODERS)


def test_nothing_is_said_of_what_is_not_known() -> None:
    with pytest.raises(ModelError, match=r"its `model_type` is 'novel'\.$"):
        family_config({"model_type": "novel"}, TEXT_DECODERS, role="text decoder")


def test_no_decoder_is_both_supported_and_known_not_to_be() -> None:
    assert not TEXT_DECODERS.keys() & (set(CAUSAL_ONLY) | set(NOT_APART) | BROKEN.keys())
    assert why_refused("prophetnet") != why_refused("big_bird")
