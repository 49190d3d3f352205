"""Text models that cannot be the decoder are refused with the reason and with what can be."""

import pytest
import transformers

from speechcli.errors import ModelError
from speechcli.families import SPEECH_ENCODERS, TEXT_DECODERS
from speechcli.families.composite import family_config
from speechcli.families.refused import BROKEN, NO_TEXT, UNCOUNTED, WHOLE_SPEECH, why_no_decoder, why_no_encoder


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
        ("prophetnet", "gives a token other scores when the text goes on"),
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
    assert not TEXT_DECODERS.keys() & (set(NO_TEXT) | BROKEN.keys())
    assert not SPEECH_ENCODERS.keys() & (set(WHOLE_SPEECH) | set(UNCOUNTED))
    assert why_no_decoder("prophetnet") != why_no_decoder("big_bird")


def test_every_causal_model_of_transformers_can_be_the_decoder_or_is_refused_with_a_reason() -> None:
    theirs = transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    assert [kind for kind in theirs if kind not in TEXT_DECODERS and not why_no_decoder(kind)] == []


def test_every_recognizer_of_transformers_can_be_the_encoder_or_is_refused_with_a_reason() -> None:
    auto = transformers.models.auto.modeling_auto
    theirs = auto.MODEL_FOR_CTC_MAPPING_NAMES | auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES
    theirs |= auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES
    known = {*SPEECH_ENCODERS, "speech-encoder-decoder"}
    assert [kind for kind in theirs if kind not in known and not why_no_encoder(kind)] == []


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("speech_to_text", "of which the reference implementation has no encoder that stands alone"),
        ("parakeet_encoder", "whose frames the reference implementation does not count"),
        ("mctct", "which the reference implementation no longer has"),
    ],
)
def test_an_encoder_that_cannot_be_is_refused_with_its_reason(kind: str, reason: str) -> None:
    with pytest.raises(ModelError) as caught:
        family_config({"model_type": kind}, SPEECH_ENCODERS, role="speech encoder")
    assert reason in caught.value.message and f"`model_type` is '{kind}'" in caught.value.message
