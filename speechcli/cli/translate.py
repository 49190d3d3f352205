"""`speechcli translate`."""

from speechcli.cli import decoding_flags as decoding
from speechcli.cli import shared_flags as flags


def translate(
    inputs: flags.Inputs = None,
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
    manifest: flags.Manifest = None,
    raw: flags.Raw = None,
    rate: flags.Rate = 16_000,
    channels: flags.Channels = 1,
    audio_backend: flags.AudioBackend = "auto",
    channel: flags.Channel = "mix",
    start: flags.Start = None,
    end: flags.End = None,
    normalize: flags.Normalize = "auto",
    targets: decoding.Targets = None,
    spoken: decoding.Spoken = None,
    strategy: decoding.Strategy = None,
    beam_size: decoding.BeamSize = None,
    length_penalty: decoding.LengthPenalty = None,
    early_stopping: decoding.EarlyStopping = None,
    temperature: decoding.Temperature = None,
    top_k: decoding.TopK = None,
    top_p: decoding.TopP = None,
    min_p: decoding.MinP = None,
    typical_p: decoding.TypicalP = None,
    num_return: decoding.NumReturn = None,
    repetition_penalty: decoding.RepetitionPenalty = None,
    no_repeat_ngram_size: decoding.NoRepeatNgramSize = None,
    min_new_tokens: decoding.MinNewTokens = None,
    max_new_tokens: decoding.MaxNewTokens = None,
    timestamps: decoding.Timestamps = None,
    generation_set: decoding.GenerationSet = None,
    lm: decoding.Lm = None,
    lm_weight: decoding.LmWeight = None,
    memory: decoding.Memory = None,
    memory_weight: decoding.MemoryWeight = 0.5,
    hotwords: decoding.HotwordsFile = None,
    hotword_boost: decoding.HotwordBoost = 1.0,
    retry_repeats: decoding.RetryRepeats = False,
    max_segment: decoding.MaxSegment = 30.0,
    vad: decoding.Vad = "auto",
    batch_seconds: decoding.BatchSeconds = None,
    batch_size: decoding.BatchSize = 64,
    formats: flags.Formats = ["txt"],  # noqa: B006 (typer reads the default; it is never changed)
    output_dir: flags.OutputDir = None,
    overwrite: flags.Overwrite = False,
    resume: flags.Resume = True,
    max_chars: flags.MaxChars = 42,
    max_lines: flags.MaxLines = 2,
    max_cps: flags.MaxCps = 21.0,
    shard: flags.Part = "1/1",  # type: ignore[assignment]  # typer parses it
    progress: flags.Progress = "auto",
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,
) -> None:
    """Translate speech; several target languages share one encoder pass."""
    given = locals()
    from speechcli.cli.deliver import deliver, speech_sections
    from speechcli.pipelines.speech_options import OutputOptions, TranslateOptions

    options = TranslateOptions(*speech_sections(given), language=spoken, targets=tuple(targets or ()))
    deliver(options, flags.pick(OutputOptions, given), progress, quiet=quiet, verbose=verbose)
