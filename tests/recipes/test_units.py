from itertools import pairwise
from shutil import which

import numpy as np
import pytest

from speechcli.recipes.embedded_data.phones import HOP, PAUSE, Array, Phone, align, cepstra, phones
from speechcli.recipes.embedded_data.speech import RATE
from speechcli.recipes.embedded_data.units import Voice, _traits

LENGTH = 16 * HOP
TONES = {"a": 300.0, "e": 700.0, "i": 1_500.0, "o": 3_100.0}


def word(letters: str) -> list[Phone]:
    return [Phone(name, False, place == 0, place == len(letters) - 1) for place, name in enumerate(letters)]


def sound_of(text: str) -> Array:
    """Every letter a tone, every word with silence around it; all of one length."""
    generator = np.random.default_rng(len(text))
    times = np.arange(LENGTH) / RATE
    quiet = np.zeros(LENGTH)
    pieces = [quiet]
    for letters in text.split():
        pieces += [0.5 * np.sin(2 * np.pi * TONES[name] * times) for name in letters] + [quiet]
    joined = np.concatenate(pieces)
    return (joined + 1e-3 * generator.standard_normal(len(joined))).astype(np.float32)


TEXTS = ("ae io", "oi ea ai", "eo ia", "aoei", "ie oa eioa")


def test_phones_are_found_where_they_are_spoken() -> None:
    sounds = [sound_of(text) for text in TEXTS]
    found = align(cepstra(sounds), [[word(letters) for letters in text.split()] for text in TEXTS])
    for text, places, sound in zip(TEXTS, found, sounds, strict=True):
        assert "".join(place.phone.name for place in places) == "_" + "_".join(text.split()) + "_"
        assert all(left.end == right.start for left, right in pairwise(places))
        assert places[-1].end == pytest.approx(len(sound) / HOP, abs=1)
        expected = np.arange(len(places)) * LENGTH / HOP
        np.testing.assert_allclose([place.start for place in places], expected, atol=3)


def test_a_recording_shorter_than_its_text_has_no_places() -> None:
    sounds = cepstra([sound_of(text) for text in (*TEXTS, "a")])
    texts = [[word(letters) for letters in text.split()] for text in (*TEXTS, "aeio" * 20)]
    assert align(sounds, texts)[-1] == []


def voice_of(*texts: str) -> Voice:
    """A voice whose phones were found rightly."""
    said = [[PAUSE, *(phone for letters in text.split() for phone in [*word(letters), PAUSE])] for text in texts]
    count = sum(map(len, said))
    return Voice(
        recordings=[sound_of(text) for text in texts],
        spans=[(number, at * LENGTH, (at + 1) * LENGTH) for number, own in enumerate(said) for at in range(len(own))],
        places={
            name: np.array([at for at, phone in enumerate(sum(said, [])) if phone.name == name])
            for name in {phone.name for own in said for phone in own}
        },
        traits=np.array([each for own in said for each in _traits(own)], dtype=object),
        unfit=np.zeros(count, bool),
        begins=np.zeros((count, 26), np.float32),
        ends=np.zeros((count, 26), np.float32),
    )


def test_a_recorded_sentence_is_rebuilt_unchanged() -> None:
    voice = voice_of("ae io", "oi ea")
    numbers = voice.select([PAUSE, *word("oi"), PAUSE, *word("ea"), PAUSE], np.random.default_rng(0))
    assert numbers == [7, 8, 9, 10, 11, 12, 13]
    np.testing.assert_array_equal(voice.said(numbers), voice.recordings[1])


def test_new_words_come_from_the_longest_runs_and_are_as_long_as_their_phones() -> None:
    voice = voice_of("aeio", "oeia")
    numbers = voice.select([PAUSE, *word("aeia"), PAUSE], np.random.default_rng(0))
    assert [voice.traits[number][0] for number in numbers] == ["_", "a", "e", "i", "a", "_"]
    assert numbers[0] == 0 and numbers[-1] == len(voice.spans) - 1
    assert sum(right != left + 1 for left, right in pairwise(numbers)) == 1
    assert len(voice.said(numbers)) == pytest.approx(6 * LENGTH, abs=LENGTH // 4)


def test_a_sentence_with_an_unrecorded_phone_is_not_built() -> None:
    assert voice_of("ae").select([PAUSE, *word("ao"), PAUSE], np.random.default_rng(0)) == []


@pytest.mark.skipif(which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_texts_are_read_in_words_and_clauses() -> None:
    read = phones("Dial one, please.", "en")
    assert [[phone.name for phone in own] for own in read] == [
        ["d", "aI@", "l"], ["w", "V", "n"], ["_"], ["p", "l", "i:", "z"],
    ]  # fmt: skip
    assert [phone.stressed for phone in read[0]] == [False, True, False]
    assert read[0][0].first and read[0][-1].last and not read[0][1].last
