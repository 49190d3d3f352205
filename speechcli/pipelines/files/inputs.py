"""Turn files, folders, globs, URLs, lists and manifests into an ordered list of recordings."""

import glob
import os
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

from speechcli.audio.inside import AudioFile
from speechcli.audio.read import AUDIO_EXTENSIONS
from speechcli.audio.url import Url
from speechcli.errors import InputError, UsageError
from speechcli.pipelines.outcome import Failure
from speechcli.pipelines.speech_options import InputOptions


class Source(NamedTuple):
    """One recording to transcribe."""

    path: AudioFile | Url | None
    """The file; None: standard input."""
    name: str
    """Its name in transcripts, the journal and messages."""
    place: PurePath
    """Its path in the input tree, which the output folder mirrors."""
    language: str | None = None
    """The spoken language, if a manifest names it."""
    start: float | None = None
    """Start in seconds, if it is a part of the file."""
    end: float | None = None
    """End in seconds, if it is a part of the file."""


class Inputs(NamedTuple):
    """What was found."""

    sources: tuple[Source, ...]
    failures: tuple[Failure, ...]


def find_inputs(options: InputOptions) -> Inputs:
    """Find every recording that the options name, once each, in the given order.

    The place of a file is its name. The place of files in a folder, glob or list is relative to that folder, to the
    fixed part of the glob, or to the common folder of all entries of the list.

    Raises:
        UsageError: no input is named, or standard input is named twice.
        InputError: none of the inputs exists, or a list or manifest cannot be read.
    """
    if not options.inputs and options.manifest is None:
        raise UsageError(
            "An input is missing.",
            hint="Name a file, a folder, a glob, a web address, @list.txt, - for standard input, or --manifest FILE.",
        )
    if options.inputs.count("-") > 1:
        raise UsageError("Standard input can be read once, but `-` is named twice.")
    sources: dict[Hashable, Source] = {}
    failures: list[Failure] = []
    found = [item for text in options.inputs for item in _expand(text)]
    if options.manifest is not None:
        found += _from_manifest(options.manifest, None if options.raw is None else options.rate)
    for item in found:
        if isinstance(item, Failure):
            failures.append(item)
        else:
            sources.setdefault(_identity(item), item)
    if not sources:
        raise _nothing(failures)
    return Inputs(tuple(sources.values()), tuple(failures))


def shown_name(text: str) -> str:
    """Return the name of an input in transcripts and messages: an address loses its user's name and password."""
    return str(Url(text)) if _is_url(text) else text


def _expand(text: str) -> Iterator[Source | Failure]:
    path = Path(text)
    if text == "-":
        yield Source(None, "-", PurePath("stdin"))
    elif os.path.isdir(path):
        yield from _from_folder(path)
    elif os.path.exists(path):  # a file, a pipe or a device
        yield Source(path, text, PurePath(path.name))
    elif _is_url(text):
        yield _from_url(text)
    elif text.startswith("@") and len(text) > 1:
        yield from _from_list(Path(text[1:]))
    elif glob.has_magic(text):
        yield from _from_glob(text)
    else:
        yield _missing(text)


def _from_folder(folder: Path) -> Iterator[Source | Failure]:
    closed: list[OSError] = []
    paths = sorted(path for path in _walk(folder, closed.append) if _is_recording(path))
    for error in closed:
        yield Failure(str(error.filename), f"The folder {error.filename} cannot be read: {error.strerror or error}.")
    if not paths and not closed:
        yield Failure(str(folder), f"The folder {folder} contains no audio files.", _extensions_hint())
    yield from (Source(path, str(path), PurePath(path.relative_to(folder))) for path in paths)


def _is_recording(path: Path) -> bool:
    # Reading a pipe could block forever; a broken link is reported as a failure.
    return path.suffix.lower() in AUDIO_EXTENSIONS and (os.path.isfile(path) or not os.path.exists(path))


def _walk(folder: Path, report: Callable[[OSError], None]) -> Iterator[Path]:
    """Yield every file below a folder, except hidden ones; unreadable folders are reported."""
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, onerror=report, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here, name) for name in files if not name.startswith("."))


def _from_glob(pattern: str) -> Iterator[Source | Failure]:
    matches = [match for match in glob.glob(pattern, recursive=True) if os.path.isfile(match)]
    # A link to a parent folder leads to each file by longer and longer paths.
    shortest = {os.path.realpath(match): match for match in sorted(matches, key=len, reverse=True)}
    files = [Path(match) for match in sorted(shortest.values())]
    if not files:
        yield Failure(pattern, f"No file matches {pattern}.")
    base = _fixed_part(pattern)
    yield from (Source(path, str(path), PurePath(os.path.relpath(path, base))) for path in files)


def _fixed_part(pattern: str) -> Path:
    fixed = Path()
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed /= part
    return fixed


def _from_list(path: Path) -> Iterator[Source | Failure]:
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
    except OSError as error:
        raise InputError(f"The list {path} cannot be read: {error.strerror or error}.") from error
    names = [line.strip("\r") for line in lines if line.strip()]
    if not names:
        yield Failure(f"@{path}", f"The list {path} is empty.")
        return
    local = [os.path.dirname(os.path.abspath(name)) for name in names if not _is_url(name)]
    base = os.path.commonpath(local) if local else ""
    for name in names:
        if _is_url(name):
            yield _from_url(name)
        elif os.path.isdir(name):
            yield Failure(name, f"A list must name files, but {name} is a folder.", "Name the folder itself.")
        elif os.path.exists(name):
            yield Source(Path(name), name, PurePath(os.path.relpath(os.path.abspath(name), base)))
        else:
            yield _missing(name)


def _is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _from_url(text: str) -> Source | Failure:
    url = Url(text)
    try:
        return Source(url, str(url), PurePath(url.file_name))
    except ValueError as error:
        return Failure(str(url), f"{url} is not a web address: {error}.")


def _from_manifest(path: Path, raw_rate: int | None) -> Iterator[Source | Failure]:
    from speechcli.data.manifest import ManifestOptions, read_manifest

    manifest = read_manifest(path, options=ManifestOptions(need_targets=False, check_audio=False, raw_rate=raw_rate))
    for row in manifest.bad_rows:
        if row.kind != "duplicate-row":  # each recording is taken once, as everywhere
            yield Failure(f"{path} {row.where}", row.reason)
    for utterance in manifest.utterances:
        place = PurePath(*_parts(utterance.id))
        name = str(utterance.audio)
        yield Source(utterance.audio, name, place, utterance.language, utterance.start, utterance.end)


def _parts(identity: str) -> Iterable[str]:
    """Split an utterance's id into safe names of folders and a file."""
    parts = [part for part in identity.replace("\\", "/").replace("\0", "").split("/") if part not in ("", ".", "..")]
    return parts or ["unnamed"]


def _identity(source: Source) -> Hashable:
    return source.path and os.path.realpath(str(source.path)), source.start, source.end


def _missing(text: str) -> Failure:
    return Failure(text, f"There is no file {text}.")


def _nothing(failures: list[Failure]) -> InputError:
    if len(failures) == 1:
        return InputError(failures[0].message, hint=failures[0].hint)
    return InputError(f"None of the {len(failures)} inputs can be used; the first: {failures[0].message}")


def _extensions_hint() -> str:
    return "Folders are searched for wav, flac, ogg, opus, mp3, m4a, mp4 and similar; name other files explicitly."
