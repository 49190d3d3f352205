from pathlib import Path

import pytest

from speechcli.errors import UsageError
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.speech_options import (
    InputOptions,
    ModelOptions,
    OutputOptions,
    Shard,
    TranscribeOptions,
    TranslateOptions,
    check_shown,
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
        (lambda: InputOptions(end=float("inf")), "--end"),
        (lambda: DecodingOptions(num_return=9, beam_size=3), "`--num-return` must be at most --beam-size, 3, but is 9"),
        (lambda: DecodingOptions(batch_seconds=0.0), "--batch-seconds"),
        (lambda: DecodingOptions(max_segment=float("inf")), "--max-segment"),
        (lambda: DecodingOptions(max_segment=1e308), "`--max-segment` must be from 1 to 86400 seconds, but is 1e"),
        (lambda: DecodingOptions(beam_size=0), "--beam-size"),
        (lambda: InputOptions(raw="s17le"), "raw encoding must be one of"),
        (lambda: InputOptions(raw="f32be", rate=100), "rate of raw audio"),
        (lambda: InputOptions(raw="f32be", channels=0), "Raw audio must have"),
        (
            lambda: InputOptions(raw="s16le", audio_backend="av"),
            "`--audio-backend` must be auto or soundfile with --raw",
        ),
        (lambda: InputOptions(rate=8_000), "`--rate` needs --raw"),
        (lambda: InputOptions(channels=2), "`--channels` needs --raw"),
        (lambda: DecodingOptions(lm="l", lm_weight=1e308), "`--lm-weight` must be from -1000 to 1000"),
        (
            lambda: DecodingOptions(hotwords="w", hotword_boost=float("nan")),
            "`--hotword-boost` must be from -1000 to 1000",
        ),
        (lambda: DecodingOptions(hotword_boost=3.0), "`--hotword-boost` needs --hotwords"),
        (lambda: DecodingOptions(max_new_tokens=3, min_new_tokens=4), "--min-new-tokens` must be at most"),
        (lambda: OutputOptions(formats=("txt", "json")), "one format"),
        (lambda: OutputOptions(formats=("srt",), max_chars=1), "--max-chars"),
        (lambda: OutputOptions(formats=("vtt",), max_lines=0), "--max-lines"),
        (lambda: OutputOptions(formats=("srt",), max_cps=float("nan")), "--max-cps"),
        (lambda: OutputOptions(max_lines=3), "`--max-lines` shapes srt and vtt, but the format is txt"),
        (lambda: DecodingOptions(beam_size=100_000), "`--beam-size` must be from 1 to 1000, but is 100000"),
        (lambda: DecodingOptions(num_return=1001), "`--num-return` must be from 1 to 1000"),
    ],
)
def test_invalid_options_are_refused(make, words):
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


def test_a_language_that_is_named_twice_is_one_target():
    assert TranslateOptions(targets=("es", "Spanish", "fr", "spa", "es_MX")).targets == ("es", "fr", "es_MX")


@pytest.mark.parametrize(
    ("decoding", "formats", "words"),
    [
        (
            DecodingOptions(word_times=True),
            ("txt", "tsv"),
            "`--word-times` is shown in json, jsonl, srt, vtt, but the formats",
        ),
        (DecodingOptions(num_return=2), ("vtt",), "`--num-return` is shown in json, jsonl, but the format is vtt"),
        (DecodingOptions(timestamps=True), ("txt",), "`--timestamps` is shown in json, jsonl, srt"),
    ],
)
def test_options_that_no_format_can_show_are_refused(decoding, formats, words):
    with pytest.raises(UsageError, match=words):
        check_shown(decoding, formats)
    check_shown(decoding, (*formats, "jsonl"))
    check_shown(DecodingOptions(num_return=1, timestamps="auto"), formats)


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
