"""Options that commands share, each declared once: long, because every flag of every command stands here."""

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from speechcli.audio.raw import RAW_ENCODINGS
from speechcli.pipelines.options import FORMATS, Shard

_MODEL, _INPUT, _DECODING, _OUTPUT = "Model", "Input", "Decoding", "Output"


def _device(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise typer.BadParameter(f"must be auto, cpu, cuda, cuda:N or mps, but is {value}.")
    return value


def _channel(value: str) -> str:
    if not re.fullmatch(r"mix|[0-9]+", value):
        raise typer.BadParameter(f"must be mix or the number of a channel, from 0, but is {value}.")
    return value


def _formats(values: list[str]) -> list[str]:
    for value in values:
        if value not in FORMATS:
            raise typer.BadParameter(f"must be one of {', '.join(FORMATS)}, but is {value}.")
    return list(dict.fromkeys(values))


def _early_stopping(value: str | None) -> bool | str | None:
    return value if value in (None, "never") else value == "true"


def _tokens(value: str | None) -> int | str | None:
    if value is None or value == "auto":
        return value
    if not re.fullmatch("[0-9]+", value):
        raise typer.BadParameter(f"must be a number of tokens or auto, but is {value}.")
    return int(value)


def _on(panel: str, *names: str, help: str, metavar: str | None = None, **rest: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar, **rest)


Model = Annotated[
    str | None,
    _on(
        _MODEL,
        "--model",
        "-m",
        help="Folder, or OWNER/NAME on the Hugging Face Hub. Absent: the embedded model.",
        metavar="MODEL",
    ),
]
Revision = Annotated[
    str | None, _on(_MODEL, "--revision", help="Branch, tag or commit on the Hub.", metavar="REVISION")
]
Token = Annotated[
    str | None,
    _on(
        _MODEL,
        "--token",
        help="Access token of the Hub.",
        metavar="TOKEN",
        envvar="HF_TOKEN",
        show_envvar=True,
        show_default=False,
    ),
]
CacheDir = Annotated[Path | None, _on(_MODEL, "--cache-dir", help="Where downloads are kept.", metavar="DIR")]
Offline = Annotated[bool, _on(_MODEL, "--offline/--no-offline", help="Never ask the network.")]
Device = Annotated[
    str, _on(_MODEL, "--device", help="auto, cpu, cuda, cuda:N or mps.", callback=_device, metavar="DEVICE")
]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    _on(
        _MODEL,
        "--dtype",
        help="Numbers to compute in. auto: bfloat16 where it is multiplied natively, float32 for small models.",
    ),
]
Quantize = Annotated[
    Literal["none", "int8"],
    _on(_MODEL, "--quantize", help="int8: round the decoder's weights to 8 bits; faster on processors, less exact."),
]
Threads = Annotated[int | None, _on(_MODEL, "--threads", help="Processor threads.", metavar="N", min=1)]
Seed = Annotated[int, _on(_MODEL, "--seed", help="Random choices depend on it.", metavar="N", min=0)]

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT...",
        help="Files, folders, globs, web addresses, @list.txt (one of them a line), or - for standard input.",
        show_default=False,
    ),
]
Manifest = Annotated[
    Path | None, _on(_INPUT, "--manifest", help="Also take the recordings of a manifest.", metavar="FILE")
]
Raw = Annotated[
    str | None,
    _on(
        _INPUT,
        "--raw",
        help=f"The input is headerless PCM with this sample format: {', '.join(RAW_ENCODINGS)}.",
        metavar="FORMAT",
    ),
]
Rate = Annotated[int, _on(_INPUT, "--rate", help="Sample rate of --raw in Hz.", metavar="HERTZ", min=1)]
Channels = Annotated[int, _on(_INPUT, "--channels", help="Channels of --raw.", metavar="N", min=1)]
AudioBackend = Annotated[Literal["auto", "soundfile", "av"], _on(_INPUT, "--audio-backend", help="What decodes files.")]
Channel = Annotated[
    str, _on(_INPUT, "--channel", help="mix, or the number of a channel, from 0.", callback=_channel, metavar="CHANNEL")
]
Start = Annotated[
    float | None, _on(_INPUT, "--start", help="Second of each recording to start at.", metavar="SECONDS", min=0.0)
]
End = Annotated[
    float | None, _on(_INPUT, "--end", help="Second of each recording to end at.", metavar="SECONDS", min=0.0)
]
Normalize = Annotated[
    Literal["auto", "utterance", "none"], _on(_INPUT, "--normalize", help="Loudness. auto: as the model was trained.")
]

