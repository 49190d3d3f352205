"""The journal of a folder job, which lets a second run skip what is done, and the list of failures."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechcli.audio.inside import outer_file
from speechcli.audio.url import Url
from speechcli.pipelines.files.inputs import Source
from speechcli.pipelines.files.lines import append_line, lines_path, read_lines, remove_lines
from speechcli.pipelines.files.outputs import Output
from speechcli.pipelines.outcome import Failure
from speechcli.pipelines.speech_options import Shard
from speechcli.writers import json_line

WHOLE = Shard(1, 1)


class Journal:
    """`speechcli.jsonl` in an output folder: a line for each input before its outputs are written, and one after.

    A line contains the outputs and their origin: the input (path, size, time of modification, language), the model, the
    options, and whether they are done. The last line about an output is valid; incomplete lines are ignored. By the
    first of the two lines, outputs that a crash left behind are recognized as our own. Part i of n of a job writes
    `speechcli.i-of-n.jsonl`, and reads the journals of all parts.

    Args:
        folder: the output folder.
        model: identity of the model and its version.
        options: everything else that affects the text.
        shard: the part of the job.

    Raises:
        OutputError: the journal exists but cannot be read.
    """

    def __init__(
        self, folder: Path, *, model: Mapping[str, Any], options: Mapping[str, Any], shard: Shard = WHOLE
    ) -> None:
        self._folder = folder
        self._path = journal_path(folder, shard)
        # As it is read again: JSON has lists, not tuples.
        self._same = json.loads(json_line({"model": dict(model), "options": dict(options)}))
        self._origins: dict[str, dict[str, Any]] = {}
        self._recordings: dict[Source, dict[str, Any] | None] = {}
        for path in _oldest_first(folder):
            for line in read_lines(path):
                origin = {key: value for key, value in line.items() if key != "outputs"}
                self._origins.update(dict.fromkeys(_names(line.get("outputs")), origin))

    def knows(self, output: Output) -> bool:
        """Whether an earlier run wrote this file."""
        return self._name(output) in self._origins

    def started(self, source: Source, output: Output) -> bool:
        """Whether an earlier run began to write this file from the same input, model and options."""
        origin = self._origins.get(self._name(output), {})
        return {**origin, "done": False} == self._origin(source, done=False)

    def done(self, source: Source, outputs: Sequence[Output]) -> bool:
        """Whether all these files exist and were made from the same input, model and options."""
        origin = self._origin(source, done=True)
        return origin is not None and all(
            self._origins.get(self._name(output)) == origin and output.path.exists() for output in outputs
        )

    def add(self, source: Source, outputs: Sequence[Output], *, done: bool) -> None:
        """Record that outputs are about to be written, or have been written.

        Raises:
            OutputError: the journal cannot be written.
        """
        origin = self._origin(source, done=done)
        if origin is not None:
            append_line(self._path, json_line({**origin, "outputs": [self._name(output) for output in outputs]}))

    def _name(self, output: Output) -> str:
        return output.path.relative_to(self._folder).as_posix()

    def _origin(self, source: Source, *, done: bool) -> dict[str, Any] | None:
        # The state of the recording at the first call: if it changes during the job, the next job transcribes it again.
        if source not in self._recordings:
            self._recordings[source] = _recording(source)
        recording = self._recordings[source]
        return None if recording is None else {**recording, **self._same, "done": done}


class FailureList:
    """`failures.jsonl`, or `failures.i-of-n.jsonl`: a line for each input that failed in the latest run."""

    def __init__(self, folder: Path, shard: Shard = WHOLE) -> None:
        self._path = lines_path(folder, "failures", shard)
        self._count = 0

    def add(self, failure: Failure) -> None:
        """Record a failure; the first one replaces the list of an earlier run.

        Raises:
            OutputError: the list cannot be written.
        """
        line = {"path": failure.path, "error": failure.message, "hint": failure.hint}
        append_line(self._path, json_line(line), replace=self._count == 0)
        self._count += 1

    def finish(self) -> None:
        """Remove the list of an earlier run if nothing failed in this one.

        Raises:
            OutputError: it cannot be removed.
        """
        if self._count == 0:
            remove_lines(self._path)


def journal_path(folder: Path, shard: Shard) -> Path:
    """Return the path of the journal of a job, or of a part of one."""
    return lines_path(folder, "speechcli", shard)


def _recording(source: Source) -> dict[str, Any] | None:
    """Return what identifies a recording and its version; None: unknown."""
    if source.path is None:
        return None  # standard input is different each time
    if isinstance(source.path, Url):  # an address names the same recording forever
        path, size, changed = str(source.path), None, None
    else:
        try:
            state = os.stat(outer_file(source.path))
        except OSError:
            return None
        path, size, changed = os.path.abspath(str(source.path)), state.st_size, state.st_mtime_ns
    stretch = [source.start, source.end]
    return {"path": path, "size": size, "changed": changed, "stretch": stretch, "language": source.language}


def _oldest_first(folder: Path) -> list[Path]:
    """Return all journals in a folder, oldest first."""
    paths = [path for path in folder.glob("speechcli*.jsonl") if re.fullmatch(r"(\.\d+-of-\d+)?", path.stem[9:])]
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns)


def _names(outputs: Any) -> list[str]:
    """Return the outputs of a line; none if the line has another content."""
    return outputs if isinstance(outputs, list) and all(isinstance(name, str) for name in outputs) else []
