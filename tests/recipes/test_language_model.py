import math
from pathlib import Path

import pytest
import torch
import transformers

from speechcli.checkpoints.language_model import load_language_model
from speechcli.recipes.embedded_data.language_model import encode, loss_of, main, read_lines
from speechcli.recipes.embedded_data.manifest import Row, write_rows
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
    write_rows(folder / "asterisk" / "dev.tsv", [Row("2", Path("/n.flac"), 1.0, "x", "fr", {"fr": "Texte retenu."})])
    (folder / "sentences" / "fr").mkdir(parents=True)
    (folder / "sentences" / "fr" / "a.txt").write_text("Une phrase.\ntexte retenu\nAbc 12 %\nUne phrase.\n", "utf-8")
    return folder


def test_no_text_of_a_dev_or_test_recording_is_read_but_for_words_of_closed_sets(data: Path) -> None:
    fixed, varied = read_lines(data, None, data / "sentences", seed=0)
    assert [text for language, text in varied if language == "fr"] == ["Une phrase."]
    assert fixed.count(("en", "seven")) == 1
    assert ("en", "This is asterisk.") in fixed


def test_a_text_is_read_as_the_decoder_writes_it() -> None:
    tokenizer = Tokenizer.load(EMBEDDED)
    start, tag, *text, end = encode(("it", "Buongiorno a tutti."), tokenizer)
    assert (start, end) == (tokenizer.end_id, tokenizer.end_id)
    assert tokenizer.backend.id_to_token(tag) == "it_IT"
    assert tokenizer.decode(text) == "Buongiorno a tutti."


def test_the_loss_leaves_out_the_language_and_the_padding(data: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(data), "--tokenizer", str(EMBEDDED), "--width", "64", "--layers", "1", "--steps", "1"]
    assert main([*arguments, "--out", str(tmp_path / "lm")]) == 0
    ours, begin = load_language_model(tmp_path / "lm")
    theirs, loading = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "lm", output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    tokenizer = Tokenizer.load(tmp_path / "lm")
    texts = [encode(("en", "yes"), tokenizer), encode(("ru", "Здравствуйте, это оператор."), tokenizer)]
    assert begin == texts[0][0]
    total, count = 0.0, 0
    with torch.no_grad():
        for text in texts:
            logprobs = theirs.eval().float()(torch.tensor([text])).logits[0].log_softmax(dim=-1)
            total -= sum(logprobs[place - 1, text[place]].item() for place in range(2, len(text)))
            count += len(text) - 2
        assert math.isclose(loss_of(ours, texts).item(), total / count, rel_tol=1e-5)


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
