"""Missing values of configurations have the defaults of transformers, and all valid types of values are read."""

from dataclasses import fields

import pytest
import transformers

from speechcli.families import TEXT_DECODERS

# transformers also writes sizes that can be derived from others; we read either
OURS_ALONE = {"decoder_vocab_size", "is_decoder", "add_cross_attention"}


@pytest.mark.parametrize("kind", [kind for kind in TEXT_DECODERS if kind != "speech_to_text_2"])
def test_the_defaults_of_decoder_configurations_are_those_of_transformers(kind: str) -> None:
    config = TEXT_DECODERS[kind].config
    theirs = transformers.AutoConfig.for_model(kind).to_dict()
    alone = OURS_ALONE | ({"embedding_size"} if kind == "roformer" else set())
    ours = {item.name: item.default for item in fields(config) if item.name in theirs.keys() - alone}
    assert ours
    assert {key: list(value) if isinstance(value, tuple) else value for key, value in ours.items()} == {
        key: theirs[key] for key in ours
    }


@pytest.mark.parametrize("kind", TEXT_DECODERS)
def test_a_text_may_end_in_several_ways_and_dropout_may_be_a_whole_number(kind: str) -> None:
    config = TEXT_DECODERS[kind].config
    values = {"eos_token_id": [1, 2], "dropout": 0, "hidden_dropout_prob": 0, "resid_pdrop": 0}
    assert config.from_dict(values).to_dict() == {"model_type": config.model_type} | values
