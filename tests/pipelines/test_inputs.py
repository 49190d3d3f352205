import os
from pathlib import Path, PurePath

import pytest

from speechcli.audio.url import Url
from speechcli.errors import InputError, UsageError
from speechcli.pipelines.files.inputs import find_inputs
from speechcli.pipelines.speech_options import InputOptions

from .tiny_model import write_tone


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in/b/2.FLAC", "in/b/notes.txt", "in/.hidden/3.wav", "in/._4.wav", "in/a.wav", "x.wav", "y"):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"sound")
    return tmp_path


def find(*names, **options):
    return find_inputs(InputOptions(inputs=names, **options))


def test_an_invalid_address_is_a_failure_of_that_input_only(here):
    found = find("x.wav", "https://[::1")
    assert len(found.sources) == 1 and found.failures[0].message.startswith("https://[::1 is not a web address: ")


def test_a_name_too_long_for_any_file_is_a_missing_one(here):
    found = find("x.wav", "long" * 2000)
    assert len(found.sources) == 1 and found.failures[0].message.startswith("There is no file longlong")


def places(found):
    return [(source.name, str(source.place)) for source in found.sources]


def test_the_place_of_a_file_is_its_name(here):
    assert places(find("in/a.wav", "y", str(here / "x.wav"))) == [
        ("in/a.wav", "a.wav"),
        ("y", "y"),
        (str(here / "x.wav"), "x.wav"),
    ]


def test_a_folder_is_searched_in_a_fixed_order_and_its_tree_kept(here):
    assert places(find("in")) == [("in/a.wav", "a.wav"), ("in/b/2.FLAC", "b/2.FLAC")]


def test_a_glob_names_a_file_by_its_shortest_way_even_in_a_loop(here):
    os.symlink(here / "in", here / "in" / "a-loop")
    assert places(find("in/**/*.wav")) == [("in/a.wav", "a.wav")]


def test_linked_folders_are_searched_once_even_in_a_loop(here):
    os.symlink(here / "in", here / "in" / "b" / "loop")
    os.symlink(here / "in", here / "in" / "b" / "loop2")  # with two loops, the number of paths doubles at each level
    os.symlink(here / "in" / "b", here / "linked")
    assert places(find("in")) == [("in/a.wav", "a.wav"), ("in/b/2.FLAC", "b/2.FLAC")]
    assert places(find("linked")) == [("linked/2.FLAC", "2.FLAC"), ("linked/loop/a.wav", "loop/a.wav")]


def test_a_pipe_in_a_folder_is_skipped_and_a_broken_link_is_kept(here):
    os.mkfifo("in/pipe.wav")
    os.symlink("nowhere", "in/dead.wav")
    assert [name for name, _ in places(find("in"))] == ["in/a.wav", "in/b/2.FLAC", "in/dead.wav"]


def test_a_folder_below_that_cannot_be_read_is_a_failure(here, monkeypatch):
    scan = os.scandir

    def refuse(folder):
        if os.path.basename(folder) == "b":
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    found = find("in")
    assert [name for name, _ in places(found)] == ["in/a.wav"]
    assert [failure.message for failure in found.failures] == ["The folder in/b cannot be read: Permission denied."]
    with pytest.raises(InputError, match="The folder in/b cannot be read"):
        find("in/b")


def test_a_glob_is_expanded_and_its_tree_kept(here):
    assert places(find("in/**/*.wav")) == [("in/a.wav", "a.wav")]
    assert places(find("*/b/*.FLAC")) == [("in/b/2.FLAC", "in/b/2.FLAC")]


def test_a_file_that_looks_like_a_glob_or_a_list_is_a_file(here):
    Path("a[1].wav").write_bytes(b"sound")
    Path("@x.wav").write_bytes(b"sound")
    assert places(find("a[1].wav", "@x.wav")) == [("a[1].wav", "a[1].wav"), ("@x.wav", "@x.wav")]


def test_a_list_names_one_path_a_line_and_keeps_the_tree(here):
    Path("list.txt").write_text("./in/a.wav\r\n\nin/b/2.FLAC\ngone.wav\n", encoding="utf-8")
    found = find("@list.txt")
    assert [str(source.place) for source in found.sources] == ["in/a.wav", "in/b/2.FLAC"]
    assert [(failure.path, failure.exit_code) for failure in found.failures] == [("gone.wav", 4)]


