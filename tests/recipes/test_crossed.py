import random

import numpy as np
import pytest

from speechcli.recipes.embedded_data.crossed import FADE, Cut, Voice, cover, cross, quietest, speak
from speechcli.recipes.embedded_data.manifest import normalise

TONES: dict[str, int] = {}
LENGTH = 1000


def say(*texts: str) -> Voice:
    """A voice that speaks each word as its own constant."""
    voice = Voice()
    for text in texts:
        words = text.split()
        sound = np.concatenate([np.full(LENGTH, TONES.setdefault(word, len(TONES) + 1) / 100) for word in words])
        cuts = [Cut(word, place * LENGTH, (place + 1) * LENGTH) for place, word in enumerate(words)]
        voice.add(cuts, sound.astype(np.float32))
    return voice


def heard(samples: np.ndarray) -> list[str]:
    """The words behind the constants, far from the seams."""
    names = {round(tone / 100, 2): word for word, tone in TONES.items()}
    step = LENGTH - FADE
    return [names[round(float(samples[at]), 2)] for at in range(LENGTH // 2, len(samples), step)]


def test_prompts_that_share_a_word_become_one_up_to_it_and_the_other_behind_it() -> None:
    voice = say("press one to hang up", "press two to go back")
    found = {
        " ".join(word for run in runs for word in voice.written(run))
        for runs in (cross(voice, random.Random(seed)) for seed in range(200))
        if runs
    }
    assert found == {
        "press one to go back", "press two to hang up", "press two to go back", "press one to hang up",
    }  # fmt: skip


def test_a_text_is_covered_by_the_longest_runs_that_say_it() -> None:
    voice = say("please enter the code", "enter the number now")
    runs = cover(voice, "Please enter the number", random.Random(0))
    assert runs == [(0, 0, 3), (1, 2, 3)]
    assert heard(voice.said([(0, 0, 1), (1, 2, 3)])) == ["please", "number"]
    assert cover(voice, "please wait", random.Random(0)) == []


def test_no_text_of_dev_or_test_arises_and_none_arises_twice(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speechcli.recipes.embedded_data.crossed.MINUTES", 0.02)
    voice = say("press one to hang up", "press two to go back", "go up to one")
    texts = [{"en": "go to one", "ru": "идите к одному"}, {"en": "go back", "ru": "назад"}]
    held_out = frozenset({normalise("press one to go back"), normalise("НАЗАД")})
    rows = list(speak(voice, "en", texts, held_out, tmp_path))
    said = [normalise(row.transcript) for row in rows]
    assert said[0] == "go to 1" and rows[0].texts["ru"] == "идите к одному"
    assert len(said) == len(set(said)) > 3
    assert not set(said) & held_out and not any(row.texts.get("ru") == "назад" for row in rows)
    assert all(row.path.is_file() for row in rows)


def test_a_word_is_cut_where_it_is_quietest() -> None:
    sound = np.ones(16_000, np.float32)
    sound[8_300:8_500] = 0
    assert 8_300 < quietest(sound, 8_000) < 8_500
