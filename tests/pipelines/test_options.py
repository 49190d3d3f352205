from pathlib import Path

import pytest

from speechcli.errors import UsageError
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.options import (
    InputOptions,
    ModelOptions,
    OutputOptions,
    Shard,
    TranscribeOptions,
    TranslateOptions,
    target_labels,
)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: InputOptions(channel="left"), "--channel"),
        (lambda: InputOptions(channel="²"), "--channel"),
        (lambda: InputOptions(start=-1.0), "--start"),
        (lambda: InputOptions(start=float("nan")), "--start"),
        (lambda: InputOptions(start=2.0, end=1.0), "--end"),
        (lambda: DecodingOptions(batch_seconds=0.0), "--batch-seconds"),
        (lambda: DecodingOptions(max_segment=float("inf")), "--max-segment"),
        (lambda: DecodingOptions(beam_size=0), "--beam-size"),
        (lambda: InputOptions(raw="s17le"), "raw encoding must be one of"),
        (lambda: InputOptions(raw="f32be", rate=100), "rate of raw audio"),
        (lambda: InputOptions(raw="f32be", channels=0), "Raw audio must have"),
        (lambda: InputOptions(rate=8_000), "`--rate` belongs to --raw"),
        (lambda: InputOptions(channels=2), "`--channels` belongs to --raw"),
        (lambda: DecodingOptions(lm_weight=0.5), "`--lm-weight` belongs to --lm,"),
        (lambda: DecodingOptions(hotword_boost=3.0), "`--hotword-boost` belongs to --hotwords"),
        (lambda: DecodingOptions(max_new_tokens=3, min_new_tokens=4), "--min-new-tokens` must be at most"),
        (lambda: OutputOptions(formats=("txt", "json")), "one format"),
        (lambda: OutputOptions(max_chars=1), "--max-chars"),
        (lambda: OutputOptions(max_lines=0), "--max-lines"),
        (lambda: OutputOptions(max_cps=float("nan")), "--max-cps"),
        (lambda: TranslateOptions(targets=("es", "es")), "once"),
    ],
)
def test_what_makes_no_sense_is_refused(make, words):
    with pytest.raises(UsageError, match=words):
        make()


def test_chosen_options_are_those_that_decide_the_text():
    options = TranslateOptions(
        model=ModelOptions(threads=3, dtype="bfloat16", device="cpu", seed=4),
        inputs=InputOptions(inputs=("a",), channel="1"),
        decoding=DecodingOptions(strategy="sample", batch_size=3),
        language="de",
        targets=("es", "fr"),
    )
    assert options.chosen() == {
        "task": "translate",
        "from": "de",
        "to": ["es", "fr"],
        "channel": "1",
        "strategy": "sample",
        "dtype": "bfloat16",
        "seed": 4,
    }
    assert TranscribeOptions().chosen() == {"task": "transcribe"}


def test_token_is_never_shown():
    assert "secret" not in repr(ModelOptions(token="secret"))


def test_model_is_shown_with_its_revision():
    assert ModelOptions().shown == "embedded"
    assert ModelOptions("a/b", "v2").shown == "a/b@v2"


def test_labels_are_codes_unless_they_would_be_equal():
    assert target_labels(["Spanish", "de_DE"]) == ["es", "de"]
    assert target_labels(["zh_CN", "zh-TW"]) == ["zh_CN", "zh-TW"]
    assert target_labels(["../x", "de"])[0] == "___x"


def test_several_formats_need_a_folder():
    assert OutputOptions(output_dir=Path("o"), formats=("txt", "json")).formats == ("txt", "json")


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2", "1/2 "])
def test_a_shard_is_one_of_so_many(text):
    with pytest.raises(UsageError, match="i/n with i from 1 to n"):
        Shard.parse(text)


def test_shards_are_disjoint_and_complete():
    items = list(range(10))
    parts = [list(Shard.parse(f"{i}/4").of(items)) for i in range(1, 5)]
    assert sorted(sum(parts, [])) == items and parts[1] == [1, 5, 9]
    with pytest.raises(UsageError, match="output folder"):
        OutputOptions(shard=Shard(1, 2))
