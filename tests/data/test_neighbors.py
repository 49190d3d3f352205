from dataclasses import replace
from pathlib import Path

import pytest

from speechcli.data.manifest import Target, Utterance
from speechcli.data.neighbors import find_joinable, join

FIRST = Utterance("a", Path("a.wav"), 2.0, (Target("ja", "de"), Target("yes", "en")), "ja", "de", "ada")
SECOND = Utterance("b", Path("b.wav"), 3.0, (Target("no", "en"), Target("nein", "de")), "nein", "de", "ada")


def test_texts_are_joined_language_by_language() -> None:
    joined = join(replace(FIRST, teacher=Path("a.npy")), SECOND)
    assert (joined.id, joined.seconds, joined.parts[1]) == ("a+b", 5.0, SECOND)
    assert joined.targets == (Target("ja nein", "de"), Target("yes no", "en"))
    assert (joined.transcript, joined.language, joined.teacher) == ("ja nein", "de", None)


def test_without_one_transcript_the_pair_has_none_for_ctc() -> None:
    assert join(FIRST, replace(SECOND, transcript=None)).transcript is None


def test_languages_without_spaces_are_joined_without_one() -> None:
    first, second = (replace(u, targets=(Target(text, "zh_CN"),)) for u, text in ((FIRST, "你好"), (SECOND, "再见")))
    assert join(first, second).targets == (Target("你好再见", "zh_CN"),)


@pytest.mark.parametrize(
    ("other", "fits"),
    [
        (SECOND, True),
        (replace(SECOND, speaker="bea"), False),
        (replace(SECOND, language="en"), False),
        (replace(SECOND, targets=SECOND.targets[:1]), False),
        (replace(SECOND, seconds=5.5), False),
    ],
)
def test_neighbors_fit_if_speaker_languages_and_length_do(other: Utterance, fits: bool) -> None:
    assert find_joinable([FIRST, other], max_seconds=7.0) == ([0] if fits else [])
