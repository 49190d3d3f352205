import pytest
import torch

from speechcli.errors import UsageError
from speechcli.pipelines.recognition.languages import Languages, detect_by_ctc, usual_language
from speechcli.text.prompts import Prompts, TaskPrompts

IDS = {"de_DE": 10, "en_XX": 11, "es_XX": 12}


def make(task="transcribe", *, ids=IDS, spoken=None, targets=(), forced=None):
    return Languages(Prompts(ids, start=2, forced=forced), task=task, spoken=spoken, targets=targets)


def test_transcribing_in_a_language_that_the_user_names_needs_no_identification():
    languages = make(spoken="German")
    assert languages.spoken == "de_DE" and not languages.detects


def test_transcribing_without_a_language_identifies_it():
    languages = make(forced=11)
    assert languages.detects


def test_the_users_language_overrides_the_manifest_and_that_the_detected_one():
    assert make(spoken="de").spoken_in("es", "en_XX") == "de_DE"
    assert make().spoken_in("Spanish", "en_XX") == "es_XX"
    assert make().spoken_in("fr", "en_XX") == "fr"
    assert make().spoken_in(None, "en_XX") == "en_XX"


def test_a_translation_has_each_target_and_any_spoken_language():
    languages = make("translate", spoken="fr", targets=("Spanish", "de"))
    assert languages.spoken == "fr"
    assert languages.targets == ("es_XX", "de_DE")


def test_translation_without_a_target_needs_a_model_with_a_default():
    assert make("translate", forced=12).targets == (None,)
    assert make("translate", ids={}).targets == (None,)
    with pytest.raises(UsageError, match="A target language is missing") as caught:
        make("translate")
    assert "de_DE, en_XX, es_XX" in caught.value.hint


def test_a_model_without_tags_cannot_be_given_a_language():
    with pytest.raises(UsageError, match="no language tags") as caught:
        make("translate", ids={}, targets=("es",))
    assert caught.value.hint == "Leave out --to."
    with pytest.raises(UsageError):
        make(ids={}, spoken="en")


def test_the_error_for_an_unknown_language_names_similar_ones():
    with pytest.raises(UsageError) as caught:
        make("translate", targets=("spanisch",))
    assert "Spanish" in caught.value.hint


def test_language_is_the_one_with_the_highest_probability_in_any_real_frame():
    logits = torch.zeros(2, 4, 13)
    logits[0, 1, 12] = 5.0
    logits[0, 3, 10] = 9.0  # padding
    logits[1, 3, 10] = 9.0
    assert detect_by_ctc(logits, torch.tensor([3, 4]), [10, 11, 12]) == [12, 10]


TOLD = TaskPrompts({"en": 52, "de": 53}, start=50, tasks={"transcribe": 61, "translate": 60}, no_times=63)
ENGLISH_ONLY = TaskPrompts({"en": 52}, start=50, tasks={}, no_times=63)


def told(task, *, spoken=None, targets=(), prompts=TOLD):
    return Languages(prompts, task=task, spoken=spoken, targets=targets)


def test_whisper_translates_into_english_with_or_without_a_target():
    assert told("translate").targets == told("translate", targets=("eng",)).targets == ("en",)
    with pytest.raises(UsageError, match="translates into English only, but the target language is `es`"):
        told("translate", targets=("es",))


def test_whisper_accepts_only_spoken_languages_that_it_has_tags_for():
    for task in ("transcribe", "translate"):
        with pytest.raises(UsageError, match="must be one that the model knows, but is `fr`"):
            told(task, spoken="fr")
        assert told(task).spoken_in("fr", "de") == "de"
        assert told(task).spoken_in("English", "de") == "en"


def test_a_model_that_only_writes_english_does_not_translate():
    assert told("transcribe", spoken="English", prompts=ENGLISH_ONLY).spoken == "en"
    with pytest.raises(UsageError, match="only transcribes speech, in English"):
        told("translate", prompts=ENGLISH_ONLY)


@pytest.mark.parametrize(
    ("generation", "expected"),
    [
        ({"language": "german"}, "de"),
        ({"language": "<|de|>", "forced_decoder_ids": [[1, 52]]}, "de"),
        ({"language": None, "forced_decoder_ids": [[1, 53], [2, 61]]}, "de"),
        ({"forced_decoder_ids": [[1, None], [2, 61]]}, None),
        ({}, None),
    ],
)
def test_the_spoken_language_of_a_fine_tuned_model_may_be_in_its_generation_config(generation, expected):
    assert usual_language(generation, TOLD) == expected
    assert usual_language(generation, ENGLISH_ONLY) is None
