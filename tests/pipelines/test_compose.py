import pytest

from speechcli.checkpoints.bundle import load
from speechcli.errors import UsageError
from speechcli.pipelines.compose_options import ComposeOptions, parse_changes
from speechcli.pipelines.files.outputs import write_atomically
from speechcli.pipelines.init import init
from speechcli.pipelines.warm_start import warm_start
from speechcli.text.learn import learn_vocabulary

from .tiny_model import save_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(save_model(tmp_path_factory.mktemp("models") / "tiny"))


def test_init_makes_a_random_model_from_configurations(tiny, tmp_path):
    options = ComposeOptions(
        f"{tiny}/config.json", tiny, tmp_path / "new", decoder_set=("decoder_layers=2",), pad_token_id=3, seed=5
    )
    report = init(options)
    bundle = load(tmp_path / "new")
    assert report.folder == tmp_path / "new"
    assert report.parameters == sum(parameter.numel() for parameter in bundle.model.parameters())
    assert len(bundle.model.decoder.layers) == 2
    assert bundle.generation.pad_token_id == 3
    assert bundle.tokenizer is not None and bundle.tokenizer.languages


def test_init_without_a_vocabulary_is_remarked(tiny, tmp_path):
    report = init(ComposeOptions(tiny, f"{tiny}/config.json", tmp_path / "new"))
    assert report.remarks[0] == "All weights are random."


def test_warm_start_joins_two_models_and_reports_new_weights(tiny, tmp_path):
    report = warm_start(ComposeOptions(tiny, tiny, tmp_path / "new", language="es"))
    bundle = load(tmp_path / "new")
    assert "must be trained" in " ".join(report.remarks)
    assert bundle.generation.forced_bos_token_id == bundle.tokenizer.languages["es_XX"]


@pytest.mark.parametrize("pipeline", [init, warm_start])
def test_a_language_of_a_decoder_without_tags_is_refused(tiny, tmp_path, pipeline):
    for name, content in learn_vocabulary(["one"], 12).items():
        write_atomically(tmp_path / "vocabulary" / name, content)
    options = ComposeOptions(tiny, tiny, tmp_path / "new", tokenizer=str(tmp_path / "vocabulary"), language="fr")
    with pytest.raises(UsageError, match="has language tags, but this one has none \\(`fr`\\)"):
        pipeline(options)
    assert not (tmp_path / "new").exists()


def test_an_existing_model_is_not_overwritten_without_the_flag(tiny, tmp_path):
    options = ComposeOptions(tiny, tiny, tmp_path / "new")
    warm_start(options)
    for pipeline in (init, warm_start):
        with pytest.raises(UsageError, match="already contains a model"):
            pipeline(options)
    init(ComposeOptions(tiny, tiny, tmp_path / "new", overwrite=True))
    for encoder, decoder in ((tmp_path / "new", tiny), (tiny, tmp_path / "new" / "config.json")):
        with pytest.raises(UsageError, match="An output must not replace an input"):
            init(ComposeOptions(str(encoder), str(decoder), tmp_path / "new", overwrite=True))


def test_changes_of_a_configuration_are_toml():
    assert parse_changes(["a=1", "b = [1, 2]", "c=true", "d=gelu", "e=0.5"]) == {
        "a": 1,
        "b": [1, 2],
        "c": True,
        "d": "gelu",
        "e": 0.5,
    }
    with pytest.raises(UsageError, match="key=value"):
        parse_changes(["layers"])
