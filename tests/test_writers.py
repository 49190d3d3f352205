import json
import re

import pysubs2
import pytest
import webvtt

from speechcli.transcript import Segment, Transcript, one_line
from speechcli.writers import encode, json_line, make_writers

SCRIPTS = [
    "Hello, it's me",
    "Grüße aus Köln ß",
    "Привет, мир",
    "مرحبا بالعالم",
    "שלום עולם",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "日本語のテスト。",
    "안녕하세요",
    "e\u0301 a\u0308 👩‍👩‍👧 🇩🇪",
    "[red]he said[/b] [laughs] <i>&amp; x --> y",
    "one\u2028two\u2029three\u0085four",
    "tab\there\r\nnew line",
    "",
]


def transcript(text, start=0.0, end=1.5):
    return Transcript("a.wav", text, "de", "de", 1.5, (Segment(0, start, end, text),), "m")


@pytest.mark.parametrize("text", SCRIPTS)
def test_text_is_one_line_of_utf8(text):
    data = make_writers()["txt"].write(transcript(text)).decode("utf-8")
    assert data == one_line(text) + "\n"
    assert len(data.splitlines()) == 1


@pytest.mark.parametrize("kind", ["json", "jsonl"])
@pytest.mark.parametrize("text", SCRIPTS)
def test_json_reads_back_to_the_very_text_and_is_not_escaped(kind, text):
    data = make_writers()[kind].write(transcript(text)).decode("utf-8")
    assert json.loads(data)["text"] == text
    assert json.loads(data) == transcript(text).to_dict()
    if "\u2028" not in text:
        assert not re.search(r"\\u(?!00[01])", data)


@pytest.mark.parametrize("text", SCRIPTS)
def test_jsonl_is_one_line_for_every_reader(text):
    data = make_writers()["jsonl"].write(transcript(text)).decode("utf-8")
    assert data.endswith("\n") and len(data.splitlines()) == 1


@pytest.mark.parametrize("text", SCRIPTS)
def test_tsv_is_a_table_of_three_columns_in_milliseconds(text):
    lines = make_writers()["tsv"].write(transcript(text, 0.0004, 1.2346)).decode("utf-8").splitlines()
    assert lines[0] == "start\tend\ttext"
    assert [line.split("\t") for line in lines[1:]] == [["0", "1235", one_line(text)]]


@pytest.mark.parametrize("text", [text for text in SCRIPTS if text])
def test_a_subtitle_has_its_time_line_and_no_other_arrow(text):
    srt = make_writers()["srt"].write(transcript(text, 3661.5, 3662.0004)).decode("utf-8")
    assert srt.splitlines()[:2] == ["1", "01:01:01,500 --> 01:01:02,000"]
    vtt = make_writers()["vtt"].write(transcript(text, 3661.5, 3662.0004)).decode("utf-8")
    assert vtt.splitlines()[:3] == ["WEBVTT", "", "01:01:01.500 --> 01:01:02.000"]
    assert srt.count("-->") == vtt.count("-->") == 1
    assert "<" not in vtt.splitlines()[3]


def test_several_cues_are_apart_by_one_empty_line_and_silence_has_none():
    segments = (Segment(0, 0, 1, "a"), Segment(1, 1, 2, " "), Segment(2, 2, 3, "b"))
    value = Transcript("a", "a b", segments=segments)
    assert make_writers()["srt"].write(value) == (
        b"1\n00:00:00,000 --> 00:00:01,000\na\n\n2\n00:00:02,000 --> 00:00:03,000\nb\n"
    )
    assert make_writers()["vtt"].write(value) == (
        b"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\na\n\n00:00:02.000 --> 00:00:03.000\nb\n"
    )


def test_subtitles_show_the_channel():
    segments = (Segment(0, 0, 1, "a", channel=0), Segment(1, 0.5, 2, "b", channel=1))
    value = Transcript("a", "a b", segments=segments)
    srt, vtt = (make_writers()[kind].write(value).decode() for kind in ("srt", "vtt"))
    assert [cue.text for cue in pysubs2.SSAFile.from_string(srt)] == ["0: a", "1: b"]
    assert [(cue.voice, cue.text) for cue in webvtt.from_string(vtt)] == [("0", "a"), ("1", "b")]


def test_silence_is_a_valid_empty_output_in_every_format():
    silence = Transcript("a.wav", "")
    assert {
        kind: writer.write(silence) for kind, writer in make_writers().items() if kind not in ("json", "jsonl")
    } == {
        "txt": b"\n",
        "srt": b"",
        "vtt": b"WEBVTT\n",
        "tsv": b"start\tend\ttext\n",
        "manifest": b"",
    }


def test_json_keeps_token_lists_on_one_line_without_touching_texts():
    value = Transcript("a.wav", "[\n 1,\n 2\n]", segments=(Segment(0, 0, 1, "[ 1, 2 ]", (3, 4)),))
    data = make_writers()["json"].write(value).decode()
    assert '"tokens": [3, 4],' in data
    assert json.loads(data) == value.to_dict()


def test_file_name_that_is_no_text_stays_valid_json():
    name = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    assert json.loads(json_line({"path": name}))["path"] == name
    assert encode(name) == b"caf\\udce9.wav"
