import pytest

from speechcli.decoding.generation_options import GenerationOptions
from speechcli.errors import UsageError
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.search.effective_options import effective_options, other_searches, with_limit

MODEL = GenerationOptions(num_beams=4, max_length=200, length_penalty=0.5, forced_bos_token_id=9)


def test_without_user_options_the_options_of_the_model_are_effective():
    assert effective_options(MODEL, DecodingOptions()) == MODEL


def test_flags_override_the_model():
    asked = DecodingOptions(
        strategy="sample",
        temperature=0.7,
        top_k=5,
        top_p=0.9,
        min_p=0.1,
        typical_p=0.8,
        num_return=3,
        repetition_penalty=1.1,
        no_repeat_ngram_size=3,
        min_new_tokens=2,
        max_new_tokens=50,
        generation_set=("suppress_tokens=[3, 4]", "epsilon_cutoff=0.1", "top_k=7"),
    )
    expected = MODEL.with_(
        num_beams=1,
        do_sample=True,
        temperature=0.7,
        top_k=5,
        top_p=0.9,
        min_p=0.1,
        typical_p=0.8,
        num_return_sequences=3,
        repetition_penalty=1.1,
        no_repeat_ngram_size=3,
        min_new_tokens=2,
        max_new_tokens=50,
        suppress_tokens=(3, 4),
        epsilon_cutoff=0.1,
    )
    assert effective_options(MODEL, asked) == expected


def test_greedy_means_one_beam_even_if_the_model_has_more():
    assert effective_options(MODEL, DecodingOptions(strategy="greedy")).num_beams == 1


@pytest.mark.parametrize(
    ("model_beams", "asked", "beams"),
    [
        (1, DecodingOptions(strategy="beam"), 5),
        (4, DecodingOptions(strategy="beam"), 4),
        (4, DecodingOptions(strategy="beam", beam_size=2), 2),
        (4, DecodingOptions(beam_size=3), 3),
        (1, DecodingOptions(strategy="beam", num_return=7), 7),
    ],
)
def test_number_of_beams(model_beams, asked, beams):
    assert effective_options(MODEL.with_(num_beams=model_beams), asked).num_beams == beams


@pytest.mark.parametrize(
    ("asked", "texts"),
    [
        (DecodingOptions(strategy="greedy"), 1),
        (DecodingOptions(beam_size=2), 2),
        (DecodingOptions(beam_size=4), 3),
        (DecodingOptions(strategy="sample"), 3),
    ],
)
def test_a_narrower_search_than_the_model_expects_returns_fewer_texts(asked, texts):
    model = MODEL.with_(num_beams=4, num_return_sequences=3)
    assert effective_options(model, asked).num_return_sequences == texts


def test_a_repetitive_text_is_searched_again_with_enough_beams_for_all_texts():
    options = MODEL.with_(num_beams=1, do_sample=True, num_return_sequences=8)
    assert [(each.num_beams, each.num_return_sequences) for each in other_searches(options)][:2] == [(8, 8), (1, 8)]


def test_contradiction_is_a_usage_error():
    with pytest.raises(UsageError):
        effective_options(MODEL, DecodingOptions(strategy="greedy", num_return=2))
    with pytest.raises(UsageError, match="top_q"):
        effective_options(MODEL, DecodingOptions(generation_set=("top_q=1",)))
    with pytest.raises(UsageError, match="--beam-size is 4"):
        DecodingOptions(strategy="greedy", beam_size=4)


def test_options_without_an_effect_on_the_search_are_refused():
    for name, value in (("length_penalty", 1.0), ("early_stopping", False)):
        with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}` is for beam search"):
            effective_options(MODEL.with_(num_beams=1), DecodingOptions(**{name: value}))
        with pytest.raises(UsageError, match="is for beam search"):
            effective_options(MODEL, DecodingOptions(strategy="greedy", **{name: value}))
        assert effective_options(MODEL, DecodingOptions(**{name: value})).num_beams == 4
        retried = DecodingOptions(strategy="greedy", retry_repeats=True, **{name: value})
        assert effective_options(MODEL, retried).num_beams == 1
    with pytest.raises(UsageError, match="`--top-k` is for sampling, but"):
        effective_options(MODEL, DecodingOptions(top_k=5))


def test_without_any_limit_text_is_in_proportion_to_the_audio():
    free = GenerationOptions()
    assert with_limit(free, 3.0, 1000).max_new_tokens == 16 + 25 * 5
    assert with_limit(free, 5.1, 1000).max_new_tokens == 16 + 25 * 10


def test_auto_is_in_proportion_to_the_audio_even_if_the_model_sets_a_length():
    options = effective_options(MODEL.with_(max_new_tokens=9), DecodingOptions(max_new_tokens="auto"))
    assert with_limit(options, 3.0, 1000).max_new_tokens == 16 + 25 * 5


def test_a_limit_of_the_model_or_the_user_is_obeyed():
    assert with_limit(MODEL, 1.0, 1000) == MODEL
    assert with_limit(GenerationOptions(max_new_tokens=7), 1.0, 1000).max_new_tokens == 7


def test_limit_ends_with_the_positions_of_the_decoder():
    assert with_limit(GenerationOptions(max_new_tokens=500), 1.0, 64).length_limits(1).longest == 64
    assert with_limit(GenerationOptions(), 60.0, 64).length_limits(1).longest == 64


@pytest.mark.parametrize("name", ["temperature", "top_k", "top_p", "min_p", "typical_p"])
def test_sampling_options_are_refused_without_sampling(name):
    with pytest.raises(UsageError, match=f"`--{name.replace('_', '-')}` is for sampling, but"):
        effective_options(MODEL, DecodingOptions(**{name: 1}))
    sampling = effective_options(MODEL.with_(do_sample=True, num_beams=1), DecodingOptions(**{name: 1}))
    assert getattr(sampling, name) == 1
