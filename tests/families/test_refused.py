"""Models that are not supported as encoder or decoder are rejected with the reason and the supported families."""

import pytest
import transformers

from speechcli.errors import ModelError
from speechcli.families import SPEECH_ENCODERS, TEXT_DECODERS
from speechcli.families.composite import family_config
from speechcli.families.refused import BROKEN, NO_TEXT, UNCOUNTED, WHOLE_SPEECH, why_no_decoder, why_no_encoder


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("llama", "which has no cross-attention and so cannot use the output of the encoder"),
        ("qwen3_moe", "which has no cross-attention and so cannot use the output of the encoder"),
        ("gpt_neox", "which has no cross-attention and so cannot use the output of the encoder"),
        ("opt", "which has no cross-attention and so cannot use the output of the encoder"),
        ("t5", "for which the reference implementation has no standalone decoder"),
        ("distilbert", "for which the reference implementation has no standalone decoder"),
        ("big_bird", "generates different tokens with and without a cache"),
        ("prophetnet", "changes the scores of a token when later tokens are added"),
    ],
)
def test_an_unsupported_decoder_is_rejected_with_the_reason(kind: str, reason: str) -> None:
    with pytest.raises(ModelError) as caught:
        family_config({"model_type": kind}, TEXT_DECODERS, role="text decoder")
    assert reason in caught.value.message and f"`model_type` is '{kind}'" in caught.value.message
    assert all(name in caught.value.message for name in TEXT_DECODERS)


def test_no_reason_is_given_for_an_unknown_model() -> None:
    with pytest.raises(ModelError, match=r"its `model_type` is 'novel'\.$"):
        family_config({"model_type": "novel"}, TEXT_DECODERS, role="text decoder")


def test_no_supported_family_is_listed_as_unsupported() -> None:
    assert not TEXT_DECODERS.keys() & (set(NO_TEXT) | BROKEN.keys())
    assert not SPEECH_ENCODERS.keys() & (set(WHOLE_SPEECH) | set(UNCOUNTED))
    assert why_no_decoder("prophetnet") != why_no_decoder("big_bird")


def test_every_causal_model_of_transformers_is_supported_or_rejected_with_a_reason() -> None:
    theirs = transformers.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    assert [kind for kind in theirs if kind not in TEXT_DECODERS and not why_no_decoder(kind)] == []


def test_every_speech_model_of_transformers_is_supported_or_rejected_with_a_reason() -> None:
    auto = transformers.models.auto.modeling_auto
    theirs = auto.MODEL_FOR_CTC_MAPPING_NAMES | auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES
    theirs |= auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES
    known = {*SPEECH_ENCODERS, "speech-encoder-decoder"}
    assert [kind for kind in theirs if kind not in known and not why_no_encoder(kind)] == []


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("speech_to_text", "for which the reference implementation has no standalone encoder"),
        ("parakeet_encoder", "whose frames the reference implementation does not count"),
        ("mctct", "which was removed from the reference implementation"),
    ],
)
def test_an_unsupported_encoder_is_rejected_with_the_reason(kind: str, reason: str) -> None:
    with pytest.raises(ModelError) as caught:
        family_config({"model_type": kind}, SPEECH_ENCODERS, role="speech encoder")
    assert reason in caught.value.message and f"`model_type` is '{kind}'" in caught.value.message
