"""Audio sources (files, parts of files, URLs, pipes) as seekable streams."""

from __future__ import annotations

import io
import shutil
import stat
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

from speechcli.audio.inside import AudioFile, FileSlice, TableCell
from speechcli.audio.url import Url
from speechcli.errors import InputError


def name_of(source: AudioFile | Url | BinaryIO) -> str:
    """Return the name of a source in messages."""
    if isinstance(source, AudioFile | Url):
        return str(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) and name != "<stdin>" else "standard input"


def open_bytes(source: AudioFile | Url | BinaryIO, name: str, stack: ExitStack) -> tuple[Path | BinaryIO, int]:
    """Return a regular file or a seekable stream, and its size in bytes; the stack closes temporary files.

    Raises:
        InputError: the source cannot be read.
    """
    if isinstance(source, FileSlice | TableCell):
        source = source.open()
    elif isinstance(source, Url):
        source = stack.enter_context(source.open())
    try:
        if isinstance(source, Path):
            mode = source.stat().st_mode
            if stat.S_ISDIR(mode):
                raise InputError(f"`{name}` must be an audio file, but is a folder.")
            with source.open("rb") as file:
                if stat.S_ISREG(mode):
                    return source, _not_empty(file.seek(0, io.SEEK_END), name)
                if not stat.S_ISFIFO(mode):
                    raise InputError(f"`{name}` must be an audio file or a pipe, but is a device or a socket.")
                return _spooled(file, name, stack)
        if not source.seekable():
            return _spooled(source, name, stack)
        size = source.seek(0, io.SEEK_END)
        source.seek(0)
        return source, _not_empty(size, name)
    except FileNotFoundError as error:
        raise InputError(f"`{name}` does not exist.") from error
    except PermissionError as error:
        raise InputError(f"`{name}` cannot be read: permission denied.") from error
    # ValueError: a null character in the path.
    except (OSError, ValueError) as error:
        raise InputError(f"`{name}` cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _spooled(stream: BinaryIO, name: str, stack: ExitStack) -> tuple[BinaryIO, int]:
    # On disk, so that long recordings from a pipe do not use memory.
    try:
        file = stack.enter_context(tempfile.TemporaryFile())
        shutil.copyfileobj(stream, file)
    except OSError as error:
        hint = "It is first copied to a temporary file in the folder TMPDIR."
        raise InputError(f"`{name}` cannot be read: {error.strerror or error}.", hint=hint) from error
    size = _not_empty(file.tell(), name)
    file.seek(0)
    return cast(BinaryIO, file), size


def _not_empty(size: int, name: str) -> int:
    if size == 0:
        raise InputError(f"`{name}` must be audio, but is empty (0 bytes).")
    return size