Spoken = Annotated[
    str | None,
    _on(
        _DECODING, "--from", help="Spoken language: a code, an English name, or a tag of the model.", metavar="LANGUAGE"
    ),
]
Targets = Annotated[
    list[str] | None,
    _on(_DECODING, "--to", help="Language to translate into; may be given more than once.", metavar="LANGUAGE"),
]
Strategy = Annotated[
    Literal["greedy", "beam", "sample"] | None,
    _on(_DECODING, "--strategy", help="How text is searched for. What is not set here is as the model says."),
]
BeamSize = Annotated[int | None, _on(_DECODING, "--beam-size", help="Texts kept at each step.", metavar="N", min=1)]
LengthPenalty = Annotated[
    float | None, _on(_DECODING, "--length-penalty", help="Above 0 favours longer texts.", metavar="X")
]
EarlyStopping = Annotated[
    Literal["true", "false", "never"] | None,
    _on(
        _DECODING,
        "--early-stopping",
        help="Stop at enough finished texts, or when better ones are unlikely (false) or impossible (never).",
        callback=_early_stopping,
    ),
]
Temperature = Annotated[
    float | None, _on(_DECODING, "--temperature", help="Of sampling; below 1 is bolder.", metavar="X")
]
TopK = Annotated[
    int | None, _on(_DECODING, "--top-k", help="Sample from so many likeliest tokens.", metavar="N", min=0)
]
TopP = Annotated[
    float | None, _on(_DECODING, "--top-p", help="Sample from tokens of this probability.", metavar="P", max=1.0)
]
MinP = Annotated[
    float | None, _on(_DECODING, "--min-p", help="Sample from tokens of this share of the likeliest.", metavar="P")
]
TypicalP = Annotated[
    float | None, _on(_DECODING, "--typical-p", help="Sample from typical tokens of this probability.", metavar="P")
]
NumReturn = Annotated[
    int | None, _on(_DECODING, "--num-return", help="Texts of each segment, in JSON.", metavar="N", min=1)
]
RepetitionPenalty = Annotated[
    float | None, _on(_DECODING, "--repetition-penalty", help="Above 1 makes repetitions less likely.", metavar="X")
]
NoRepeatNgramSize = Annotated[
    int | None, _on(_DECODING, "--no-repeat-ngram-size", help="No so many tokens in a row twice.", metavar="N", min=0)
]
MinNewTokens = Annotated[
    int | None, _on(_DECODING, "--min-new-tokens", help="Shortest text, in tokens.", metavar="N", min=0)
]
MaxNewTokens = Annotated[
    str | None,
    _on(
        _DECODING,
        "--max-new-tokens",
        help="Longest text, in tokens; auto: in proportion to the audio.",
        metavar="N|auto",
        callback=_tokens,
    ),
]
GenerationSet = Annotated[
    list[str] | None,
    _on(
        _DECODING,
        "--generation-set",
        help="Any other key of generation_config.json; may be repeated.",
        metavar="KEY=VALUE",
    ),
]
CtcWeight = Annotated[
    float | None,
    _on(
        _DECODING,
        "--ctc-weight",
        help="Weight of the CTC head beside the decoder; 0: none. Absent: as the model was trained.",
        metavar="X",
    ),
]
Lm = Annotated[
    str | None,
    _on(_DECODING, "--lm", help="A causal language model over the same vocabulary: folder or Hub id.", metavar="MODEL"),
]
LmWeight = Annotated[float, _on(_DECODING, "--lm-weight", help="Weight of the language model.", metavar="X")]
HotwordsFile = Annotated[
    str | None, _on(_DECODING, "--hotwords", help="Words and phrases that are likely, one a line.", metavar="FILE")
]
HotwordBoost = Annotated[
    float, _on(_DECODING, "--hotword-boost", help="Bonus for each token of a hotword.", metavar="X")
]
RetryRepeats = Annotated[
    bool,
    _on(
        _DECODING,
        "--retry-repeats/--no-retry-repeats",
        help="Search a text again that repeats itself, with more beams.",
    ),
]
WordTimes = Annotated[bool, _on(_DECODING, "--word-times/--no-word-times", help="Say in JSON when each word was said.")]
MaxSegment = Annotated[
    float,
    _on(
        _DECODING,
        "--max-segment",
        help="Longer audio is cut in pauses; seconds.",
        metavar="SECONDS",
        min=1.0,
    ),
]
Timestamps = Annotated[
    bool | None,
    _on(
        _DECODING,
        "--timestamps/--no-timestamps",
        help="Let the decoder say when each phrase begins and ends, where it can (Whisper). Absent: for srt, vtt, tsv.",
    ),
]
Vad = Annotated[
    Literal["auto", "none", "energy", "silero"],
    _on(
        _DECODING,
        "--vad",
        help="How speech is told from pauses, which are left out. auto: only in audio longer than --max-segment; "
        "silero where the extra vad is installed, else energy.",
    ),
]
BatchSeconds = Annotated[
    float | None,
    _on(_DECODING, "--batch-seconds", help="Audio decoded at once. Absent: what suits the device.", metavar="SECONDS"),
]
BatchSize = Annotated[int, _on(_DECODING, "--batch-size", help="Pieces of audio decoded at once.", metavar="N", min=1)]

