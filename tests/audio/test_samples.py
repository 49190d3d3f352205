import csv
from pathlib import Path

import pytest
import soundfile

from speechcli.audio.read import read_audio

SAMPLES = Path(__file__).parents[2] / "samples"
TABLE = (SAMPLES / "samples.tsv").read_text(encoding="utf-8").splitlines()
ROWS = list(csv.DictReader(TABLE, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.mark.parametrize("row", ROWS, ids=[row["path"] for row in ROWS])
def test_every_sample_is_read_and_has_a_text_a_source_and_a_licence(row: dict[str, str]) -> None:
    assert set(row) == {"path", "language", "text", "source_id", "licence"}
    assert all(row.values())
    audio = read_audio(SAMPLES / row["path"], sample_rate=16_000)
    assert 0.4 < audio.seconds < 5
    assert not audio.truncated
    assert audio.samples.std() > 0.01


def test_the_table_lists_every_recording_and_the_folder_is_small() -> None:
    recordings = [path for path in SAMPLES.iterdir() if path.suffix in {".wav", ".flac", ".mp3"}]
    assert {path.name for path in recordings} == {row["path"] for row in ROWS}
    assert sum(path.stat().st_size for path in recordings) < 1_500_000
    for row in ROWS:
        assert f"[{row['licence']}]" in (SAMPLES / "README.md").read_text(encoding="utf-8")


def test_the_samples_vary_in_format_rate_and_channels() -> None:
    headers = [soundfile.info(SAMPLES / row["path"]) for row in ROWS]
    assert {header.format for header in headers} == {"WAV", "FLAC", "MP3"}
    assert {header.samplerate for header in headers} == {8_000, 16_000, 22_050, 44_100, 48_000}
    assert {header.channels for header in headers} == {1, 2}
    assert {row["language"] for row in ROWS} == {"en", "es", "fr", "it", "ru"}
