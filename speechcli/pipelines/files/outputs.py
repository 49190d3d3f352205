"""Names of the output files, planned before any work, and writing them all or not at all."""

import contextlib
import errno
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from speechcli.audio.read import AUDIO_EXTENSIONS
from speechcli.errors import OutputError, UsageError
from speechcli.pipelines.files.inputs import Source
from speechcli.pipelines.options import target_labels

# What a job keeps beside its outputs; parts of a job have their own.
_OURS = re.compile(r"(speechcli|failures)(\.\d+-of-\d+)?")
LONGEST_NAME = 255

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Output(NamedTuple):
    """One file to write."""

    path: Path
    target: int
    """Which target language, from 0."""
    format: str


def plan_outputs(
    sources: Sequence[Source], directory: Path, formats: Sequence[str], targets: Sequence[str]
) -> list[tuple[Output, ...]]:
    """Name every output file: the input tree, with a new extension.

    Inputs that would get the same name keep their extension (`talk.wav.txt`, `talk.mp3.txt`). With several target
    languages the target stands in the name (`talk.es.txt`). A name too long for a file system is shortened.

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
                    hint="Name the folder that holds them instead: its tree is kept.",
                )
    return plan


def refuse_overwriting(outputs: Iterable[Output]) -> None:
    """Check that none of the files is there already.

    Raises:
        UsageError: a file is there.
    """
    there = [output.path for output in outputs if os.path.lexists(output.path)]
    if there:
        more = f" and {len(there) - 1} more outputs already exist" if len(there) > 1 else " already exists"
        raise UsageError(
            f"{there[0]}{more}, and nothing is overwritten unasked.",
            hint="Give --overwrite, or another folder with -o.",
        )


def refuse_replacing(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Check that what is written replaces nothing that is read, under whatever name, and no recording at all.

    Raises:
        UsageError: a file is an input, or lies in one that is a folder, or is called like a recording.
    """
    there = {}
    for path in outputs:
        if path.suffix.lower() in AUDIO_EXTENSIONS:
            raise UsageError(f"A recording is never replaced, but {path} is called like one.", hint="Choose another.")
        if path.is_file():
            there[_inode(path)] = path
    for path in inputs if there else ():
        inside = (output for output in there.values() if output.parent.resolve().is_relative_to(path.resolve()))
        replaced = next(inside, None) if os.path.isdir(path) else os.path.exists(path) and there.get(_inode(path))
        if replaced:
            raise UsageError(f"An input is never replaced, but {replaced} is one.", hint="Choose another.")


def _inode(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_dev, state.st_ino


def refuse_file(folder: Path) -> None:
    """Check that what should be a folder is no file.

    Raises:
        OutputError: it is one.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise OutputError(f"Outputs go to a folder, but {folder} is a file.", hint="-o DIR")


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, and make sure that files can be written there.

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
    """Write a file so that it is there whole or not at all, even if the power fails; write into a device or a pipe.

    Raises:
        OutputError: the disk is full, or the file cannot be written. Nothing is left behind.
    """
    # A name of its own length: the final name plus a suffix could be longer than the file system allows.
    partial = path.parent / f".{os.getpid()}.partial"
    try:
        if (path.exists() and not path.is_file()) or _is_stream(path):
            path.write_bytes(data)
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


def _is_stream(path: Path) -> bool:
    """Whether a name stands for an open file: `/dev/stdout` is a link, which is not to be replaced by a file."""
    return path.is_symlink() and os.path.realpath(path.parent).split(os.sep)[1] in ("dev", "proc")


def output_error(path: Path, error: OSError) -> OutputError:
    """Return the sentence for a file or folder that cannot be written."""
    hint = "Free some space, or choose another folder with -o; what is done stays done." if is_full(error) else None
    return OutputError(f"{path} cannot be written: {error.strerror or error}.", hint=hint)


def is_full(error: OSError) -> bool:
    """Whether the disk, or the user's share of it, is full."""
    return error.errno in _NO_SPACE


def _stems(places: Sequence[PurePath]) -> list[PurePath]:
    bare = [_without_extension(place) for place in places]
    shared = Counter(bare)
    return [
        place if shared[stem] > 1 or _OURS.fullmatch(str(stem)) else stem
        for place, stem in zip(places, bare, strict=True)
    ]


def _fitting(stem: str, ending: str) -> str:
    """Return a file name of at most 255 bytes; what is cut off is told apart by a digest of the whole."""
    encoded = os.fsencode(stem)
    room = LONGEST_NAME - len(os.fsencode(ending))
    if len(encoded) <= room:
        return stem + ending
    digest = hashlib.sha256(encoded).hexdigest()[:8]
    # Half a character at the cut is left out.
    return encoded[: room - len(digest) - 1].decode("utf-8", "ignore") + f"-{digest}{ending}"


def _without_extension(place: PurePath) -> PurePath:
    return place.with_suffix("") if place.suffix.lower() in AUDIO_EXTENSIONS else place
