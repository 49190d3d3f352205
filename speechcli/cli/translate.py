"""`speechcli translate`."""

from speechcli.cli import options as o


def translate(
    inputs: o.Inputs = None,
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
    manifest: o.Manifest = None,
    raw: o.Raw = None,
    rate: o.Rate = 16_000,
    channels: o.Channels = 1,
    audio_backend: o.AudioBackend = "auto",
    channel: o.Channel = "mix",
    start: o.Start = None,
    end: o.End = None,
    normalize: o.Normalize = "auto",
    targets: o.Targets = None,
    spoken: o.Spoken = None,
    strategy: o.Strategy = None,
    beam_size: o.BeamSize = None,
    length_penalty: o.LengthPenalty = None,
    early_stopping: o.EarlyStopping = None,
    temperature: o.Temperature = None,
    top_k: o.TopK = None,
    top_p: o.TopP = None,
    min_p: o.MinP = None,
    typical_p: o.TypicalP = None,
    num_return: o.NumReturn = None,
    repetition_penalty: o.RepetitionPenalty = None,
    no_repeat_ngram_size: o.NoRepeatNgramSize = None,
    min_new_tokens: o.MinNewTokens = None,
    max_new_tokens: o.MaxNewTokens = None,
    timestamps: o.Timestamps = None,
    generation_set: o.GenerationSet = None,
    lm: o.Lm = None,
    lm_weight: o.LmWeight = 0.3,
    hotwords: o.HotwordsFile = None,
    hotword_boost: o.HotwordBoost = 1.0,
    retry_repeats: o.RetryRepeats = False,
    max_segment: o.MaxSegment = 30.0,
    vad: o.Vad = "auto",
    batch_seconds: o.BatchSeconds = None,
    batch_size: o.BatchSize = 64,
    formats: o.Formats = ["txt"],  # noqa: B006 (typer reads the default, nobody changes it)
    output_dir: o.OutputDir = None,
    overwrite: o.Overwrite = False,
    resume: o.Resume = True,
    max_chars: o.MaxChars = 42,
    max_lines: o.MaxLines = 2,
    max_cps: o.MaxCps = 21.0,
    shard: o.Part = "1/1",  # type: ignore[assignment]  # typer parses it
    progress: o.Progress = "auto",
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
) -> None:
    """Translate speech: several languages need one pass of the encoder."""
    given = locals()
    from speechcli.cli.deliver import deliver, speech_sections
    from speechcli.pipelines.options import OutputOptions, TranslateOptions

    options = TranslateOptions(*speech_sections(given), language=spoken, targets=tuple(targets or ()))
    deliver(options, o.pick(OutputOptions, given), progress, quiet=quiet, verbose=verbose)
