"""The command line and the embedded model on the recordings that the README begins with."""

import csv
import json
from pathlib import Path

import pytest

from speechcli.cli.app import main

SAMPLES = Path(__file__).parent.parent / "samples"
TABLE = (SAMPLES / "samples.tsv").read_text(encoding="utf-8").splitlines()
ROWS = list(csv.DictReader(TABLE, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    folder = tmp_path_factory.mktemp("heard")
    assert main(["transcribe", str(SAMPLES), "-o", str(folder), "-f", "json", "--quiet"]) == 0
    return {row["path"]: json.loads((folder / row["path"]).with_suffix(".json").read_text("utf-8")) for row in ROWS}


def test_every_sample_has_a_text_and_a_language(heard: dict[str, dict[str, object]]) -> None:
    assert all(result["text"] for result in heard.values())
    assert {result["language"] for result in heard.values()} <= {"ar", "en", "es", "fr", "it", "ru"}


def test_the_language_of_italian_and_russian_prompts_is_heard(heard: dict[str, dict[str, object]]) -> None:
    rows = [row for row in ROWS if row["language"] in ("it", "ru")]
    assert [heard[row["path"]]["language"] for row in rows] == [row["language"] for row in rows]


def test_a_sample_is_translated_into_several_languages(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    sample = str(SAMPLES / "it-say-your-name.mp3")
    assert main(["translate", sample, "--to", "en", "--to", "fr", "--quiet"]) == 0
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["en", "fr"]
    assert all(line.split("\t")[1] for line in lines)