def test_a_list_may_name_a_pipe_and_says_why_a_folder_is_no_recording(here):
    os.mkfifo("pipe")
    Path("list.txt").write_text("pipe\nin\n")
    found = find("@list.txt")
    assert places(found) == [("pipe", "pipe")]
    assert [failure.message for failure in found.failures] == ["A list must name files, but in is a folder."]


def test_each_recording_is_taken_once(here):
    assert len(find("in", "in/a.wav", str(here / "in" / "a.wav")).sources) == 2


def test_standard_input_is_an_input(here):
    (source,) = find("-").sources
    assert source == (None, "-", PurePath("stdin"), None, None, None)
    with pytest.raises(UsageError, match="twice"):
        find("-", "-")


def test_missing_inputs_are_failures_beside_others_and_an_error_alone(here):
    found = find("x.wav", "gone.wav", "*.mp3")
    assert [failure.path for failure in found.failures] == ["gone.wav", "*.mp3"]
    with pytest.raises(InputError, match=r"There is no file gone\.wav\.") as caught:
        find("gone.wav")
    assert caught.value.exit_code == 4
    with pytest.raises(InputError, match="None of the 2 inputs can be used"):
        find("gone.wav", "gone2.wav")


def test_an_empty_folder_is_not_a_usable_input(here):
    (here / "empty").mkdir()
    with pytest.raises(InputError, match="contains no audio"):
        find("empty")


def test_a_missing_input_is_a_usage_error(here):
    with pytest.raises(UsageError, match="missing"):
        find()


def test_a_list_that_cannot_be_read_is_an_error(here):
    with pytest.raises(InputError, match=r"The list none\.txt"):
        find("x.wav", "@none.txt")


def test_a_manifest_provides_recordings_languages_and_times(here):
    write_tone(here / "wavs" / "1.wav", 2.0)
    rows = ["id\taudio\tsrc_lang\tstart\tend", "s/u1\twavs/1.wav\tde\t0.5\t1.0", "../u2\twavs/1.wav\tde\t1.0\t1.5"]
    (here / "m.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    first, second = find(manifest=here / "m.tsv").sources
    assert (str(first.place), first.language, first.start, first.end) == ("s/u1", "de", 0.5, 1.0)
    assert str(second.place) == "u2"


def test_a_recording_that_a_manifest_names_twice_is_taken_once_and_is_no_failure(here):
    write_tone(here / "1.wav", 2.0)
    (here / "m.tsv").write_text("audio\ttext\n1.wav\tone\n1.wav\tone two\n", encoding="utf-8")
    found = find(manifest=here / "m.tsv")
    assert len(found.sources) == 1 and found.failures == ()


def test_a_manifest_may_name_recordings_without_headers(here):
    rows = ["audio\tstart", "a.pcm\t", "a.pcm\t0.5", "a.pcm:4000:2000\t"]
    (here / "m.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (here / "a.pcm").write_bytes(bytes(32_000))
    found = find(manifest=here / "m.tsv", raw="mulaw", rate=8000)
    assert [(source.path, source.start, source.end) for source in found.sources] == [
        (here / "a.pcm", None, None),
        (here / "a.pcm", 0.5, None),
        (here / "a.pcm", 0.5, 0.75),
    ]
    assert found.failures == ()


def test_web_addresses_are_recordings_named_by_the_last_part_of_their_path(tmp_path):
    address = "https://me:secret@example.org/a/talk.mp3?key=1"
    (tmp_path / "list.txt").write_text(f"{address}\nhttps://example.org/b.wav\n")
    for inputs in ((address, "https://example.org/b.wav"), (f"@{tmp_path}/list.txt",)):
        first, second = find_inputs(InputOptions(inputs=inputs)).sources
        assert (first.path, first.name) == (Url(address), "https://example.org/a/talk.mp3?key=1")
        assert (first.place, second.place) == (PurePath("talk.mp3"), PurePath("b.wav"))
