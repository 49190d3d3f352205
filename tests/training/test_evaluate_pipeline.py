import json

import pytest
import torch
from tiny_speech import save_tiny_model, save_tones

from speechcli.checkpoints.bundle import load, save
from speechcli.errors import AllInputsFailed, UsageError
from speechcli.pipelines.average import average
from speechcli.pipelines.evaluate import EvaluateOptions, evaluate
from speechcli.pipelines.options import DecodingOptions, ModelOptions


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_model(folder / "model")
    return folder / "model", save_tones(folder / "tones")


def options(places, **more):
    model, manifest = places
    decoding = DecodingOptions(strategy="greedy", max_new_tokens=4)
    return EvaluateOptions(ModelOptions(str(model), device="cpu"), (manifest,), decoding=decoding, **more)


def test_every_pair_of_languages_has_scores_and_every_text_a_line(places, tmp_path):
    told = []
    report = evaluate(options(places, hypotheses=tmp_path / "out" / "texts.jsonl"), progress=told.append)
    assert [score.name for score in report.scores] == ["en->en", "en->es"]
    assert report.losses["cross_entropy"] > 0
    assert told[-1] == (8, 8)
    lines = [json.loads(line) for line in (tmp_path / "out" / "texts.jsonl").read_text().splitlines()]
    assert len(lines) == 16
    assert lines[0].keys() == {"id", "language", "target_language", "reference", "hypothesis"}
    assert report.to_dict()["scores"][0]["utterances"] == 8


def test_one_task_scores_one_kind_of_text(places):
    assert [score.name for score in evaluate(options(places, task="translate", limit=2)).scores] == ["en->es"]


def test_nothing_readable_is_an_error(places, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    manifest = tmp_path / "bad.tsv"
    manifest.write_text("audio\tseconds\tsrc_lang\ttext\nbad.wav\t1\ten\tlow\n")
    with pytest.raises(AllInputsFailed, match="None of 1"):
        evaluate(options((places[0], manifest)))


def test_an_evaluation_needs_a_manifest():
    with pytest.raises(UsageError, match="needs a manifest"):
        EvaluateOptions()


def test_averaged_models_have_the_mean_of_the_weights(places, tmp_path):
    for name, value in (("a", 1.0), ("b", 3.0)):
        bundle = load(places[0])
        for parameter in bundle.model.parameters():
            parameter.data = torch.full_like(parameter, value)
        save(bundle, tmp_path / name)
    report = average([tmp_path / "a", tmp_path / "b"], tmp_path / "mean")
    assert len(report.folders) == 2
    assert all((parameter == 2.0).all() for parameter in load(tmp_path / "mean").model.parameters())
    average([tmp_path / "a", tmp_path / "b"], tmp_path / "newest", last=1)
    assert all((parameter == 3.0).all() for parameter in load(tmp_path / "newest").model.parameters())
