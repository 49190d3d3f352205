from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechcli.recipes.embedded_data import isolated
from speechcli.recipes.embedded_data.crossed import Cut, Voice
from speechcli.recipes.embedded_data.isolated import FRAME, NARROW, digits, trimmed
from speechcli.recipes.embedded_data.manifest import Row


def test_silence_at_both_ends_of_a_word_is_cut() -> None:
    quiet, loud = np.full(5 * FRAME, 1e-3, np.float32), np.full(20 * FRAME, 0.5, np.float32)
    np.testing.assert_array_equal(trimmed(np.concatenate([quiet, loud, quiet])), loud)


def test_digits_alone_are_cut_out_with_their_translations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = Voice()
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 24_000).astype(np.float32)
    voice.add([Cut("enter", 0, 8_000), Cut("five", 8_000, 16_000), Cut("six", 16_000, 16_400)], sound)
    monkeypatch.setattr(isolated, "cut", lambda rows, bundle: voice)
    row = Row("an4/a", tmp_path / "a.flac", 1.5, "fash", "en", {"en": "enter five six"})
    (found,) = digits([row], None, tmp_path)  # type: ignore[arg-type]
    assert (found.id, found.speaker, found.language) == ("isolated/a-1", "fash", "en")
    assert found.texts == {"en": "five", "es": "cinco", "fr": "cinq", "it": "cinque", "ru": "пять"}
    heard, rate = soundfile.read(found.path)
    assert rate == NARROW and len(heard) / rate == pytest.approx(found.seconds) == pytest.approx(0.5, abs=0.02)
