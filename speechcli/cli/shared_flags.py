"""Flags that several commands share, each declared once; the flags of a single command are in its own file."""

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from speechcli.audio.raw import RAW_ENCODINGS
from speechcli.pipelines.speech_options import FORMATS, Shard
from speechcli.training.limits import MAX_SEED, MAX_THREADS

MODEL, INPUT, OUTPUT = "Model", "Input", "Output"


def flag(panel: str, *names: str, help: str, metavar: str | None = None, **rest: Any) -> Any:
    """Declare a flag that `--help` shows in a panel; `rest` goes to typer."""
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar, **rest)


def known_device(value: str | None) -> str | None:
    """Check the name of a device; typer calls this."""
    if value is not None and not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise typer.BadParameter(f"must be auto, cpu, cuda, cuda:N or mps, but is {value}.")
    return value


def _formats(values: list[str]) -> list[str]:
    for value in values:
        if value not in FORMATS:
            raise typer.BadParameter(f"must be one of {', '.join(FORMATS)}, but is {value}.")
    return list(dict.fromkeys(values))


Model = Annotated[
    str | None,
    flag(
        MODEL,
        "--model",
        "-m",
        help="Folder, or OWNER/NAME on the Hugging Face Hub. Default: the embedded model.",
        metavar="MODEL",
    ),
]
Revision = Annotated[
    str | None, flag(MODEL, "--revision", help="Branch, tag or commit on the Hub.", metavar="REVISION")
]
Token = Annotated[
    str | None,
    flag(
        MODEL,
        "--token",
        help="Access token for the Hub.",
        metavar="TOKEN",
        envvar="HF_TOKEN",
        show_envvar=True,
        show_default=False,
    ),
]
CacheDir = Annotated[Path | None, flag(MODEL, "--cache-dir", help="Folder for downloads.", metavar="DIR")]
Offline = Annotated[bool, flag(MODEL, "--offline/--no-offline", help="Do not use the network.")]
Device = Annotated[
    str, flag(MODEL, "--device", help="auto, cpu, cuda, cuda:N or mps.", callback=known_device, metavar="DEVICE")
]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    flag(
        MODEL,
        "--dtype",
        help="Number format. auto: bfloat16 if the hardware multiplies it natively, float32 for small models.",
    ),
]
Quantize = Annotated[
    Literal["none", "int8"],
    flag(MODEL, "--quantize", help="int8: decoder weights in 8 bits; faster on CPUs, slightly less accurate."),
]
Threads = Annotated[int | None, flag(MODEL, "--threads", help="CPU threads.", metavar="N", min=1, max=MAX_THREADS)]
Seed = Annotated[int, flag(MODEL, "--seed", help="Seed of all random choices.", metavar="N", min=0, max=MAX_SEED)]

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT...",
        help="Files, folders, globs, URLs, @list.txt (one entry per line), or - for standard input.",
        show_default=False,
    ),
]
Manifest = Annotated[
    Path | None, flag(INPUT, "--manifest", help="Also process the recordings of a manifest.", metavar="FILE")
]
Raw = Annotated[
    str | None,
    flag(
        INPUT,
        "--raw",
        help=f"Read the input as headerless PCM in this sample format: {', '.join(RAW_ENCODINGS)}.",
        metavar="FORMAT",
    ),
]
Rate = Annotated[int, flag(INPUT, "--rate", help="Sample rate of --raw input, in Hz.", metavar="HERTZ", min=1)]
Channels = Annotated[int, flag(INPUT, "--channels", help="Number of channels of --raw input.", metavar="N", min=1)]
AudioBackend = Annotated[
    Literal["auto", "soundfile", "av"], flag(INPUT, "--audio-backend", help="Library that decodes audio files.")
]
Channel = Annotated[
    str,
    flag(
        INPUT,
        "--channel",
        help="mix (average all channels), split (transcribe each channel separately), or a channel number from 0.",
        metavar="CHANNEL",
    ),
]
Start = Annotated[
    float | None, flag(INPUT, "--start", help="Start each recording at this second.", metavar="SECONDS", min=0.0)
]
End = Annotated[
    float | None, flag(INPUT, "--end", help="End each recording at this second.", metavar="SECONDS", min=0.0)
]
Normalize = Annotated[
    Literal["auto", "utterance", "none"],
    flag(INPUT, "--normalize", help="Level normalization. auto: as the model was trained."),
]
SpokenDefault = Annotated[
    str | None, flag(INPUT, "--spoken", help="Spoken language of manifest rows that name none.", metavar="LANGUAGE")
]

Formats = Annotated[
    list[str],
    flag(
        OUTPUT,
        *("--format", "-f"),
        help=f"One of {', '.join(FORMATS)}; may be repeated with -o.",
        callback=_formats,
        metavar="FORMAT",
    ),
]
OutputDir = Annotated[
    Path | None,
    flag(OUTPUT, "--output-dir", "-o", help="Write files into this folder, mirroring the input tree.", metavar="DIR"),
]
ModelDir = Annotated[
    Path, flag(OUTPUT, "--output-dir", "-o", help="Folder for the new model.", metavar="DIR", show_default=False)
]
Overwrite = Annotated[bool, flag(OUTPUT, "--overwrite/--no-overwrite", help="Replace existing files.")]
Resume = Annotated[bool, flag(OUTPUT, "--resume/--no-resume", help="Skip inputs that the journal lists as done.")]
MaxChars = Annotated[
    int, flag(OUTPUT, "--max-chars", help="Maximum characters per subtitle line (srt, vtt).", metavar="N", min=2)
]
MaxLines = Annotated[int, flag(OUTPUT, "--max-lines", help="Maximum lines per subtitle.", metavar="N", min=1)]
MaxCps = Annotated[
    float,
    flag(
        OUTPUT,
        "--max-cps",
        help="Maximum characters per second of a subtitle, as far as pauses leave room to extend it.",
        metavar="X",
    ),
]
Part = Annotated[
    Shard,
    flag(
        OUTPUT,
        "--shard",
        help="Process only part I of N of the inputs.",
        metavar="I/N",
        parser=Shard.parse,
        show_default=False,
    ),
]

Json = Annotated[bool, flag(OUTPUT, "--json", help="Print JSON.")]
Progress = Annotated[
    Literal["auto", "bar", "plain", "json", "none"],
    flag(OUTPUT, "--progress", help="How to show progress on standard error."),
]
Quiet = Annotated[bool, flag(OUTPUT, "--quiet", "-q", help="Print nothing but errors.")]
Verbose = Annotated[bool, flag(OUTPUT, "--verbose", "-v", help="Print more details.")]

Options = TypeVar("Options")


def pick(kind: type[Options], given: Mapping[str, Any]) -> Options:
    """Make a dataclass of options from the command arguments named like its fields; lists become tuples."""
    values = {item.name: given[item.name] for item in fields(kind) if item.name in given}  # type: ignore[arg-type]
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def without_none(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return a command's arguments without those of these names that were not given."""
    return {name: value for name, value in given.items() if value is not None or name not in names}
