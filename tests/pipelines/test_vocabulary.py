import pytest

from speechcli.cli.app import main
from speechcli.errors import InputError, UsageError
from speechcli.pipelines.vocabulary import VocabularyOptions, make_vocabulary
from speechcli.text.tokenizer import Tokenizer


@pytest.fixture
def manifest(tmp_path):
    """Two rows in two languages each; the recordings are not there."""
    path = tmp_path / "train.tsv"
    path.write_text(
        "path\tseconds\tsrc_lang\tsrc_text\ttext_en\na.flac\t1.0\tde\tzwei\ttwo\nb.flac\t1.0\tde\tdrei\tthree\n"
    )
    return path


def test_the_texts_of_manifests_make_a_tokenizer_with_a_tag_for_each_language(manifest, tmp_path):
    report = make_vocabulary(VocabularyOptions((manifest,), tmp_path / "made", 40))
    tokenizer = Tokenizer.load(tmp_path / "made")
    assert tuple(tokenizer.languages) == report.tags == ("de_XX", "en_XX")
    assert (report.texts, report.tokens) == (4, tokenizer.vocabulary_size)
    assert tokenizer.decode(tokenizer.encode("zwei three")) == "zwei three"


def test_recordings_that_are_not_there_need_no_duration(manifest, tmp_path):
    manifest.write_text("path\tstart\ttext\na.flac\t\tzwei\na.flac\t2\tdrei\nb.wav:0:16000\t\tvier\n")
    report = make_vocabulary(VocabularyOptions((manifest,), tmp_path / "made", 40))
    assert report.texts == 3
    learned = Tokenizer.load(tmp_path / "made")
    assert learned.decode(learned.encode("vier drei")) == "vier drei"


def test_texts_of_one_language_need_no_tag(manifest, tmp_path):
    report = make_vocabulary(VocabularyOptions((manifest,), tmp_path / "made", 40, languages=("en",)))
    assert (report.texts, report.tags) == (2, ())
    unknown = Tokenizer.load(tmp_path / "made")
    assert unknown.unk_id in unknown.encode("zwei")


def test_languages_that_can_have_no_tag_and_that_no_text_has_are_refused(manifest, tmp_path):
    manifest.write_text(manifest.read_text().replace("de", "dialect"))
    with pytest.raises(UsageError, match="two or three letters, but is `dialect`"):
        make_vocabulary(VocabularyOptions((manifest,), tmp_path / "made", 40))
    with pytest.raises(InputError):
        make_vocabulary(VocabularyOptions((manifest,), tmp_path / "made", 40, languages=("fr",)))
    assert not (tmp_path / "made").exists()


def test_an_existing_tokenizer_is_not_overwritten_without_the_flag(manifest, tmp_path):
    arguments = ["data", "vocabulary", str(manifest), "--size", "30", "--language", "en", "-o", str(tmp_path / "made")]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert main([*arguments, "--overwrite"]) == 0


def test_a_size_beyond_any_vocabulary_is_a_usage_error(manifest, tmp_path, capsys):
    assert main(["data", "vocabulary", str(manifest), "--size", "9" * 20, "-o", str(tmp_path / "made")]) == 2
    assert "'--size'" in capsys.readouterr().err


def test_texts_are_not_replaced_by_their_tokenizer(tmp_path):
    texts = tmp_path / "tokenizer.json"
    texts.write_text('{"audio": "a.wav", "duration": 1.0, "src_lang": "en", "text": "two"}\n')
    with pytest.raises(UsageError, match="An output must not replace an input"):
        make_vocabulary(VocabularyOptions((texts,), tmp_path, 30, overwrite=True))


@pytest.mark.parametrize("languages", [["--language", "en"], []])
def test_the_suggested_next_command_makes_a_model(manifest, tmp_path, capsys, languages):
    made = str(tmp_path / "made")
    assert main(["data", "vocabulary", str(manifest), "--size", "40", "--lowercase", *languages, "-o", made]) == 0
    proposed = capsys.readouterr().err.splitlines()[-1]
    command = (
        proposed.removeprefix("next: speechcli ").replace("NAME", "wav2vec2-bert").replace("MODEL", made + "/model")
    )
    smaller = ("encoder-set num_hidden_layers=1", "decoder-set decoder_layers=1", "decoder-set decoder_ffn_dim=8")
    changes = " ".join(f"--{change}" for change in (*smaller, "encoder-set hidden_size=32", "decoder-set d_model=32"))
    assert main(f"{command} {changes} --encoder-set intermediate_size=8".split()) == 0
