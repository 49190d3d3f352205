import itertools
import math
import random
from pathlib import Path

import pytest
import torch
import transformers

from speechcli.checkpoints.language_model import load_language_model
from speechcli.recipes.embedded_data.language_model import loss_of, main
from speechcli.recipes.embedded_data.manifest import Row, normalise, write_rows
from speechcli.recipes.embedded_data.reading import Example, Reading, encode
from speechcli.recipes.embedded_data.real import SETS
from speechcli.text.tokenizer import Tokenizer

EMBEDDED = Path(__file__).parents[2] / "speechcli" / "default_model"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("data")
    for name in SETS:
        text = "seven" if name == "fsdd" else f"This is {name.replace('_', ' ')}."
        rows = [Row("1", Path("/nowhere.flac"), 1.0, "someone", "en", {"en": text})]
        write_rows(folder / name / "train.tsv", rows)
        write_rows(folder / name / "test.tsv", rows if name == "fsdd" else [])
    prompts = {"en": "Goodbye.", "it": "Arrivederci.", "ru": "Всё."}
    write_rows(folder / "asterisk" / "train.tsv", [Row("1", Path("/n.flac"), 1.0, "x", "it", prompts)] * 2)
    retained = {"fr": "Texte retenu.", "en": "Press 1."}
    write_rows(folder / "asterisk" / "dev.tsv", [Row("2", Path("/n.flac"), 1.0, "x", "fr", retained)])
    (folder / "sentences" / "fr").mkdir(parents=True)
    (folder / "sentences" / "fr" / "a.txt").write_text("Une phrase.\ntexte retenu\nAbc 12 %\nUne phrase.\n", "utf-8")
    return folder


def test_no_text_of_a_dev_or_test_recording_is_read_but_for_words_of_closed_sets(data: Path) -> None:
    reading = Reading(data, None, data / "sentences", seed=0)
    assert [text for language, text in reading.varied if language == "fr"] == ["Une phrase."]
    assert reading.fixed.count(("en", "seven")) == 1
    assert ("it", "Arrivederci.") in reading.fixed
    said, prompts, classes = reading.sources
    assert prompts.entries == [{"en": "Goodbye.", "it": "Arrivederci.", "ru": "Всё."}]
    texts = [text for source in reading.sources for entry in source.entries for text in entry.values()]
    assert "press one" not in map(normalise, texts) and len(said.entries) > 7000 and len(classes.entries) > 1000


def test_a_text_is_read_as_the_decoder_writes_it() -> None:
    tokenizer = Tokenizer.load(EMBEDDED)
    start, tag, *text, end = encode(("it", "Buongiorno a tutti."), tokenizer)
    assert (start, end) == (tokenizer.end_id, tokenizer.end_id)
    assert tokenizer.backend.id_to_token(tag) == "it_IT"
    assert tokenizer.decode(text) == "Buongiorno a tutti."


def test_most_examples_are_transcripts_with_a_translation_mostly_into_english(data: Path) -> None:
    tokenizer = Tokenizer.load(EMBEDDED)
    reading = Reading(data, None, data / "sentences", seed=0)
    pairs = {
        (tokenizer.decode(example.heard), tokenizer.decode(example.text))
        for example in itertools.islice(reading.examples(tokenizer, random.Random(0)), 3000)
        if example.heard and not example.misheard
    }
    assert ("Arrivederci.", "Goodbye.") in pairs and ("Все.", "Arrivederci.") in pairs
    examples = list(itertools.islice(reading.examples(tokenizer, random.Random(1)), 3000))
    english = tokenizer.backend.token_to_id("en_XX")
    translations = [example for example in examples if example.heard]
    assert 0.86 < len(translations) / len(examples) < 0.9
    assert all(example.heard[1] != example.text[1] for example in translations)
    assert 0.72 < sum(example.text[1] == english for example in translations) / len(translations) < 0.8
    assert 0.27 < sum(example.misheard for example in translations) / len(translations) < 0.33


def test_a_misheard_transcript_differs_in_its_words_only(data: Path) -> None:
    tokenizer = Tokenizer.load(EMBEDDED)
    reading = Reading(data, None, None, seed=0)
    examples = itertools.islice(reading.examples(tokenizer, random.Random(0)), 3000)
    misheard = [example.heard for example in examples if example.misheard]
    tags = set(tokenizer.languages.values())
    assert all((heard[0], heard[-1]) == (tokenizer.end_id, tokenizer.end_id) for heard in misheard)
    assert all(heard[1] in tags for heard in misheard)


def test_the_loss_is_that_of_texts_with_less_weight_for_transcripts(data: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(data), "--tokenizer", str(EMBEDDED), "--width", "64", "--layers", "1", "--steps", "1"]
    assert main([*arguments, "--out", str(tmp_path / "lm")]) == 0
    ours, begin = load_language_model(tmp_path / "lm")
    theirs, loading = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "lm", output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    tokenizer = Tokenizer.load(tmp_path / "lm")
    yes, hello = encode(("en", "yes"), tokenizer), encode(("ru", "Здравствуйте, это оператор."), tokenizer)
    assert begin == yes[0]

    def loss(text: tuple[int, ...], first: int) -> tuple[float, int]:
        with torch.no_grad():
            logprobs = theirs.eval().float()(torch.tensor([text])).logits[0].log_softmax(dim=-1)
        places = range(first, len(text))
        return -sum(logprobs[place - 1, text[place]].item() for place in places), len(places)

    (alone, count), (heard, heard_count) = loss(yes, 2), loss(hello, 2)
    after, _ = loss((*hello[:-1], *yes), len(hello) + 1)
    examples = {
        Example(yes): alone / count,
        Example(yes, hello): (0.3 * heard + after) / (0.3 * heard_count + count),
        Example(yes, hello, misheard=True): after / count,
    }
    for example, expected in examples.items():
        assert math.isclose(loss_of(ours, [example]).item(), expected, rel_tol=1e-5)
    padded = (0.3 * heard + after + alone) / (0.3 * heard_count + 2 * count)
    assert math.isclose(loss_of(ours, [Example(yes, hello), Example(yes)]).item(), padded, rel_tol=1e-5)


def test_training_goes_on_from_a_model(data: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(data), "--tokenizer", str(EMBEDDED)]
    small = ["--width", "64", "--layers", "1", "--steps", "1"]
    assert main([*arguments, *small, "--out", str(tmp_path / "a")]) == 0
    assert main([*arguments, "--steps", "1", "--model", str(tmp_path / "a"), "--out", str(tmp_path / "b")]) == 0
    first, second = (load_language_model(tmp_path / name)[0].state_dict() for name in "ab")
    assert {key: tensor.shape for key, tensor in first.items()} == {key: t.shape for key, t in second.items()}
    assert not torch.equal(first["tokens.weight"], second["tokens.weight"])


def test_missing_recordings_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--data", str(tmp_path), "--tokenizer", str(EMBEDDED), "--out", str(tmp_path / "lm")])
    assert code == 4
    assert "train.tsv does not exist" in capsys.readouterr().err
