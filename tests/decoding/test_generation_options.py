"""Generation options: checks, files, and files of old versions."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import GenerationConfig

from speechcli.decoding.generation_options import GenerationOptions, LengthLimits
from speechcli.decoding.option_rules import UNSUPPORTED
from speechcli.errors import ModelError, UsageError

BROKEN: list[tuple[str, Any]] = [
    ("max_length", 0),
    ("max_new_tokens", 0),
    ("min_length", -1),
    ("min_new_tokens", 1.5),
    ("do_sample", 1),
    ("num_beams", 0),
    ("num_beams", True),
    ("num_return_sequences", "2"),
    ("length_penalty", "long"),
    ("length_penalty", float("nan")),
    ("length_penalty", 1e308),
    ("early_stopping", "always"),
    ("temperature", -0.5),
    ("temperature", float("inf")),
    ("top_k", -1),
    ("top_p", 1.5),
    ("min_p", -0.1),
    ("top_h", 0),
    ("typical_p", 0),
    ("epsilon_cutoff", 1),
    ("eta_cutoff", -1),
    ("repetition_penalty", 0),
    ("no_repeat_ngram_size", -2),
    ("bad_words_ids", [3]),
    ("bad_words_ids", [[]]),
    ("sequence_bias", [[3, 1.0]]),
    ("suppress_tokens", 3),
    ("begin_suppress_tokens", [-1]),
    ("forced_bos_token_id", -1),
    ("forced_eos_token_id", []),
    ("return_timestamps", "word"),
    ("no_timestamps_token_id", -1),
    ("max_initial_timestamp_index", -1),
    ("exponential_decay_length_penalty", [1]),
    ("remove_invalid_values", "yes"),
    ("renormalize_logits", 0),
    ("bos_token_id", "<s>"),
    ("pad_token_id", -1),
    ("eos_token_id", [2, -1]),
    ("decoder_start_token_id", 1.0),
]


@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_a_forbidden_value_is_reported_with_its_rule(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"^`{name}` must be .*, but is "):
        GenerationOptions.from_dict({name: value})


def test_every_option_has_a_rule() -> None:
    assert {name for name, _ in BROKEN} | {"extra"} == set(GenerationOptions.__dataclass_fields__)


def test_more_results_than_beams_are_refused() -> None:
    with pytest.raises(UsageError, match=r"`num_return_sequences` must be at most `num_beams` \(2\), but is 3"):
        GenerationOptions(num_beams=2, num_return_sequences=3)
    with pytest.raises(UsageError, match="num_return_sequences"):
        GenerationOptions(num_return_sequences=2)
    assert GenerationOptions(do_sample=True, num_return_sequences=2).num_return_sequences == 2


def test_a_temperature_that_leaves_nothing_to_draw_from_is_refused_only_when_sampling() -> None:
    assert GenerationOptions(temperature=0.0).temperature == 0
    with pytest.raises(UsageError, match=r"from 1e-06 to 1e\+06 when sampling, but is 0"):
        GenerationOptions(temperature=0.0, do_sample=True)
    for value in (1e-300, 1e300):
        with pytest.raises(UsageError, match=r"but is 1e.300"):
            GenerationOptions(temperature=value, do_sample=True)


def test_a_forced_token_that_is_suppressed_is_refused() -> None:
    with pytest.raises(UsageError, match="`forced_bos_token_id` must not be among `suppress_tokens`"):
        GenerationOptions(forced_bos_token_id=5, suppress_tokens=(4, 5))


def test_the_error_for_an_unknown_option_names_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="`num_beam` is not a generation option") as caught:
        GenerationOptions().with_(num_beam=3)
    assert caught.value.hint == "Did you mean num_beams?"


def test_none_sets_an_option_back_to_its_default() -> None:
    options = GenerationOptions(num_beams=5, max_length=30)
    changed = options.with_(num_beams=None, max_length=None, temperature=0.5)
    assert (changed.num_beams, changed.max_length, changed.temperature) == (1, None, 0.5)
    assert options.num_beams == 5


def test_a_generation_config_survives_a_round_trip() -> None:
    content = {
        "num_beams": 5, "max_length": 200, "early_stopping": True, "forced_bos_token_id": 7, "eos_token_id": [2, 3],
        "bad_words_ids": [[4], [5, 6]], "sequence_bias": [[[4, 5], -1.5]], "transformers_version": "4.27.0.dev0",
        "_from_model_config": True, "num_assistant_tokens": 20, "our_own": {"a": None}, "use_cache": None,
    }  # fmt: skip
    options = GenerationOptions.from_dict(content)
    assert options.to_dict() == content
    assert json.loads(json.dumps(options.to_dict())) == content
    assert GenerationOptions.from_dict(options.to_dict()) == options


def test_a_twenty_that_was_set_is_written_back_and_no_default() -> None:
    assert GenerationOptions.from_dict({"max_length": 20}).to_dict() == {"max_length": 20}


def test_options_can_be_a_dictionary_key() -> None:
    assert len({GenerationOptions(suppress_tokens=(1,)), GenerationOptions.from_dict({"suppress_tokens": [1]})}) == 1


LENGTHS: list[tuple[dict[str, int], int, LengthLimits]] = [
    ({}, 1, LengthLimits(0, 21)),
    ({}, 3, LengthLimits(0, 23)),
    ({"max_length": 20}, 1, LengthLimits(0, 20)),
    ({"max_length": 12, "min_length": 4}, 1, LengthLimits(4, 12)),
    ({"max_length": 200, "max_new_tokens": 5}, 2, LengthLimits(0, 7)),
    ({"min_length": 9, "min_new_tokens": 2}, 2, LengthLimits(4, 22)),
]


@pytest.mark.parametrize(("values", "prompt_tokens", "limits"), LENGTHS)
def test_lengths_count_the_prompt_unless_they_say_new(
    values: dict[str, int], prompt_tokens: int, limits: LengthLimits
) -> None:
    assert GenerationOptions(**values).length_limits(prompt_tokens) == limits


def test_the_start_token_falls_back_to_bos() -> None:
    assert GenerationOptions(decoder_start_token_id=2, bos_token_id=0).start_token_id == 2
    assert GenerationOptions(bos_token_id=0).start_token_id == 0
    with pytest.raises(UsageError, match="`decoder_start_token_id` must be set"):
        _ = GenerationOptions().start_token_id


def test_config_json_is_not_read_when_there_is_a_generation_config() -> None:
    config = {"decoder_start_token_id": 2, "num_beams": 5, "decoder": {"max_length": 200}}
    assert GenerationOptions.from_files(config, {"bos_token_id": 0}) == GenerationOptions(bos_token_id=0)


OLD_FILES: list[dict[str, Any]] = [
    {"model_type": "speech-encoder-decoder", "decoder": {"model_type": "bart", "max_length": 200, "num_beams": 5}},
    {"max_length": None, "num_beams": 3, "decoder": {"max_length": 50, "num_beams": 5, "forced_eos_token_id": 2}},
    {"decoder_start_token_id": 2, "eos_token_id": 2, "pad_token_id": None, "decoder": {"pad_token_id": 1}},
    {"num_beams": 1, "early_stopping": False, "decoder": {"num_beams": 4, "early_stopping": True}},
    {"decoder": {"max_length": 20, "top_k": 50, "bad_words_ids": None, "num_beam_groups": 1, "temperature": 1.0}},
    {"decoder": {"bos_token_id": 0, "suppress_tokens": [3], "exponential_decay_length_penalty": [4, 1.1]}},
    {"decoder": None, "max_length": 12},
    {},
]


@pytest.mark.parametrize("config", OLD_FILES)
def test_options_in_old_configs_are_read_as_in_transformers(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    theirs = GenerationConfig.from_pretrained(tmp_path, config_file_name="config.json", _from_model_config=True)
    ours = GenerationOptions.from_files(config).to_dict()
    defaults = GenerationOptions()
    for name in GenerationOptions.__dataclass_fields__:
        wanted = getattr(theirs, name, None)
        if wanted is not None and wanted != getattr(defaults, name):
            assert ours.pop(name) == wanted, name
    assert set(ours) <= set(UNSUPPORTED)


def test_a_bad_value_in_a_file_is_reported_with_the_name_of_the_file() -> None:
    with pytest.raises(ModelError, match="^generation_config.json cannot be used: `num_beams` must be"):
        GenerationOptions.from_files({}, {"num_beams": 0})
    with pytest.raises(ModelError, match="^config.json cannot be used: `num_beams` must be"):
        GenerationOptions.from_files({"decoder": {"num_beams": 0}})


@pytest.mark.parametrize("extra", [{"penalty_alpha": 0.6}, {"force_words_ids": [[1]]}, {"num_beam_groups": 2}])
def test_keys_of_searches_that_do_not_exist_are_refused_before_decoding(extra: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is not supported"):
        GenerationOptions.from_dict(extra).check_supported()


def test_neutral_values_of_other_searches_are_accepted() -> None:
    GenerationOptions.from_dict({"num_beam_groups": 1, "penalty_alpha": None, "guidance_scale": 1}).check_supported()