Formats = Annotated[
    list[str],
    _on(
        _OUTPUT,
        *("--format", "-f"),
        help=f"One of {', '.join(FORMATS)}; may be given more than once with -o.",
        callback=_formats,
        metavar="FORMAT",
    ),
]
OutputDir = Annotated[
    Path | None, _on(_OUTPUT, "--output-dir", "-o", help="Write files here, mirroring the input tree.", metavar="DIR")
]
ModelDir = Annotated[
    Path, _on(_OUTPUT, "--output-dir", "-o", help="Folder for the new model.", metavar="DIR", show_default=False)
]
Overwrite = Annotated[bool, _on(_OUTPUT, "--overwrite/--no-overwrite", help="Replace files that are there.")]
Resume = Annotated[bool, _on(_OUTPUT, "--resume/--no-resume", help="Skip what is done, as the journal says.")]
MaxChars = Annotated[int, _on(_OUTPUT, "--max-chars", help="Characters in a line of srt and vtt.", metavar="N", min=2)]
MaxLines = Annotated[int, _on(_OUTPUT, "--max-lines", help="Lines of a subtitle.", metavar="N", min=1)]
MaxCps = Annotated[
    float,
    _on(_OUTPUT, "--max-cps", help="Characters a second of a subtitle, where pauses leave time for it.", metavar="X"),
]
Part = Annotated[
    Shard,
    _on(
        _OUTPUT,
        "--shard",
        help="Do the i-th of n parts of the inputs; each part is another process's.",
        metavar="I/N",
        parser=Shard.parse,
        show_default=False,
    ),
]
Json = Annotated[bool, _on(_OUTPUT, "--json", help="Print JSON.")]
Progress = Annotated[
    Literal["auto", "bar", "plain", "json", "none"],
    _on(_OUTPUT, "--progress", help="How progress is shown, on standard error."),
]
Quiet = Annotated[bool, _on(_OUTPUT, "--quiet", "-q", help="Say nothing but errors.")]
Verbose = Annotated[bool, _on(_OUTPUT, "--verbose", "-v", help="Say more.")]

_PARTS = "Parts"
EncoderConfig = Annotated[
    str, _on(_PARTS, "--encoder", help="Family, config.json or model of the speech encoder.", metavar="NAME")
]
DecoderConfig = Annotated[
    str, _on(_PARTS, "--decoder", help="Family, config.json or model of the text decoder.", metavar="NAME")
]
Encoder = Annotated[str, _on(_PARTS, "--encoder", help="Pretrained speech encoder: folder or Hub id.", metavar="MODEL")]
Decoder = Annotated[str, _on(_PARTS, "--decoder", help="Pretrained text decoder: folder or Hub id.", metavar="MODEL")]
MaybeEncoder = Annotated[
    str | None, _on(_MODEL, "--encoder", help="Instead of --model: a pretrained speech encoder.", metavar="MODEL")
]
MaybeDecoder = Annotated[
    str | None, _on(_MODEL, "--decoder", help="Instead of --model: a pretrained text decoder.", metavar="MODEL")
]
EncoderSet = Annotated[
    list[str] | None, _on(_PARTS, "--encoder-set", help="Change the encoder's configuration.", metavar="KEY=VALUE")
]
DecoderSet = Annotated[
    list[str] | None, _on(_PARTS, "--decoder-set", help="Change the decoder's configuration.", metavar="KEY=VALUE")
]
TokenizerFrom = Annotated[
    str | None,
    _on(_PARTS, "--tokenizer", help="Folder or Hub id of the vocabulary. Absent: the decoder's.", metavar="MODEL"),
]
Language = Annotated[
    str | None, _on(_PARTS, "--language", help="What a multilingual decoder writes by itself.", metavar="LANGUAGE")
]
SpokenAdapters = Annotated[
    str | None, _on(_PARTS, "--from", help="Spoken language of an encoder with adapters (MMS).", metavar="LANGUAGE")
]
StartId = Annotated[int | None, _on(_PARTS, "--decoder-start-token-id", help="Read first.", metavar="ID", min=0)]
PadId = Annotated[int | None, _on(_PARTS, "--pad-token-id", help="Fills shorter texts.", metavar="ID", min=0)]
EosId = Annotated[int | None, _on(_PARTS, "--eos-token-id", help="Ends a text.", metavar="ID", min=0)]

