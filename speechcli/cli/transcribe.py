"""`speechcli transcribe`."""

from speechcli.cli import decoding_options as d
from speechcli.cli import options as o


def transcribe(
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
    spoken: d.Spoken = None,
    strategy: d.Strategy = None,
    beam_size: d.BeamSize = None,
    length_penalty: d.LengthPenalty = None,
    early_stopping: d.EarlyStopping = None,
    temperature: d.Temperature = None,
    top_k: d.TopK = None,
    top_p: d.TopP = None,
    min_p: d.MinP = None,
    typical_p: d.TypicalP = None,
    num_return: d.NumReturn = None,
    repetition_penalty: d.RepetitionPenalty = None,
    no_repeat_ngram_size: d.NoRepeatNgramSize = None,
    min_new_tokens: d.MinNewTokens = None,
    max_new_tokens: d.MaxNewTokens = None,
    timestamps: d.Timestamps = None,
    generation_set: d.GenerationSet = None,
    ctc_weight: d.CtcWeight = None,
    lm: d.Lm = None,
    lm_weight: d.LmWeight = 0.3,
    hotwords: d.HotwordsFile = None,
    hotword_boost: d.HotwordBoost = 1.0,
    retry_repeats: d.RetryRepeats = False,
    word_times: d.WordTimes = False,
    max_segment: d.MaxSegment = 30.0,
    vad: d.Vad = "auto",
    batch_seconds: d.BatchSeconds = None,
    batch_size: d.BatchSize = 64,
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
    """Write down speech in the language that is spoken."""
    given = locals()
    from speechcli.cli.deliver import deliver, speech_sections
    from speechcli.pipelines.options import OutputOptions, TranscribeOptions

    options = TranscribeOptions(*speech_sections(given), language=spoken)
    deliver(options, o.pick(OutputOptions, given), progress, quiet=quiet, verbose=verbose)
