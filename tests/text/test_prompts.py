import pytest

from speechcli.errors import UsageError
from speechcli.text.prompts import Prompt, Prompts, TaskPrompts, translation_tag

TAGS = {"de_DE": 10, "en_XX": 11, "es_XX": 12}


def prompts(tags=TAGS, forced=None):
    return Prompts(tags, start=2, forced=forced)


def test_a_transcript_must_begin_with_the_tag_of_the_spoken_language():
    assert prompts().of("transcribe", spoken="de_DE", target=None) == Prompt((2,), 10, "de")


def test_a_translation_begins_with_the_tag_of_the_target_for_any_spoken_language():
    for spoken in ("en_XX", "French", None):
        assert prompts(forced=10).of("translate", spoken=spoken, target="es_XX") == Prompt((2,), 12, "es")


def test_without_a_language_the_default_first_token_of_the_model_is_forced():
    for task in ("transcribe", "translate"):
        assert prompts(forced=11).of(task, spoken=None, target=None) == Prompt((2,), 11, "en")
        assert prompts().of(task, spoken=None, target=None) == Prompt((2,))
    assert prompts(forced=11).of("transcribe", spoken="fr", target=None) == Prompt((2,), 11, "en")


def test_a_model_without_tags_may_force_a_token_that_is_not_a_language():
    assert prompts({}, forced=0).of("transcribe", spoken="fr", target=None) == Prompt((2,), 0)


def test_the_first_labels_are_the_prompt():
    assert prompts().between("English", "German").given == (10,)
    assert prompts().between(None, None).given == ()
    assert prompts(forced=11).between(None, None).given == (11,)
    assert Prompts(TAGS, start=10).between("de", "de").given == ()  # the start token is that tag


def test_a_text_in_a_language_without_a_tag_is_refused():
    with pytest.raises(UsageError, match="must be one that the model knows, but is `fr`"):
        prompts().between("de", "fr")


def test_a_model_without_tags_takes_texts_in_any_language():
    assert prompts({}).between("de", "fr") == Prompt((2,))
    assert prompts({}).given == 0 and prompts().given == 1


TOLD = TaskPrompts({"en": 52, "de": 53}, start=50, tasks={"transcribe": 61, "translate": 60}, no_times=63)
ENGLISH_ONLY = TaskPrompts({"en": 52}, start=50, tasks={}, no_times=63)


def test_whispers_prompt_has_language_task_and_no_timestamps():
    assert TOLD.of("transcribe", spoken="de", target=None) == Prompt((50, 53, 61, 63), None, "de")
    assert TOLD.of("translate", spoken="de", target="en") == Prompt((50, 53, 60, 63), None, "en")
    assert TOLD.given == 3


def test_the_prompt_of_an_english_only_model_has_no_language_and_task():
    for task, spoken in (("transcribe", "en"), ("transcribe", None), ("translate", "de")):
        assert ENGLISH_ONLY.of(task, spoken=spoken, target=None) == Prompt((50, 63), None, "en")
    assert (ENGLISH_ONLY.into, ENGLISH_ONLY.needs_language, ENGLISH_ONLY.given) == ((), False, 1)


def test_whispers_prompt_needs_the_spoken_language():
    with pytest.raises(UsageError, match="must be given the spoken language, but it is not known"):
        TOLD.of("transcribe", spoken=None, target=None)
    with pytest.raises(UsageError, match="but it is French, for which it has no tag"):
        TOLD.of("transcribe", spoken="fr", target=None)


def test_whisper_is_trained_on_transcripts_and_translations():
    assert TOLD.between("German", "German").given == (53, 61, 63)
    assert TOLD.between("de", None).given == TOLD.between(None, "de").given == (53, 61, 63)
    assert TOLD.between("de", "en").given == (53, 60, 63)
    assert TOLD.between("en", "de").given == (53, 61, 63)  # as a transcript of German
    assert TOLD.between("mdw", "de").given == (53, 61, 63)  # a spoken language without a tag
    with pytest.raises(UsageError, match="must be one that the model knows, but is `mdw`"):
        TOLD.between("mdw", "en")
    with pytest.raises(UsageError, match="must be one that the model knows, but is `fr`"):
        TOLD.between("en", "fr")


def test_whisper_translates_into_english_and_into_the_languages_that_it_was_taught():
    tags = {"en": 52, "de": 53, "fr": 54}
    taught = TaskPrompts(tags, start=50, tasks={"transcribe": 61, "translate": 60}, no_times=63, taught=["fr"])
    assert (TOLD.into, taught.into) == (("en",), ("en", "fr"))
    assert taught.of("translate", spoken="de", target="en") == Prompt((50, 53, 60, 63), None, "en")
    assert taught.of("translate", spoken=None, target="fr") == Prompt((50, 54, 61, 63), None, "fr")


def test_a_model_writes_the_languages_of_its_tags_and_whisper_translates_only_into_some():
    assert [prompts().writes("French", written) for written in ("German", "es", "cs", None)] == [
        True,
        True,
        False,
        True,
    ]
    assert prompts({}).writes("en", "cs")
    assert [TOLD.writes("de", written) for written in ("de", "en", "German", "cs")] == [True, True, True, False]
    assert not TOLD.writes("en", "de")


def test_a_target_must_be_a_language_of_the_model():
    assert translation_tag("German", ("en_XX", "de_DE")) == "de_DE"
    assert translation_tag("eng", ("en",)) == "en"
    with pytest.raises(UsageError, match="English only"):
        translation_tag("Spanish", ("en",))


def test_the_prompt_for_timestamps_lacks_the_no_timestamps_token():
    timed = TaskPrompts({"de": 53}, start=50, tasks={"transcribe": 61}, no_times=63, times=True)
    assert timed.of("transcribe", spoken="de", target=None) == Prompt((50, 53, 61), None, "de", first_time=64)
