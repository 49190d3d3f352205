"""`speechcli evaluate`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from speechcli.cli import decoding_flags as decoding
from speechcli.cli import shared_flags as flags

Manifests = Annotated[
    list[Path], typer.Argument(metavar="MANIFEST...", help="Manifests with reference texts.", show_default=False)
]
Task = Annotated[
    Literal["transcribe", "translate", "both"],
    flags.flag(flags.INPUT, "--task", help="Score transcripts, translations, or both."),
]
ScoredTargets = Annotated[
    list[str] | None,
    flags.flag(flags.INPUT, "--to", help="Score only texts in this language; may be repeated.", metavar="LANGUAGE"),
]
ScoredSources = Annotated[
    list[str] | None,
    flags.flag(
        flags.INPUT,
        "--from",
        help="Score only recordings in this spoken language; may be repeated.",
        metavar="LANGUAGE",
    ),
]
Limit = Annotated[
    int,
    flags.flag(
        flags.INPUT, "--limit", help="Score only the first N utterances of each manifest; 0: all.", metavar="N", min=0
    ),
]
Workers = Annotated[
    int, flags.flag(flags.INPUT, "--workers", help="Worker processes that read audio.", metavar="N", min=0)
]
Uncased = Annotated[
    bool,
    flags.flag(flags.INPUT, "--uncased/--cased", help="Score translations lowercased and without punctuation."),
]
Hypotheses = Annotated[
    Path | None,
    flags.flag(
        flags.OUTPUT,
        "--hypotheses",
        help="Write references and hypotheses to this file, as JSON lines.",
        metavar="FILE",
    ),
]


def evaluate(
    manifests: Manifests,
    model: flags.Model = None,
    revision: flags.Revision = None,
    token: flags.Token = None,
    cache_dir: flags.CacheDir = None,
    offline: flags.Offline = False,
    device: flags.Device = "auto",
    dtype: flags.Dtype = "auto",
    quantize: flags.Quantize = "none",
    threads: flags.Threads = None,
    seed: flags.Seed = 0,
    task: Task = "both",
    source_languages: ScoredSources = None,
    target_languages: ScoredTargets = None,
    language: flags.SpokenDefault = None,
    uncased: Uncased = False,
    limit: Limit = 0,
    workers: Workers = 0,
    strategy: decoding.Strategy = None,
    beam_size: decoding.BeamSize = None,
    length_penalty: decoding.LengthPenalty = None,
    early_stopping: decoding.EarlyStopping = None,
    temperature: decoding.Temperature = None,
    top_k: decoding.TopK = None,
    top_p: decoding.TopP = None,
    min_p: decoding.MinP = None,
    typical_p: decoding.TypicalP = None,
    repetition_penalty: decoding.RepetitionPenalty = None,
    no_repeat_ngram_size: decoding.NoRepeatNgramSize = None,
    min_new_tokens: decoding.MinNewTokens = None,
    max_new_tokens: decoding.MaxNewTokens = None,
    generation_set: decoding.GenerationSet = None,
    ctc_weight: decoding.CtcWeight = None,
    lm: decoding.Lm = None,
    lm_weight: decoding.LmWeight = None,
    memory: decoding.Memory = None,
    memory_weight: decoding.MemoryWeight = 0.5,
    hotwords: decoding.HotwordsFile = None,
    hotword_boost: decoding.HotwordBoost = 1.0,
    batch_seconds: decoding.BatchSeconds = None,
    batch_size: decoding.BatchSize = 64,
    hypotheses: Hypotheses = None,
    as_json: flags.Json = False,
    progress: flags.Progress = "auto",
    quiet: flags.Quiet = False,
) -> None:
    """Score a model on manifests: WER and CER for transcripts, BLEU and chrF for translations.

    Decoding works as in transcribe and translate, but each recording is decoded in one piece and has one text.
    """
    given = flags.without_none(locals(), "source_languages", "target_languages", "generation_set")
    from speechcli.cli.scores import run

    run(given)