_TRAINING = "Training"
Train = Annotated[
    list[Path] | None, _on(_TRAINING, "--train", help="Manifest to learn from; may be repeated.", metavar="FILE")
]
Dev = Annotated[
    list[Path] | None, _on(_TRAINING, "--dev", help="Manifest to score meanwhile; may be repeated.", metavar="FILE")
]
Recipe = Annotated[
    str | None, _on(_TRAINING, "--recipe", help="A .toml file, or the name of a shipped recipe.", metavar="RECIPE")
]
Set = Annotated[
    list[str] | None,
    _on(_TRAINING, "--set", help="Any option of a recipe; may be repeated.", metavar="SECTION.KEY=VALUE"),
]
ResumeRun = Annotated[bool, _on(_TRAINING, "--resume/--no-resume", help="Go on with the run in the output folder.")]
DebugOverfit = Annotated[
    int | None,
    _on(
        _TRAINING,
        "--debug-overfit",
        help="Only see whether so many recordings can be learned by heart; nothing is written.",
        metavar="N",
        min=1,
    ),
]
PushToHub = Annotated[
    str | None,
    _on(
        _OUTPUT, "--push-to-hub", help="Write the best model to the Hugging Face Hub at the end.", metavar="OWNER/NAME"
    ),
]
RunDir = Annotated[Path, _on(_OUTPUT, "--output-dir", "-o", help="Folder of the run.", metavar="DIR")]
MaybeDevice = Annotated[
    str | None, _on(_MODEL, "--device", help="auto, cpu, cuda, cuda:N or mps.", callback=_device, metavar="DEVICE")
]
MaybeDtype = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"] | None,
    _on(_MODEL, "--dtype", help="Numbers of the matrix products."),
]
MaybeSeed = Annotated[int | None, _on(_MODEL, "--seed", help="Random choices depend on it.", metavar="N", min=0)]

Manifests = Annotated[
    list[Path] | None, typer.Argument(metavar="MANIFEST...", help="Manifests with texts.", show_default=False)
]
Task = Annotated[
    Literal["transcribe", "translate", "both"],
    _on(_INPUT, "--task", help="Score texts in the spoken language, in others, or both."),
]
ScoredTargets = Annotated[
    list[str] | None,
    _on(_INPUT, "--to", help="Score texts in this language only; may be repeated.", metavar="LANGUAGE"),
]
ScoredSources = Annotated[
    list[str] | None,
    _on(_INPUT, "--from", help="Score this spoken language only; may be repeated.", metavar="LANGUAGE"),
]
SpokenDefault = Annotated[
    str | None, _on(_INPUT, "--spoken", help="Spoken language where a manifest does not say it.", metavar="LANGUAGE")
]
Limit = Annotated[int, _on(_INPUT, "--limit", help="Score only so many of each manifest; 0: all.", metavar="N", min=0)]
Workers = Annotated[int, _on(_INPUT, "--workers", help="Processes that read audio.", metavar="N", min=0)]
Hypotheses = Annotated[
    Path | None,
    _on(_OUTPUT, "--hypotheses", help="Write references and hypotheses here, as JSON lines.", metavar="FILE"),
]

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run.", show_default=False)]
Page = Annotated[
    Path | None, _on(_OUTPUT, "--output", "-o", help="File to write. Absent: report.html in the run.", metavar="FILE")
]

Averaged = Annotated[
    list[Path], typer.Argument(metavar="RUN|MODEL...", help="Folder of a run, or of models.", show_default=False)
]
Last = Annotated[
    int | None, _on(_INPUT, "--last", help="Only the newest so many checkpoints. Absent: all.", metavar="N", min=1)
]
Best = Annotated[
    int | None, _on(_INPUT, "--best", help="Only the so many checkpoints that scored best.", metavar="N", min=1)
]
StoredDtype = Annotated[
    Literal["float32", "bfloat16", "float16"], _on(_OUTPUT, "--dtype", help="Numbers that the file holds.")
]

Options = TypeVar("Options")


def pick(kind: type[Options], given: Mapping[str, Any]) -> Options:
    """Make a dataclass of options from those arguments of a command that have the same names; lists become tuples."""
    values = {item.name: given[item.name] for item in fields(kind) if item.name in given}  # type: ignore[arg-type]
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def without_none(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return a command's arguments; those of these names are left out where they were not given."""
    return {name: value for name, value in given.items() if value is not None or name not in names}
