"""`speechcli evaluate`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from speechcli.cli import decoding_options as d
from speechcli.cli import options as o

Manifests = Annotated[
    list[Path], typer.Argument(metavar="MANIFEST...", help="Manifests with texts.", show_default=False)
]
Task = Annotated[
    Literal["transcribe", "translate", "both"],
    o.flag(o.INPUT, "--task", help="Score texts in the spoken language, in others, or both."),
]
ScoredTargets = Annotated[
    list[str] | None,
    o.flag(o.INPUT, "--to", help="Score texts in this language only; may be repeated.", metavar="LANGUAGE"),
]
ScoredSources = Annotated[
    list[str] | None,
    o.flag(o.INPUT, "--from", help="Score this spoken language only; may be repeated.", metavar="LANGUAGE"),
]
Limit = Annotated[
    int, o.flag(o.INPUT, "--limit", help="Score only so many of each manifest; 0: all.", metavar="N", min=0)
]
Workers = Annotated[int, o.flag(o.INPUT, "--workers", help="Processes that read audio.", metavar="N", min=0)]
Uncased = Annotated[
    bool,
    o.flag(o.INPUT, "--uncased/--cased", help="Score translations in lower case and without punctuation."),
]
Hypotheses = Annotated[
    Path | None,
    o.flag(o.OUTPUT, "--hypotheses", help="Write references and hypotheses here, as JSON lines.", metavar="FILE"),
]


def evaluate(
    manifests: Manifests,
    model: o.Model = None,
    revision: o.Revision = None,
    token: o.Token = None,
    cache_dir: o.CacheDir = None,
    offline: o.Offline = False,
    device: o.Device = "auto",
    dtype: o.Dtype = "auto",
    quantize: o.Quantize = "none",
    threads: o.Threads = None,
    seed: o.Seed = 0,
    task: Task = "both",
    source_languages: ScoredSources = None,
    target_languages: ScoredTargets = None,
    language: o.SpokenDefault = None,
    uncased: Uncased = False,
    limit: Limit = 0,
    workers: Workers = 0,
    strategy: d.Strategy = None,
    beam_size: d.BeamSize = None,
    length_penalty: d.LengthPenalty = None,
    early_stopping: d.EarlyStopping = None,
    temperature: d.Temperature = None,
    top_k: d.TopK = None,
    top_p: d.TopP = None,
    min_p: d.MinP = None,
    typical_p: d.TypicalP = None,
    repetition_penalty: d.RepetitionPenalty = None,
    no_repeat_ngram_size: d.NoRepeatNgramSize = None,
    min_new_tokens: d.MinNewTokens = None,
    max_new_tokens: d.MaxNewTokens = None,
    generation_set: d.GenerationSet = None,
    ctc_weight: d.CtcWeight = None,
    lm: d.Lm = None,
    lm_weight: d.LmWeight = 0.3,
    hotwords: d.HotwordsFile = None,
    hotword_boost: d.HotwordBoost = 1.0,
    batch_seconds: d.BatchSeconds = None,
    batch_size: d.BatchSize = 64,
    hypotheses: Hypotheses = None,
    as_json: o.Json = False,
    progress: o.Progress = "auto",
    quiet: o.Quiet = False,
) -> None:
    """Score a model on manifests: WER and CER in the spoken language, BLEU and chrF in others.

    Texts are searched for as by transcribe and translate. Recordings are decoded whole, and one text of each is scored.
    """
    given = o.without_none(locals(), "source_languages", "target_languages", "generation_set")
    from speechcli.cli.scores import run

    run(given)
