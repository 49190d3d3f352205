"""With a low limit of open files, the error names the limit; no file is called damaged or missing."""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

import pytest
import torch
from safetensors.torch import save_file

from speechcli.audio.read import read_audio
from speechcli.checkpoints.folder import read_weights
from speechcli.cli import deliver
from speechcli.cli.app import main
from speechcli.data import loading
from speechcli.data.batching import DurationBatches
from speechcli.data.loading import load_epoch
from speechcli.data.manifest import Utterance
from speechcli.errors import InputError, ModelError, UsageError
from speechcli.pipelines.files.inputs import Source
from speechcli.pipelines.recognition.pieces import End, Piece, Reader
from speechcli.pipelines.speech_options import TranscribeOptions
from tests.pipelines.tiny_model import write_tone

resource = pytest.importorskip("resource")
HINT = "Allow more open files: `ulimit -n 1024`."


@contextmanager
def handles(spare: int) -> Iterator[None]:
    """Allow this many more open files."""
    following = [os.open(os.devnull, os.O_RDONLY) for _ in range(spare + 1)]
    for descriptor in following:
        os.close(descriptor)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (following[-1], hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("spare", [0, 1])
def test_weights_are_not_called_damaged(tmp_path: Path, spare: int) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "model.safetensors")
    with handles(spare), pytest.raises(ModelError) as caught:
        read_weights(tmp_path)
    assert caught.value.message == f"{tmp_path / 'model.safetensors'} cannot be read: Too many open files" + (
        " (24)." if spare else "."
    )
    assert caught.value.hint == HINT


def test_a_recording_that_cannot_be_opened_fails_alone(tmp_path: Path) -> None:
    paths = [write_tone(tmp_path / name) for name in ("a.wav", "b.wav")]
    reader = Reader(TranscribeOptions(), 16_000)
    read = reader.read([Source(path, path.name, PurePath(path.name)) for path in paths])
    with handles(0):
        failed = next(read)
    assert isinstance(failed, End) and failed.failure is not None
    assert (
        failed.failure.message == f"`{paths[0]}` cannot be read: Too many open files." and failed.failure.hint == HINT
    )
    assert isinstance(next(read), Piece)


def test_a_pipe_is_not_called_missing() -> None:
    with handles(0), pytest.raises(InputError, match="`standard input` cannot be read: ") as caught:
        read_audio(io.BufferedReader(Unseekable()), sample_rate=16_000)
    assert "does not exist" not in caught.value.message


class Unseekable(io.RawIOBase):
    """A pipe without a handle."""

    def readable(self) -> bool:
        return True


def test_workers_are_not_started_if_the_limit_of_open_files_is_too_low(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "DataLoader", lambda *given, **more: ["batch"])
    batches = DurationBatches([Utterance("a", Path("a.wav"), 1.0, ())], max_seconds=1.0)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (20, 20))
    with pytest.raises(UsageError, match=r"\(workers: 1\) needs 64 open files, but the system allows 20") as caught:
        next(load_epoch(batches, Nothing(), workers=1))
    assert caught.value.hint is not None and "ulimit -n 64" in caught.value.hint
    assert list(load_epoch(batches, Nothing())) == ["batch"]
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert list(load_epoch(batches, Nothing(), workers=1)) == ["batch"]


class Nothing:
    """Makes nothing of a batch."""

    epoch = 0

    def __call__(self, utterances: object) -> None:
        return None


def test_an_unforeseen_error_is_reported_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_job(*given: object, **more: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/a/module")

    monkeypatch.setattr(deliver, "run_job", run_job)
    assert main(["transcribe", "a.wav"]) == 1
    assert capsys.readouterr().err == f"error: /a/module cannot be used: Too many open files.\nhint: {HINT}\n"
