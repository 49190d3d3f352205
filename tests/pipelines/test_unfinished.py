import json
import math
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from speechcli.errors import OutputError
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.files import unfinished
from speechcli.pipelines.files.unfinished import Unfinished
from speechcli.pipelines.job import run_job
from speechcli.pipelines.outcome import Progress
from speechcli.pipelines.recognition.attention import AttentionRecognizer
from speechcli.pipelines.recognition.listen import Listener, open_recognizer
from speechcli.pipelines.recognition.phrases import Phrase
from speechcli.pipelines.recognition.recognizer import Decoded
from speechcli.pipelines.speech_options import (
    InputOptions,
    ModelOptions,
    OutputOptions,
    Shard,
    TranscribeOptions,
    TranslateOptions,
)
from speechcli.transcript import Alternative, Word

from .tiny_model import RATE, make_bundle

PIECES = DecodingOptions(max_segment=1, batch_seconds=2, vad="none", max_new_tokens=4)
BEAMS = replace(PIECES, beam_size=3, num_return=2, word_times=True)
SAMPLES = replace(PIECES, strategy="sample")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unfinished")
    (folder / "in").mkdir()
    for name, seconds in {"a": 5.7, "b": 2.5, "c": 0.5}.items():
        noise = np.random.default_rng(len(name)).normal(0, 0.1, int(seconds * RATE))
        soundfile.write(folder / "in" / f"{name}.wav", noise, RATE)
    return folder


@pytest.fixture(scope="module")
def bundle(folder):
    return make_bundle(folder / "tiny")


@pytest.fixture
def job(folder, bundle, monkeypatch):
    """Return a function that transcribes, dies at the given progress event, and counts decoded pieces."""
    decoded = []
    write = AttentionRecognizer._write
    monkeypatch.setattr(AttentionRecognizer, "_write", lambda self, clips: decoded.extend(clips) or write(self, clips))

    def listen(options, report):
        return Listener(open_recognizer(bundle, options), options, report)

    def run(out, *inputs, dies_at=None, kind=TranscribeOptions, decoding=BEAMS, output=None, **more):
        left = [dies_at]

        def report(event):
            if isinstance(event, Progress) and left[0] is not None:
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt

        decoded.clear()
        names = tuple(str(folder / "in" / name) for name in inputs)
        options = kind(ModelOptions("tiny"), InputOptions(names), decoding, **more)
        written = OutputOptions(out, ("json", "srt"), **output or {})
        try:
            run_job(options, written, sink=bytes, report=report, open_model=listen)
        except KeyboardInterrupt:
            return None
        return len(decoded)

    return run


def outputs(out):
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != "speechcli.jsonl"}


@pytest.mark.parametrize(
    "how",
    [
        {"decoding": BEAMS},
        {"decoding": SAMPLES},
        {"kind": TranslateOptions, "targets": ("es", "de"), "decoding": SAMPLES},
    ],
    ids=["beams", "samples", "translations"],
)
def test_an_interrupted_long_recording_is_continued_with_the_same_result(job, tmp_path, how):
    pieces = job(tmp_path / "straight", "a.wav", **how)
    expected = outputs(tmp_path / "straight")
    left = []
    for dies_at in range(5):
        assert job(tmp_path / str(dies_at), "a.wav", dies_at=dies_at, **how) is None
        left.append(job(tmp_path / str(dies_at), "a.wav", **how))
        assert outputs(tmp_path / str(dies_at)) == expected
    assert (pieces, left) == (8, [8, 6, 4, 1, 1])


def test_it_may_die_again_and_again(job, tmp_path):
    names = ("a.wav", "b.wav", "c.wav")
    pieces = job(tmp_path / "straight", *names)
    deaths = [job(tmp_path / "out", *names, dies_at=dies_at) for dies_at in (2, 3, 4, 5)]
    assert deaths == [None] * 4 and 0 < job(tmp_path / "out", *names) < pieces / 2
    assert outputs(tmp_path / "out") == outputs(tmp_path / "straight")


def test_pieces_of_other_options_or_without_resuming_are_decoded_again(job, tmp_path):
    changes = {"decoding": replace(BEAMS, beam_size=2)}, {"language": "de"}, {"output": {"resume": False}}
    for number, change in enumerate(changes):
        job(tmp_path / str(number), "a.wav", dies_at=3)
        assert job(tmp_path / str(number), "a.wav", **change) == 8


def test_only_recordings_that_are_not_finished_are_kept(job, tmp_path):
    for dies_at, finished, sizes in ((6, False, [2, 1, 1, 1, 3]), (7, True, [5])):
        out = tmp_path / str(dies_at)
        job(out, "b.wav", "a.wav", dies_at=dies_at)
        kept = (out / "unfinished.jsonl").read_text().splitlines()
        assert ((out / "b.json").exists(), [len(json.loads(line)) for line in kept]) == (finished, sizes)


def test_a_batch_that_was_half_written_and_lines_of_other_programs_are_ignored(job, tmp_path):
    job(tmp_path, "a.wav", dies_at=2)
    kept = tmp_path / "unfinished.jsonl"
    first, second = kept.read_bytes().splitlines()
    kept.write_bytes(b'[1]\n\xff\n{"x": 1}\n' + first + b"\n" + second[:-9])
    assert job(tmp_path, "a.wav") == 6
    assert not kept.exists()


def test_a_full_disk_stops_the_job_and_what_was_kept_stays(job, tmp_path, monkeypatch):
    job(tmp_path, "a.wav", dies_at=2)
    kept = tmp_path / "unfinished.jsonl"
    before = kept.read_bytes()

    def full(path, line, *, replace=False):
        raise OutputError("full")

    with monkeypatch.context() as patch, pytest.raises(OutputError, match="full"):
        patch.setattr(unfinished, "append_line", full)
        job(tmp_path, "a.wav")
    assert kept.read_bytes() == before and job(tmp_path, "a.wav") == 4


def test_every_field_of_a_result_is_read_back(tmp_path):
    words = (Word("a", 0.1, 0.2, 0.9),)
    texts = (
        Decoded("a\udc80", (1, 2), (-0.1, -math.inf), "de", "en", (Alternative("b", -1.5),), words, (), 1e-7),
        Decoded("", (), (), None, None, phrases=(Phrase(0.0, 0.5, (3,), "ä"),)),
    )
    for run in (1, 2):
        found = Unfinished(tmp_path, Shard(2, 3), {})
        values = found.find(0, 4, b"sound", None)
        assert (values is None) == (run == 1)
        found.add({(0, 4): texts})
    assert tuple(map(Decoded.from_json, values)) == texts
    assert (tmp_path / "unfinished.2-of-3.jsonl").exists()
