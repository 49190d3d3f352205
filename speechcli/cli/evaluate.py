"""`speechcli evaluate`."""

from speechcli.cli import options as o


def evaluate(
    manifests: o.Manifests = None,
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
    task: o.Task = "both",
    source_languages: o.ScoredSources = None,
    target_languages: o.ScoredTargets = None,
    language: o.SpokenDefault = None,
    limit: o.Limit = 0,
    workers: o.Workers = 0,
    strategy: o.Strategy = None,
    beam_size: o.BeamSize = None,
    length_penalty: o.LengthPenalty = None,
    early_stopping: o.EarlyStopping = None,
    repetition_penalty: o.RepetitionPenalty = None,
    no_repeat_ngram_size: o.NoRepeatNgramSize = None,
    min_new_tokens: o.MinNewTokens = None,
    max_new_tokens: o.MaxNewTokens = None,
    generation_set: o.GenerationSet = None,
    ctc_weight: o.CtcWeight = None,
    batch_seconds: o.BatchSeconds = None,
    batch_size: o.BatchSize = 64,
    hypotheses: o.Hypotheses = None,
    as_json: o.Json = False,
    progress: o.Progress = "auto",
    quiet: o.Quiet = False,
) -> None:
    """Score a model on manifests: WER and CER in the spoken language, BLEU and chrF in others."""
    given = o.without_none(locals(), "manifests", "source_languages", "target_languages", "generation_set")
    from speechcli.cli.scores import run

    run(given)
