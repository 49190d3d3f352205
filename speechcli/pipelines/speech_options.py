"""The options of `transcribe` and `translate`. Importing this module imports neither torch nor an audio library."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from speechcli.audio.raw import RawFormat
from speechcli.errors import UsageError
from speechcli.pipelines.decoding_options import DecodingOptions, check, check_used, finite
from speechcli.subtitles import DEFAULT_SHAPE, CueShape
from speechcli.text.languages import language_code, language_key

Item = TypeVar("Item")

FORMATS = ("txt", "json", "jsonl", "srt", "vtt", "tsv", "manifest")


@dataclass(frozen=True, kw_only=True)
class HubAccess:
    """How to access the Hugging Face Hub."""

    token: str | None = field(default=None, repr=False)
    """Access token."""
    cache_dir: Path | None = None
    """Folder for downloads; None: the default of huggingface_hub."""
    offline: bool = False
    """Do not use the network."""


ANONYMOUS = HubAccess()


@dataclass(frozen=True)
class ModelOptions(HubAccess):
    """Which model to load, and how to run it."""

    model: str | None = None
    """A folder, or OWNER/NAME[@REVISION] on the Hugging Face Hub; None: the embedded model."""
    revision: str | None = None
    """Branch, tag or commit on the Hub."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:N` or `mps`."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of weights and activations."""
    threads: int | None = None
    """CPU threads; None: torch's default."""
    seed: int = 0
    """Seed for sampling."""
    quantize: Literal["none", "int8"] = "none"
    """`int8`: 8-bit weights in the decoder; CPU only."""

    @property
    def shown(self) -> str:
        """The name of the model in messages, with its revision."""
        name = self.model or "embedded"
        return name if self.revision is None else f"{name}@{self.revision}"


@dataclass(frozen=True)
class InputOptions:
    """Which recordings to process, and how to read them."""

    inputs: tuple[str, ...] = ()
    """Files, folders, globs, `@list.txt`, `-`."""
    manifest: Path | None = None
    """A manifest whose recordings are processed too."""
    raw: str | None = None
    """Sample format of headerless PCM, on standard input or in files, in FFmpeg's spelling."""
    rate: int = 16_000
    """Sample rate of headerless PCM in Hz."""
    channels: int = 1
    """Number of channels of headerless PCM."""
    audio_backend: Literal["auto", "soundfile", "av"] = "auto"
    """Library that decodes audio files."""
    channel: str = "mix"
    """`mix` (average all channels), `split` (each channel separately), or a channel number from 0."""
    start: float | None = None
    """Second at which to start in each recording."""
    end: float | None = None
    """Second at which to end in each recording."""
    normalize: Literal["auto", "utterance", "none"] = "auto"
    """Level normalization: as in the model's settings, to zero mean and unit variance, or none."""

    def __post_init__(self) -> None:
        check(
            self.channel in ("mix", "split") or (self.channel.isascii() and self.channel.isdigit()),
            "--channel",
            "`mix`, `split` or a number",
            self.channel,
        )
        check_used(self, "raw", "rate", "channels")
        if self.raw is not None:
            RawFormat(self.raw, self.rate, self.channels)  # checks them
            check(self.audio_backend != "av", "--audio-backend", "auto or soundfile with --raw", self.audio_backend)
        check(finite(self.start) and (self.start or 0) >= 0, "--start", "at least 0", self.start)
        check(
            finite(self.end) and (self.end is None or self.end > (self.start or 0)), "--end", "after --start", self.end
        )


@dataclass(frozen=True)
class Shard:
    """One part of a job that is divided among several processes or machines, which need not communicate."""

    number: int
    """Number of the part, from 1."""
    count: int
    """Number of parts."""

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `i/n`.

        Raises:
            UsageError: it is something else, or i is not from 1 to n.
        """
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        shard = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        check(1 <= shard.number <= shard.count, "--shard", "i/n with i from 1 to n", text)
        return shard

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return this part's items."""
        return items[self.number - 1 :: self.count]

    def __str__(self) -> str:
        return f"{self.number}-of-{self.count}"


