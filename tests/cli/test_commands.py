"""Every command hands its pipeline exactly the options that were typed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from speechcli.cli import deliver as deliver_module
from speechcli.cli.app import app, main
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.outcome import JobReport
from speechcli.pipelines.speech_options import (
    InputOptions,
    ModelOptions,
    OutputOptions,
    Shard,
    TranscribeOptions,
    TranslateOptions,
)

MODEL_FLAGS = (
    "--model m --revision r --token t --cache-dir c --offline --device cuda:1 --dtype bfloat16 --threads 3 --seed 4 "
    "--quantize int8"
)
MODEL = ModelOptions(
    "m", "r", "cuda:1", "bfloat16", threads=3, seed=4, quantize="int8", token="t", cache_dir=Path("c"), offline=True
)
INPUT_FLAGS = (
    "--manifest f.tsv --raw s16le --rate 8000 --channels 2 --audio-backend soundfile --channel 1 --start 1 --end 2 "
    "--normalize none"
)
INPUTS = InputOptions(("a.wav", "b"), Path("f.tsv"), "s16le", 8000, 2, "soundfile", "1", 1.0, 2.0, "none")
DECODING_FLAGS = (
    "--strategy beam --beam-size 6 --length-penalty 0.5 --early-stopping false --temperature 0.7 --top-k 8 --top-p 0.9 "
    "--min-p 0.1 --typical-p 0.8 --num-return 2 --repetition-penalty 1.1 --no-repeat-ngram-size 3 "
    "--min-new-tokens 1 --max-new-tokens 99 --generation-set min_length=2 --generation-set suppress_tokens=[4] "
    "--lm l --lm-weight 0.2 --hotwords w --hotword-boost 3 --retry-repeats "
    "--no-timestamps --max-segment 20 --vad energy --batch-seconds 40 --batch-size 5"
)
DECODING = DecodingOptions(
    timestamps=False,
    strategy="beam",
    beam_size=6,
    length_penalty=0.5,
    early_stopping=False,
    temperature=0.7,
    top_k=8,
    top_p=0.9,
    min_p=0.1,
    typical_p=0.8,
    num_return=2,
    repetition_penalty=1.1,
    no_repeat_ngram_size=3,
    min_new_tokens=1,
    max_new_tokens=99,
    generation_set=("min_length=2", "suppress_tokens=[4]"),
    lm="l",
    lm_weight=0.2,
    hotwords="w",
    hotword_boost=3.0,
    retry_repeats=True,
    max_segment=20.0,
    vad="energy",
    batch_seconds=40.0,
    batch_size=5,
)
OUTPUT_FLAGS = (
    "-o out -f json -f srt -f json --overwrite --no-resume --shard 2/3 --max-chars 30 --max-lines 3 --max-cps 15 "
    "--progress none -q"
)
OUTPUTS = OutputOptions(Path("out"), ("json", "srt"), True, False, Shard(2, 3), 30, 3, 15.0)


@pytest.fixture
def job(monkeypatch):
    """Replace the pipeline; return its arguments."""
    given = []

    def run_job(options, outputs, *, sink, report):
        given.append((options, outputs))
        return JobReport(done=1)

    monkeypatch.setattr(deliver_module, "run_job", run_job)
    return given


def test_transcribe_hands_over_every_option(job):
    flags = f"a.wav b {MODEL_FLAGS} {INPUT_FLAGS} {DECODING_FLAGS} {OUTPUT_FLAGS} --from de"
    assert main(["transcribe", *flags.split(), "--word-times", "--ctc-weight", "0.4"]) == 0
    decoding = replace(DECODING, word_times=True, ctc_weight=0.4)
    assert job == [(TranscribeOptions(MODEL, INPUTS, decoding, "de"), OUTPUTS)]


def test_translate_hands_over_every_option(job):
    translating = "--memory m --memory-weight 0.7 --from de --to es --to fr"
    flags = f"a.wav b {MODEL_FLAGS} {INPUT_FLAGS} {DECODING_FLAGS} {OUTPUT_FLAGS} {translating}"
    assert main(["translate", *flags.split()]) == 0
    assert job == [
        (TranslateOptions(MODEL, INPUTS, replace(DECODING, memory="m", memory_weight=0.7), "de", ("es", "fr")), OUTPUTS)
    ]


def test_formats_that_are_about_times_ask_the_decoder_for_them(job):
    for kind in ("srt", "vtt", "tsv", "json", "txt"):
        assert main(["transcribe", "a.wav", "-f", kind]) == 0
    assert [options.decoding.timestamps for options, _ in job] == ["auto", "auto", "auto", None, None]


def test_defaults_of_the_command_are_those_of_the_options(job, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    inputs = InputOptions(("a.wav",))
    assert main(["transcribe", "a.wav"]) == main(["translate", "a.wav"]) == 0
    assert job == [
        (TranscribeOptions(inputs=inputs), OutputOptions()),
        (TranslateOptions(inputs=inputs), OutputOptions()),
    ]


def test_token_may_come_from_the_environment(job, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    main(["transcribe", "a.wav"])
    assert job[0][0].model.token == "secret"


def test_commands_run_in_typers_runner_too(job):
    result = CliRunner().invoke(app, ["transcribe", "-", "-f", "jsonl"])
    assert result.exit_code == 0
    assert job[0][0].inputs.inputs == ("-",) and job[0][1].formats == ("jsonl",)


@pytest.mark.parametrize("command", ["init", "warm-start", "train", "transcribe", "translate", "evaluate", "info"])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_explains_itself(command, flag, capsys):
    assert main([command, flag]) == 0
    captured = capsys.readouterr()
    assert f"speechcli {command}" in captured.out and captured.err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing command"),
        (["transcrib"], "transcribe"),
        (["transcribe", "--beam-sise", "3"], "--beam-size"),
        (["transcribe"], "An input is missing"),
        (["transcribe", "a", "--device", "tpu"], "cuda:N"),
        (["transcribe", "a", "--channel", "left"], "mix"),
        (["transcribe", "a", "-f", "doc"], "txt, json, jsonl"),
        (["transcribe", "a", "-f", "txt", "-f", "json"], "-o DIR"),
        (["transcribe", "a", "--dtype", "float8"], "float32"),
        (["transcribe", "a", "--end", "1", "--start", "2"], "--end"),
        (["transcribe", "a", "--beam-size", "0"], "--beam-size"),
        (["transcribe", "a", "--strategy", "greedy", "--beam-size", "3"], "--beam-size is 3"),
        (["transcribe", "a", "--max-new-tokens", "many"], "a number of tokens or auto"),
        (["transcribe", "a", "--early-stopping", "maybe"], "never"),
        (["evaluate"], "Missing argument 'MANIFEST...'"),
        (["train", "-o", "run"], "Give --train"),
        (["train", "-o", "run", "--set", "run.max_step=3"], "run.max_steps"),
        (["init", "--encoder", "wav2vec2"], "--decoder"),
    ],
)
def test_usage_error_is_a_sentence_and_exit_code_2(arguments, words, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("error: ") and words in captured.err


@pytest.mark.parametrize("command", ["init", "warm-start"])
def test_composing_hands_over_every_option(command, monkeypatch, capsys):
    from speechcli.pipelines import init, warm_start
    from speechcli.pipelines.compose_options import ComposeOptions, ComposeReport

    given = []
    report = ComposeReport(Path("new"), 1234, ("All is random.",))
    monkeypatch.setattr(init, "init", lambda options: given.append(options) or report)
    monkeypatch.setattr(warm_start, "warm_start", lambda options: given.append(options) or report)
    flags = (
        "--encoder e --decoder d -o new --encoder-set a=1 --encoder-set b=2 --decoder-set c=3 --tokenizer t "
        "--language de --decoder-start-token-id 2 --pad-token-id 1 --eos-token-id 3 --token x --cache-dir c --offline "
        "--seed 7 --overwrite"
    )
    spoken = None if command == "init" else "fr"
    assert main([command, *flags.split(), *(["--from", "fr"] if spoken else [])]) == 0
    assert given == [
        ComposeOptions(
            "e",
            "d",
            Path("new"),
            encoder_set=("a=1", "b=2"),
            decoder_set=("c=3",),
            tokenizer="t",
            language="de",
            decoder_start_token_id=2,
            pad_token_id=1,
            eos_token_id=3,
            seed=7,
            overwrite=True,
            spoken=spoken,
            token="x",
            cache_dir=Path("c"),
            offline=True,
        )
    ]
    captured = capsys.readouterr()
    assert captured.out == "" and "1,234 parameters" in captured.err and "All is random." in captured.err


def test_training_hands_over_every_option(monkeypatch, capsys, tmp_path):
    from speechcli.pipelines import train
    from speechcli.pipelines.speech_options import HubAccess
    from speechcli.training.events import Evaluated, Sample, Saved, Started, Stepped, Warned
    from speechcli.training.loop import TrainReport

    given = {}

    def run(merged, output, **more):
        given.update(merged=merged, output=output, **more)
        for event in (
            Started(0, 5, 0.1, {"en->de": 5}, 1000, 900, "cpu", "float32"),
            Stepped(2, 0.5, {"cross_entropy": 1.5}, 1e-4, 2.0, 30.0, 9.0, 0.25, 0),
            Evaluated(2, {}, {"en->de": {"bleu": 12.5}}, 12.5, True, (Sample("u1", "de", "wie [b]", "was"),)),
            Saved(2, Path("run/checkpoints/2")),
            Warned("careful"),
        ):
            more["report"](event)
        return train.TrainResult(TrainReport(2, 60.0, 2, 12.5, 0), Path("run/best"), Path("run/last"), {"u9": "gone"})

    monkeypatch.setattr(train, "train", run)
    run_folder = str(tmp_path / "run")
    flags = (
        f"--model m --revision r --train a.tsv --train b.tsv --dev d.tsv -o {run_folder} --set run.max_steps=7 "
        "--device cpu --dtype float32 --threads 2 --seed 9 --token t --cache-dir c --offline --resume --max-bad 0.25"
    )
    assert main(["train", *flags.split()]) == 0
    options = given["merged"].options
    assert options.data.max_bad == 0.25
    assert (options.model.path, options.model.revision) == ("m", "r")
    assert (options.data.train, options.data.dev) == (("a.tsv", "b.tsv"), ("d.tsv",))
    assert (options.run.max_steps, options.run.device, options.run.dtype) == (7, "cpu", "float32")
    assert (options.run.threads, options.run.seed) == (2, 9)
    assert given["output"] == Path(run_folder) and given["resume"] is True
    assert given["hub"] == HubAccess(token="t", cache_dir=Path("c"), offline=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    for words in ("5 utterances", "25%", "bleu 12.50 (best so far)", "wie [b]", "careful", "1 training utterances"):
        assert words in captured.err
    assert main(["train", *flags.split(), "--progress", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["started", "stepped", "evaluated", "saved", "warned"]
    assert main(["train", *flags.split(), "-q"]) == 0
    assert capsys.readouterr().err == ""


def test_evaluating_hands_over_every_option(monkeypatch, capsys):
    from speechcli.pipelines import evaluate
    from speechcli.training.metrics import GroupScore

    given = []
    scores = (GroupScore("en", "de", 3, {"bleu": 12.345, "chrf": 40.0}, "sig"),)
    failures = {}

    def run(options, *, progress):
        given.append(options)
        progress(1, 3)
        return evaluate.EvaluateReport("m", scores, {"cross_entropy": 1.0}, 9.0, ("t.tsv line 3: bad.",), failures)

    monkeypatch.setattr(evaluate, "evaluate", run)
    decoding = (
        "--strategy beam --beam-size 6 --length-penalty 0.5 --early-stopping never --repetition-penalty 1.1 "
        "--generation-set top_h=0.5 --no-repeat-ngram-size 3 --min-new-tokens 1 --max-new-tokens 99 "
        "--temperature 0.7 --top-k 8 --top-p 0.9 --min-p 0.1 --typical-p 0.8 --ctc-weight 0.2 "
        "--lm l --lm-weight 0.2 --memory m --memory-weight 0.7 --hotwords w --hotword-boost 3 --batch-seconds 40 "
        "--batch-size 5"
    )
    flags = (
        f"t.tsv u.tsv {MODEL_FLAGS} {decoding} --task translate --from en --to de --to es --spoken en --limit 5 "
        "--workers 2 --uncased --hypotheses h.jsonl --progress none"
    )
    assert main(["evaluate", *flags.split()]) == 0
    assert given == [
        evaluate.EvaluateOptions(
            model=MODEL,
            manifests=(Path("t.tsv"), Path("u.tsv")),
            task="translate",
            language="en",
            source_languages=("en",),
            target_languages=("de", "es"),
            decoding=DecodingOptions(
                strategy="beam",
                beam_size=6,
                length_penalty=0.5,
                early_stopping="never",
                repetition_penalty=1.1,
                no_repeat_ngram_size=3,
                min_new_tokens=1,
                max_new_tokens=99,
                generation_set=("top_h=0.5",),
                temperature=0.7,
                top_k=8,
                top_p=0.9,
                min_p=0.1,
                typical_p=0.8,
                ctc_weight=0.2,
                lm="l",
                lm_weight=0.2,
                memory="m",
                memory_weight=0.7,
                hotwords="w",
                hotword_boost=3.0,
                batch_seconds=40.0,
                batch_size=5,
            ),
            limit=5,
            workers=2,
            uncased=True,
            hypotheses=Path("h.jsonl"),
        )
    ]
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "spoken\twritten\tutterances\tmetric\tvalue",
        "en\tde\t3\tbleu\t12.35",
        "en\tde\t3\tchrf\t40.00",
    ]
    assert captured.err == "warning: t.tsv line 3: bad.\n"
    failures["u1"] = "It is broken."
    assert main(["evaluate", "t.tsv", "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["scores"][0]["bleu"] == 12.345
    assert given[1] == evaluate.EvaluateOptions(
        model=ModelOptions(token=given[1].model.token), manifests=(Path("t.tsv"),)
    )
    assert main(["evaluate", "t.tsv", "--quiet"]) == 5
    told = capsys.readouterr().err
    assert told == "error: u1: It is broken.\nerror: Recordings that could not be scored: 1.\n"


def test_average_hands_over_every_option(monkeypatch, tmp_path):
    from speechcli.pipelines import average as module

    given = []

    def average(sources, output, *, last, best, dtype, overwrite):
        given.append((sources, output, last, best, dtype, overwrite))
        return module.AverageReport((Path("a"), Path("b")))

    monkeypatch.setattr(module, "average", average)
    assert main(["average", "run", "other", "-o", "mean", "--last", "3", "--dtype", "float16", "--overwrite"]) == 0
    assert given == [([Path("run"), Path("other")], Path("mean"), 3, None, "float16", True)]


def test_two_families_are_enough_to_make_a_model(tmp_path, capsys):
    sizes = ("num_hidden_layers=0", "hidden_size=16", "num_attention_heads=1")
    small = [part for half in ("encoder", "decoder") for size in sizes for part in (f"--{half}-set", size)]
    least = ["init", "--encoder", "wav2vec2", "--decoder", "bert", "-o", str(tmp_path / "m"), *small]
    assert main([*least, "--encoder-set", "conv_dim=[2, 2, 2, 2, 2, 2, 2]"]) == 0
    assert "All weights are random." in capsys.readouterr().err
    assert main([*least, "--overwrite", "--eos-token-id", "99999"]) == 3
    assert "`eos_token_id` must be one of the decoder's 30522 tokens, but is 99999." in capsys.readouterr().err


def test_info_is_about_one_model(capsys):
    assert main(["info", "a", "--model", "b"]) == 2
    assert capsys.readouterr().err == "error: The model must be named once, but got a and --model b.\n"
