"""New recordings out of the words of one speaker."""

import random
from collections import Counter

import soundfile

from speechcli.recipes.embedded_data.speech import RATE
from speechcli.recipes.spliced import LONGEST, runs_of, splice
from tests.recipes.test_crossed import heard, say


def test_each_recording_says_its_text_with_the_words_of_one_speaker(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("speechcli.recipes.spliced.TOGETHER", (1,))
    voices = {"low": say("one two three", "stop"), "high": say("four five")}
    rows = list(splice(voices, "en", 20.0, random.Random(1), tmp_path))
    assert sum(row.seconds for row in rows[:-1]) < 20.0 <= sum(row.seconds for row in rows)
    assert {row.speaker for row in rows} == {"low", "high"}
    said = {"low": {"one", "two", "three", "stop"}, "high": {"four", "five"}}
    for row in rows:
        samples, rate = soundfile.read(row.path, dtype="float32")
        assert (rate, len(samples) / RATE) == (RATE, row.seconds)
        assert heard(samples) == row.transcript.split()
        assert set(row.transcript.split()) <= said[row.speaker]
    assert {len(row.transcript.split()) for row in rows} == set(range(1, LONGEST + 1))


def test_a_rare_word_is_drawn_more_often_than_it_was_said() -> None:
    voice = say(*["one"] * 99, "stop")
    choice = random.Random(0)
    runs = [run for _ in range(200) for run in runs_of(voice, {"one": 99, "stop": 1}, 5, choice)]
    drawn = Counter(word for run in runs for word in voice.written(run))
    assert 0.05 < drawn["stop"] / drawn.total() < 0.15
    assert drawn.total() == 1000