@dataclass(frozen=True)
class OutputOptions:
    """Where and how to write the texts."""

    output_dir: Path | None = None
    """Output folder; None: standard output."""
    formats: tuple[str, ...] = ("txt",)
    """Some of txt, json, jsonl, srt, vtt, tsv and manifest (JSON lines for training, with the model's confidence)."""
    overwrite: bool = False
    """Replace existing files."""
    resume: bool = True
    """Skip inputs that the journal in the output folder lists as done."""
    shard: Shard = Shard(1, 1)
    """Which part of the inputs to process."""
    max_chars: int = DEFAULT_SHAPE.max_chars
    """Maximum characters per line, in srt and vtt."""
    max_lines: int = DEFAULT_SHAPE.max_lines
    """Maximum lines per subtitle."""
    max_cps: float = DEFAULT_SHAPE.max_cps
    """Maximum characters per second of a subtitle, as far as pauses leave room to extend it."""

    def __post_init__(self) -> None:
        if self.output_dir is None and self.shard.count > 1:
            raise UsageError("`--shard` divides the files of an output folder, but there is none.", hint="-o DIR")
        if self.output_dir is None and len(self.formats) > 1:
            raise UsageError(
                f"Standard output takes one format, but got {', '.join(self.formats)}.",
                hint="Write files with -o DIR, or give -f once.",
            )
        if not {"srt", "vtt"}.intersection(self.formats):
            for name in self.chosen():
                raise UsageError(f"`--{name.replace('_', '-')}` shapes srt and vtt, but {_formats(self.formats)}.")
        check(self.max_chars >= 2, "--max-chars", "at least 2", self.max_chars)
        check(self.max_lines >= 1, "--max-lines", "at least 1", self.max_lines)
        check(finite(self.max_cps) and self.max_cps > 0, "--max-cps", "above 0", self.max_cps)

    @property
    def shape(self) -> CueShape:
        """The shape of subtitles."""
        return CueShape(self.max_chars, self.max_lines, self.max_cps)

    def chosen(self) -> dict[str, Any]:
        """Return the options that affect the outputs and are not at their defaults, by name."""
        return {
            item.name: getattr(self.shape, item.name)
            for item in fields(CueShape)
            if getattr(self.shape, item.name) != item.default
        }


def check_shown(decoding: DecodingOptions, formats: Sequence[str]) -> None:
    """Refuse options whose result none of the output formats can show.

    Raises:
        UsageError: there is one.
    """
    asked = {
        "--word-times": (decoding.word_times, ("json", "jsonl", "srt", "vtt")),
        "--num-return": ((decoding.num_return or 1) > 1, ("json", "jsonl")),
        "--timestamps": (decoding.timestamps is True, tuple(kind for kind in FORMATS if kind != "txt")),
    }
    for flag, (wanted, shown_in) in asked.items():
        if wanted and not set(shown_in).intersection(formats):
            raise UsageError(f"`{flag}` is shown in {', '.join(shown_in)}, but {_formats(formats)}.", hint="-f json")


def _formats(formats: Sequence[str]) -> str:
    return f"the format{'s are' if len(formats) > 1 else ' is'} {', '.join(formats)}"


@dataclass(frozen=True)
class SpeechOptions:
    """What `transcribe` and `translate` have in common."""

    model: ModelOptions = ModelOptions()
    """The model."""
    inputs: InputOptions = InputOptions()
    """The recordings."""
    decoding: DecodingOptions = DecodingOptions()
    """How to decode."""
    language: str | None = None
    """The spoken language; None: detected by the model, if it can."""

    task: ClassVar[Literal["transcribe", "translate"]]

    @property
    def targets(self) -> tuple[str, ...]:
        """Target languages; empty: the spoken one."""
        return ()

    def chosen(self) -> dict[str, Any]:
        """Return the options that affect the text, apart from the model and the recordings."""
        reading = {
            item.name: getattr(self.inputs, item.name)
            for item in fields(InputOptions)
            if item.name not in ("inputs", "manifest") and getattr(self.inputs, item.name) != item.default
        }
        values = {"task": self.task, "from": self.language, "to": list(self.targets) or None, **reading}
        values |= self.decoding.chosen()
        values |= {"dtype": self.model.dtype} if self.model.dtype != "auto" else {}
        values |= {"quantize": self.model.quantize} if self.model.quantize != "none" else {}
        values |= {"seed": self.model.seed} if self.decoding.draws or self.model.seed else {}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class TranscribeOptions(SpeechOptions):
    """Speech to text in the spoken language."""

    task = "transcribe"


@dataclass(frozen=True)
class TranslateOptions(SpeechOptions):
    """Speech to text in other languages."""

    targets: tuple[str, ...] = ()
    """Target languages; empty: the one that the model was trained for."""

    task = "translate"

    def __post_init__(self) -> None:
        once: dict[str, str] = {}
        for target in self.targets:
            once.setdefault(language_key(target), target)
        object.__setattr__(self, "targets", tuple(once.values()))


def local_inputs(model: ModelOptions, decoding: DecodingOptions) -> tuple[str | None, ...]:
    """Return what options name as inputs besides recordings and manifests: paths, names on the Hub, or None."""
    return model.model, decoding.lm, decoding.memory, decoding.hotwords


def target_labels(targets: Sequence[str]) -> list[str]:
    """Return short names of target languages for file names and tables: their codes, if these are all different."""
    codes = [language_code(target) for target in targets]
    labels = codes if len(set(codes)) == len(codes) else list(targets)
    return ["".join(char if char.isalnum() or char in "-_" else "_" for char in label) for label in labels]
