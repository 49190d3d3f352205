import pytest

from speechcli.decoding.options import GenerationOptions
from speechcli.errors import UsageError
from speechcli.pipelines.prompts import Prompt, Prompts

TAGS = {"de_DE": 10, "en_XX": 11, "es_XX": 12}


def prompts(tags=TAGS, forced=None):
    return Prompts(tags, GenerationOptions(decoder_start_token_id=2, forced_bos_token_id=forced))


def test_a_transcript_must_begin_with_the_tag_of_the_spoken_language():
    assert prompts().of("transcribe", spoken="de_DE", target=None) == Prompt((2,), 10, "de")


def test_a_translation_must_begin_with_the_tag_of_the_target_whatever_is_spoken():
    for spoken in ("en_XX", "French", None):
        assert prompts(forced=10).of("translate", spoken=spoken, target="es_XX") == Prompt((2,), 12, "es")


def test_where_nobody_chooses_the_model_says_its_own_first_token():
    for task in ("transcribe", "translate"):
        assert prompts(forced=11).of(task, spoken=None, target=None) == Prompt((2,), 11, "en")
        assert prompts().of(task, spoken=None, target=None) == Prompt((2,))
    assert prompts(forced=11).of("transcribe", spoken="fr", target=None) == Prompt((2,), 11, "en")


def test_a_model_without_tags_may_force_a_token_that_is_no_language():
    assert prompts({}, forced=0).of("transcribe", spoken="fr", target=None) == Prompt((2,), 0)


def test_a_model_without_a_start_token_cannot_write():
    with pytest.raises(UsageError, match="decoder_start_token_id"):
        Prompts(TAGS, GenerationOptions())
