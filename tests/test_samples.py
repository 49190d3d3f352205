"""The command line and the embedded model on the recordings that the README begins with."""

import csv
import json
from pathlib import Path

import jiwer
import pytest

from speechcli.cli.app import main
from speechcli.text.normalize import normalize

SAMPLES = Path(__file__).parent.parent / "samples"
TABLE = (SAMPLES / "samples.tsv").read_text(encoding="utf-8").splitlines()
ROWS = list(csv.DictReader(TABLE, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    folder = tmp_path_factory.mktemp("heard")
    assert main(["transcribe", str(SAMPLES), "-o", str(folder), "-f", "json", "--quiet"]) == 0
    return {row["path"]: json.loads((folder / row["path"]).with_suffix(".json").read_text("utf-8")) for row in ROWS}


def test_every_sample_has_a_text_in_the_language_that_is_spoken(heard: dict[str, dict[str, object]]) -> None:
    assert all(result["text"] for result in heard.values())
    assert [heard[row["path"]]["language"] for row in ROWS] == [row["language"] for row in ROWS]


def test_most_words_of_the_samples_are_right(heard: dict[str, dict[str, object]]) -> None:
    said = [normalize(row["text"], row["language"]) for row in ROWS]
    found = [normalize(str(heard[row["path"]]["text"]), row["language"]) for row in ROWS]
    assert jiwer.wer(said, found) < 0.2


@pytest.mark.parametrize(
    "path",
    [
        "en-check-the-number.wav",
        "en-one-digit.flac",
        "en-say-your-name.mp3",
        "it-reach-an-operator.wav",
        "it-say-your-name.mp3",
        "ru-check-the-number.flac",
    ],
)
def test_the_text_of_a_sample_is_exactly_right(heard: dict[str, dict[str, object]], path: str) -> None:
    (row,) = (row for row in ROWS if row["path"] == path)
    # in Russian, the dots of "ё" may be left out
    assert str(heard[path]["text"]).replace("ё", "е") == row["text"].replace("ё", "е")


def test_a_sample_is_translated_into_several_languages(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    sample = str(SAMPLES / "it-say-your-name.mp3")
    assert main(["translate", sample, "--to", "en", "--to", "fr", "--quiet"]) == 0
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["en", "fr"]
    assert all(line.split("\t")[1] for line in lines)
