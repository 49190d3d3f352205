import json
import shutil

import pytest

from speechcli.checkpoints.tensors import read_header
from speechcli.errors import ModelError
from speechcli.pipelines.info import info
from speechcli.pipelines.speech_options import ModelOptions

from .tiny_model import make_bundle, save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "tiny", num_beams=2)


def test_a_model_is_described_from_its_files(folder):
    found = info(ModelOptions(str(folder)))
    assert found.encoder == {"family": "wav2vec2", "width": 16, "layers": 1, "heads": 2}
    assert found.decoder["family"] == "mbart" and found.decoder["vocabulary"] == 24
    assert found.languages == ("de_DE", "en_XX", "es_XX")
    assert found.special_ids == {
        "decoder_start_token_id": 2,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }
    assert found.generation == {"max_length": 12, "num_beams": 2}
    assert (found.sample_rate, found.dtypes, found.missing) == (16_000, ("F32",), ())
    json.dumps(found.to_dict())


def test_the_language_model_in_the_folder_is_described(folder, tmp_path):
    assert info(ModelOptions(str(folder))).language_model is None
    shutil.copytree(folder, tmp_path / "m")
    (tmp_path / "m" / "language_model").mkdir()
    config = {"model_type": "gpt2", "n_embd": 8, "n_layer": 3, "n_head": 2, "vocab_size": 24}
    (tmp_path / "m" / "language_model" / "config.json").write_text(json.dumps(config))
    assert info(ModelOptions(str(tmp_path / "m"))).language_model == {
        "family": "gpt2",
        "width": 8,
        "layers": 3,
        "heads": 2,
        "vocabulary": 24,
    }


def test_parameters_are_counted_as_the_model_has_them(folder, tmp_path):
    found = info(ModelOptions(str(folder)))
    model = make_bundle(tmp_path).model
    assert found.parameters["total"] == sum(parameter.numel() for parameter in model.parameters())
    assert found.parameters["ctc_head"] == sum(parameter.numel() for parameter in model.ctc_head.parameters())


def test_missing_parts_are_named(tmp_path):
    folder = save_model(tmp_path / "m", eos_token_id=None)
    for name in ("tokenizer.json", "preprocessor_config.json", "processor_config.json", "model.safetensors"):
        (folder / name).unlink(missing_ok=True)
    found = info(ModelOptions(str(folder)))
    words = " ".join(found.missing)
    assert found.parameters is None
    for part in ("tokenizer", "preprocessor_config.json", "no weights", "eos_token_id"):
        assert part in words


@pytest.mark.parametrize("rate", [None, "x", 0])
def test_a_damaged_sample_rate_is_named(folder, tmp_path, rate):
    shutil.copytree(folder, tmp_path / "m")
    (tmp_path / "m" / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": rate}))
    found = info(ModelOptions(str(tmp_path / "m")))
    assert found.sample_rate is None
    assert found.missing == (
        "There is no usable feature extractor, so the model cannot read audio: "
        f"`sampling_rate` in preprocessor_config.json must be a whole number from 1, but is {rate!r}.",
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 8, (2).to_bytes(8, "little") + b"[]", (9).to_bytes(8, "little") + b'{"a": {}}', b"\x05" + bytes(7)],
)
def test_a_file_that_is_not_safetensors_is_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="safetensors"):
        read_header(path)


def test_no_model_is_a_model_error(tmp_path):
    with pytest.raises(ModelError):
        info(ModelOptions(str(tmp_path)))
