import errno
import os
from contextlib import contextmanager
from pathlib import Path, PurePath

import pytest

from speechcli.audio.inside import FileSlice
from speechcli.audio.url import Url
from speechcli.errors import OutputError, UsageError
from speechcli.pipelines.files import outputs
from speechcli.pipelines.files.inputs import Source
from speechcli.pipelines.files.outputs import (
    make_folder,
    plan_outputs,
    refuse_overwriting,
    refuse_replacing,
    write_atomically,
)


def plan(*places, formats=("txt",), targets=()):
    sources = [Source(Path("in") / place, place, PurePath(place)) for place in places]
    return [
        [str(output.path.relative_to("out")) for output in files]
        for files in plan_outputs(sources, Path("out"), formats, targets)
    ]


def test_outputs_mirror_the_input_tree():
    assert plan("a/x.wav", "b/x.wav", "y") == [["a/x.txt"], ["b/x.txt"], ["y.txt"]]


def test_inputs_that_would_collide_keep_their_extension():
    assert plan("x.wav", "x.mp3", "y.wav") == [["x.wav.txt"], ["x.mp3.txt"], ["y.txt"]]
    names = ("x.wav", "x.mp3", "x.wav.flac", "x.wav.flac.ogg")
    assert plan(*names) == [[f"{name}.txt"] for name in names]


def test_only_known_extensions_are_removed():
    assert plan("talk.v1", "talk.v2.wav") == [["talk.v1.txt"], ["talk.v2.txt"]]


def test_several_formats_and_targets_have_a_file_each():
    assert plan("x.wav", formats=("txt", "json"), targets=("es", "German")) == [
        ["x.es.txt", "x.es.json", "x.de.txt", "x.de.json"]
    ]
    assert plan("x.wav", targets=("es",)) == [["x.txt"]]


def test_equal_names_from_different_places_are_refused():
    with pytest.raises(UsageError, match="both be written") as caught:
        plan("x.wav", "x.wav")
    assert caught.value.exit_code == 2


def test_a_recording_may_be_called_like_the_journal():
    assert plan("speechcli.wav", "failures.flac", formats=("jsonl",)) == [
        ["speechcli.wav.jsonl"],
        ["failures.flac.jsonl"],
    ]


def test_a_name_too_long_for_the_file_system_is_shortened_and_still_its_own(tmp_path):
    places = ["a/" + "ж" * 124 + end + ".wav" for end in ("", "жа", "жб")]
    names = [name.removeprefix("a/") for (name,) in plan(*places, formats=("jsonl",))]
    assert names[0] == "ж" * 124 + ".jsonl" and len(set(names)) == 3
    assert all(245 <= len(name.encode()) <= 255 and name.endswith(".jsonl") for name in names)
    for name in names:
        write_atomically(tmp_path / name, b"new")


def test_nothing_is_overwritten_without_the_flag(tmp_path):
    (tmp_path / "x.txt").write_text("mine")
    files = plan_outputs([Source(Path("x.wav"), "x.wav", PurePath("x.wav"))], tmp_path, ("txt", "json"), ())[0]
    with pytest.raises(UsageError, match="already exists") as caught:
        refuse_overwriting(files)
    assert "--overwrite" in caught.value.hint
    refuse_overwriting(files[1:])


@pytest.mark.parametrize("alias", ["same", "hard link", "symbolic link", "inside a folder"])
def test_an_input_is_never_replaced_under_any_name(tmp_path, alias):
    read = tmp_path / "in" / "list.txt"
    read.parent.mkdir()
    read.write_text("mine")
    path = read if alias in ("same", "inside a folder") else tmp_path / "other.txt"
    if alias == "hard link":
        path.hardlink_to(read)
    if alias == "symbolic link":
        path.symlink_to(read)
    with pytest.raises(UsageError, match=r"^An output must not replace an input, but .*(list|other)\.txt is one\.$"):
        refuse_replacing([tmp_path / "new.txt", path], [read.parent if "inside" in alias else read])
    read.with_name("more.txt").write_text("another file beside the input")
    refuse_replacing([tmp_path / "in" / "more.txt"], [read, tmp_path / "gone", "owner/name", Url("http://a/b"), None])


def test_an_output_folder_with_an_input_in_it_is_never_replaced(tmp_path):
    for name in ("last/train.tsv", "train.tsv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=r"must not replace an input, but .*last contains .*train\.tsv"):
        refuse_replacing([tmp_path / "last"], [FileSlice(tmp_path / "last" / "train.tsv", 0, 1)])
    refuse_replacing([tmp_path / "last", tmp_path / "best"], [tmp_path / "train.tsv"])


def test_an_output_with_the_name_of_a_recording_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"named like a recording"):
        refuse_replacing([tmp_path / "not-there-yet.WAV"], [])


def test_a_file_is_written_whole(tmp_path):
    write_atomically(tmp_path / "a" / "x.txt", b"new")
    assert (tmp_path / "a" / "x.txt").read_bytes() == b"new"
    assert os.listdir(tmp_path / "a") == ["x.txt"]


def test_a_pipe_or_a_device_is_written_to_but_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(tmp_path / "pipe", b"text")
    assert os.read(reader, 10) == b"text" and (tmp_path / "pipe").is_fifo()
    os.close(reader)
    with pytest.raises(OutputError, match="Is a directory"):
        write_atomically(tmp_path, b"text")


def test_the_name_of_standard_output_stays_a_link_where_that_is_a_file(tmp_path):
    with (tmp_path / "shown.txt").open("wb") as file:
        name = Path(f"/proc/self/fd/{file.fileno()}")
        if not name.is_symlink():
            pytest.skip("open files have no names")
        write_atomically(name, b"text")
        assert name.is_symlink()
    assert (tmp_path / "shown.txt").read_bytes() == b"text"


def test_a_file_that_is_standard_output_is_written_in_order(tmp_path, capfd):
    with (tmp_path / "shown.txt").open("wb") as file, redirected(1, file.fileno()):
        for name in ("/dev/stdout", tmp_path / "shown.txt"):
            write_atomically(Path(name), b"hypotheses\n")
            os.write(1, b"scores\n")
    assert (tmp_path / "shown.txt").read_text() == "hypotheses\nscores\n" * 2


@contextmanager
def redirected(descriptor, target):
    before = os.dup(descriptor)
    os.dup2(target, descriptor)
    try:
        yield
    finally:
        os.dup2(before, descriptor)
        os.close(before)


def test_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "x.txt"
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(outputs.os, "fsync", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        write_atomically(path, b"new")
    assert caught.value.exit_code == 8 and "Free some space" in caught.value.hint
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["x.txt"]


def test_processes_with_the_same_id_may_write_to_the_same_folder(tmp_path, monkeypatch):
    def other_container(descriptor):
        monkeypatch.undo()
        write_atomically(tmp_path / "b.txt", b"b")

    monkeypatch.setattr(outputs.os, "fsync", other_container)
    write_atomically(tmp_path / "a.txt", b"a")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.txt": b"a", "b.txt": b"b"}


def test_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(outputs.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "x.txt", b"new")
    assert os.listdir(tmp_path) == []


def test_the_longest_name_that_the_system_allows_can_be_written(tmp_path):
    name = "x" * 251 + ".txt"
    write_atomically(tmp_path / name, b"new")
    assert os.listdir(tmp_path) == [name]
    with pytest.raises(OutputError):
        write_atomically(tmp_path / ("x" + name), b"new")


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        make_folder(tmp_path / "file" / "out")
