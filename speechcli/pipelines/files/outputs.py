"""Plan the names of output files before any work, protect existing files, and write atomically."""

import contextlib
import errno
import hashlib
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import BinaryIO, NamedTuple

from speechcli.audio.inside import AudioFile, outer_file
from speechcli.audio.read import AUDIO_EXTENSIONS
from speechcli.audio.url import Url
from speechcli.errors import OutputError, UsageError
from speechcli.pipelines.files.inputs import Source
from speechcli.pipelines.speech_options import target_labels

# Stems of the files that a job keeps beside its outputs; each part of a job has its own.
_OURS = re.compile(r"(speechcli|failures|unfinished)(\.\d+-of-\d+)?")
LONGEST_NAME = 255

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

Input = AudioFile | Url | str | None
"""What a command reads: a file or folder, an address, or a name on the Hub; None: nothing, or standard input."""


class Output(NamedTuple):
    """One file to write."""

    path: Path
    target: int
    """Which target language, from 0."""
    format: str


def plan_outputs(
    sources: Sequence[Source], directory: Path, formats: Sequence[str], targets: Sequence[str]
) -> list[tuple[Output, ...]]:
    """Plan the output files, which mirror the input tree with new extensions.

    Inputs whose outputs would have the same name keep their extension (`talk.wav.txt`, `talk.mp3.txt`). With several
    target languages, the language is part of the name (`talk.es.txt`). Names too long for file systems are shortened.

    Raises:
        UsageError: two inputs would still write the same file.
    """
    labels = [f".{label}" for label in target_labels(targets)] if len(targets) > 1 else [""]
    plan = [
        tuple(
            Output(directory / stem.parent / _fitting(stem.name, f"{label}.{kind}"), target, kind)
            for target, label in enumerate(labels)
            for kind in formats
        )
        for stem in _stems([source.place for source in sources])
    ]
    owners: dict[Path, Source] = {}
    for source, outputs in zip(sources, plan, strict=True):
        for output in outputs:
            other = owners.setdefault(output.path, source)
            if other is not source:
                raise UsageError(
                    f"{other.name} and {source.name} would both be written to {output.path}.",
                    hint="Name the folder that contains them instead: its tree is kept.",
                )
    return plan


def refuse_overwriting(outputs: Iterable[Output]) -> None:
    """Check that none of the files exists.

    Raises:
        UsageError: one of them exists.
    """
    existing = [output.path for output in outputs if os.path.lexists(output.path)]
    if existing:
        more = f" and {len(existing) - 1} more outputs already exist" if len(existing) > 1 else " already exists"
        raise UsageError(
            f"{existing[0]}{more}, and nothing is overwritten without --overwrite.",
            hint="Give --overwrite, or another folder with -o.",
        )


def refuse_replacing(outputs: Iterable[Path], inputs: Iterable[Input]) -> None:
    """Check that no output replaces an input, under any name, and that none is named like a recording.

    Args:
        outputs: files, and folders that are replaced as a whole.
        inputs: everything that is read; URLs, names on the Hub and None are ignored.

    Raises:
        UsageError: an output is an input, contains one or lies in one, or is named like a recording.
    """
    existing = []
    for path in outputs:
        if path.suffix.lower() in AUDIO_EXTENSIONS:
            raise UsageError(
                f"An output must not be named like a recording, but {path} is.", hint="Choose another name."
            )
        if path.exists():
            existing.append(path)
    if not existing:
        return
    files = {_inode(path): path for path in existing}
    folders = {path.resolve(): path for path in existing if path.is_dir()}
    for path in filter(os.path.exists, (_on_disk(each) for each in inputs if each is not None)):
        real = path.resolve()
        replaced = files.get(_inode(path))
        if replaced is None and path.is_dir():
            replaced = next((output for output in existing if output.parent.resolve().is_relative_to(real)), None)
        if replaced is not None:
            problem = f"{replaced} is one"
        elif parent := next((parent for parent in real.parents if parent in folders), None):
            problem = f"{folders[parent]} contains {path}"
        else:
            continue
        raise UsageError(f"An output must not replace an input, but {problem}.", hint="Choose another output.")


def _on_disk(source: AudioFile | Url | str) -> Path:
    """Return the path that a name stands for, whether or not it exists."""
    return outer_file(source) if isinstance(source, AudioFile) else Path(os.path.expanduser(str(source)))


def _inode(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_dev, state.st_ino


def refuse_file(folder: Path) -> None:
    """Check that a folder is not a file.

    Raises:
        OutputError: it is one.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise OutputError(f"Outputs go to a folder, but {folder} is a file.", hint="-o DIR")


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, and check that it is writable.

    Raises:
        OutputError: it cannot be created or written.
    """
    refuse_file(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"The folder {folder} cannot be written.")


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file atomically, so that a crash never leaves half of it.

    A device, a pipe or the target of standard output is not replaced: the data is appended to it.

    Raises:
        OutputError: the disk is full, or the file cannot be written. Nothing is left behind.
    """
    # Not the final name plus a suffix, which could be too long for the file system. It is random, because process ids
    # may be the same in containers that share a folder.
    partial = path.parent / f".{secrets.token_hex(8)}.partial"
    try:
        if stream := _open_stream(path):
            with stream:
                stream.write(data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _open_stream(path: Path) -> BinaryIO | None:
    """Open a device, a pipe or an open file such as `/dev/stdout`, which must be written into instead of replaced."""
    for number in (1, 2):
        with contextlib.suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(number)):
                return open(number, "wb", closefd=False)  # opened by its name, a file would be written from its start
    is_link = path.is_symlink() and os.path.realpath(path.parent).split(os.sep)[1] in ("dev", "proc")
    return path.open("wb") if is_link or (path.exists() and not path.is_file()) else None


def output_error(path: Path, error: OSError) -> OutputError:
    """Return the error for a file or folder that cannot be written."""
    hint = "Free some space, or choose another folder with -o; finished outputs are kept." if is_full(error) else None
    return OutputError(f"{path} cannot be written: {error.strerror or error}.", hint=hint)


def is_full(error: OSError) -> bool:
    """Whether the disk or the user's quota is full."""
    return error.errno in _NO_SPACE


def _stems(places: Sequence[PurePath]) -> list[PurePath]:
    bare = [_without_extension(place) for place in places]
    stems = [place if _OURS.fullmatch(str(stem)) else stem for place, stem in zip(places, bare, strict=True)]
    while True:
        shared = Counter(stems)
        apart = [place if shared[stem] > 1 else stem for place, stem in zip(places, stems, strict=True)]
        if apart == stems:
            return stems
        stems = apart  # a name with its extension may be that of another input without


def _fitting(stem: str, ending: str) -> str:
    """Return a file name of at most 255 bytes; a shortened name gets a digest of the whole name."""
    encoded = os.fsencode(stem)
    room = LONGEST_NAME - len(os.fsencode(ending))
    if len(encoded) <= room:
        return stem + ending
    digest = hashlib.sha256(encoded).hexdigest()[:8]
    # Half a character at the cut is left out.
    return encoded[: room - len(digest) - 1].decode("utf-8", "ignore") + f"-{digest}{ending}"


def _without_extension(place: PurePath) -> PurePath:
    return place.with_suffix("") if place.suffix.lower() in AUDIO_EXTENSIONS else place
