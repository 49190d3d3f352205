"""Results of pieces of unfinished recordings, so that a stopped job does not decode them again."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechcli import __version__
from speechcli.pipelines.files.lines import append_line, lines_path, read_lines, remove_lines
from speechcli.pipelines.files.outputs import write_atomically
from speechcli.pipelines.speech_options import Shard


class Unfinished:
    """`unfinished.jsonl` in an output folder: the results of pieces of recordings whose outputs are not yet written.

    A line contains the results of one batch, each with a digest of everything that it depends on: the audio, the model
    and the options. The results of a recording are removed when its outputs are written.

    Args:
        folder: the output folder.
        shard: the part of the job.
        made_by: identity of the model and its version, and the options that affect the text.
        resume: whether to use the results of an earlier run.

    Raises:
        OutputError: the file exists but cannot be read.
    """

    def __init__(self, folder: Path, shard: Shard, made_by: Mapping[str, Any], *, resume: bool = True) -> None:
        self._path = lines_path(folder, "unfinished", shard)
        self._made_by = {**made_by, "version": __version__}
        lines = read_lines(self._path) if resume else []
        self._earlier: dict[str, Any] = {digest: result for line in lines for digest, result in line.items()}
        self._results = dict(self._earlier)
        self._digests: dict[tuple[int, int], str] = {}

    def find(self, recording: int, piece: int, samples: bytes, language: str | None) -> Any:
        """Return the result of a piece of a recording of this job, if an earlier run decoded it, else None."""
        digest = hashlib.sha256(json.dumps([self._made_by, piece, language]).encode())
        digest.update(samples)
        self._digests[recording, piece] = digest.hexdigest()
        return self._earlier.get(digest.hexdigest())

    def add(self, results: Mapping[tuple[int, int], Any]) -> None:
        """Keep the results of a batch, by the numbers of recording and piece.

        Raises:
            OutputError: the file cannot be written.
        """
        named = {self._digests[place]: result for place, result in results.items()}
        new = {digest: result for digest, result in named.items() if digest not in self._results}
        if new:
            append_line(self._path, _line(new), replace=not self._results)
            self._results |= new

    def drop(self, recording: int) -> None:
        """Remove the results of a recording, after its outputs have been written.

        Raises:
            OutputError: the file cannot be written.
        """
        places = [place for place in self._digests if place[0] == recording]
        kept = [digest for digest in map(self._digests.pop, places) if self._results.pop(digest, None) is not None]
        if kept and self._results:
            write_atomically(self._path, _line(self._results))
        elif kept:
            remove_lines(self._path)

    def finish(self) -> None:
        """Remove the file, since the job is done.

        Raises:
            OutputError: it cannot be removed.
        """
        remove_lines(self._path)


def _line(results: Mapping[str, Any]) -> bytes:
    # Unlike standard JSON, it may contain -Infinity, the log-probability of a token that is both forced and suppressed.
    return (json.dumps(results, default=vars) + "\n").encode()
