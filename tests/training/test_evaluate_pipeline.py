import json
import math
import shutil
from dataclasses import replace

import pytest
import torch

from speechcli.checkpoints.bundle import load, save
from speechcli.checkpoints.folder import read_weights
from speechcli.data.manifest import read_manifest
from speechcli.errors import AllInputsFailed, UsageError
from speechcli.pipelines.average import average
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.evaluate import EvaluateOptions, evaluate
from speechcli.pipelines.search.write import TextWriter
from speechcli.pipelines.speech_options import ModelOptions
from speechcli.training.events import Evaluated, Started, event_to_dict
from speechcli.training.state import checkpoint_folder


def options(places, **more):
    model, manifest = places
    decoding = DecodingOptions(strategy="greedy", max_new_tokens=4)
    return EvaluateOptions(ModelOptions(str(model), device="cpu"), (manifest,), decoding=decoding, **more)


def test_every_pair_of_languages_has_scores_and_every_text_a_line(places, tmp_path):
    told = []
    report = evaluate(
        options(places, hypotheses=tmp_path / "out" / "texts.jsonl"), progress=lambda *done: told.append(done)
    )
    assert [score.name for score in report.scores] == ["en->en", "en->es"]
    assert report.losses["cross_entropy"] > 0
    assert told[-1] == (8, 8)
    lines = [json.loads(line) for line in (tmp_path / "out" / "texts.jsonl").read_text().splitlines()]
    assert len(lines) == 16
    assert lines[0].keys() == {"id", "language", "target_language", "reference", "hypothesis"}
    assert report.to_dict()["scores"][0]["utterances"] == 8


def test_a_translation_that_is_the_same_as_the_transcript_is_searched_for_as_a_translation(
    places, tmp_path, monkeypatch
):
    kinds = []
    write = TextWriter.write

    def listen(self, encoded, requests, options=None):
        kinds.extend(request.spoken for request in requests)
        return write(self, encoded, requests, options)

    monkeypatch.setattr(TextWriter, "write", listen)
    manifest = tmp_path / "same.tsv"
    manifest.write_text(f"audio\tsrc_lang\ttext_en\ttext_es\n{places[1].parent}/0.wav\ten\tlow\tlow\n")
    evaluate(options((places[0], manifest)))
    assert kinds == [True, False]


def test_recordings_of_several_manifests_with_the_same_id_are_told_apart(places, tmp_path):
    manifests = [tmp_path / name / "test.tsv" for name in ("fr", "it")]
    for manifest in manifests:
        manifest.parent.mkdir()
        (manifest.parent / "1.wav").write_bytes(b"RIFF")
        good = places[1].parent / "0.wav"
        manifest.write_text(f"audio\tid\tseconds\tsrc_lang\ttext\n{good}\t0\t1\ten\tlow\n1.wav\t1\t1\ten\tlow\n")
    lines = tmp_path / "lines.jsonl"
    report = evaluate(replace(options(places, hypotheses=lines), manifests=tuple(manifests)))
    assert sorted(report.failures) == [f"{manifest}:1" for manifest in manifests]
    assert [json.loads(line)["id"] for line in lines.read_text().splitlines()] == [f"{each}:0" for each in manifests]


def test_one_task_scores_one_kind_of_text(places):
    assert [score.name for score in evaluate(options(places, task="translate", limit=2)).scores] == ["en->es"]


def test_texts_in_languages_that_the_model_cannot_write_are_left_out(places, tmp_path):
    header, row, *_ = places[1].read_text().splitlines()
    manifest = tmp_path / "more.tsv"
    manifest.write_text(f"{header}\ttext_cs\n{places[1].parent}/{row}\tnízký\n")
    report = evaluate(options((places[0], manifest)))
    assert [score.name for score in report.scores] == ["en->en", "en->es"]
    assert report.left_out == ("cs",)
    with pytest.raises(UsageError, match="cannot write cs, the languages of the texts"):
        evaluate(options((places[0], manifest), target_languages=("cs",)))


def test_nothing_readable_is_an_error(places, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    manifest = tmp_path / "bad.tsv"
    manifest.write_text("audio\tseconds\tsrc_lang\ttext\nbad.wav\t1\ten\tlow\n")
    with pytest.raises(AllInputsFailed, match="None of 1"):
        evaluate(options((places[0], manifest)))


def test_missing_recordings_are_failures_and_other_bad_rows_are_not(places, tmp_path):
    header, row, other, *_ = places[1].read_text().splitlines()
    manifest = tmp_path / "some.tsv"
    rows = [header, f"{places[1].parent}/{row}", "gone.wav\ten\tlow\tbajo", f"{places[1].parent}/{other[:5]}\ten\t\t"]
    manifest.write_text("\n".join(rows) + "\n")
    report = evaluate(options((places[0], manifest)))
    assert report.scores[0].utterances == 1
    assert report.failures == {
        f"{manifest} line 3": f"the recording must exist, but `{tmp_path / 'gone.wav'}` does not."
    }
    assert [bad.partition(": ")[0] for bad in report.bad_rows] == [f"{manifest} line 4"]
    assert not evaluate(options((places[0], manifest), limit=1)).failures


def test_hypotheses_never_replace_an_input_and_need_a_file(places, tmp_path):
    sound = next(utterance.audio for utterance in read_manifest(places[1]).utterances)
    (tmp_path / "sound").write_bytes(sound.read_bytes())
    manifest = tmp_path / "one.tsv"
    manifest.write_text("audio\tseconds\tsrc_lang\ttext\nsound\t1\ten\tlow\n")
    config = places[0] / "config.json"
    for place, told in (
        (manifest, "one.tsv is one"),
        (tmp_path / "sound", "sound is one"),
        (config, "config.json is one"),
        (tmp_path / "new.flac", "named like a recording"),
        (tmp_path, "is a folder"),
    ):
        before = place.read_bytes() if place.is_file() else None
        with pytest.raises(UsageError, match=told):
            evaluate(options((places[0], manifest), hypotheses=place))
        assert before is None or place.read_bytes() == before


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
    with pytest.raises(UsageError, match="already contains a model"):
        average([tmp_path / "a"], tmp_path / "newest")
    average([tmp_path / "a"], tmp_path / "newest", overwrite=True)
    with pytest.raises(UsageError, match="An output must not replace an input"):
        average([tmp_path / "a", tmp_path / "b"], tmp_path / "b", overwrite=True)
    assert all((parameter == 1.0).all() for parameter in load(tmp_path / "newest").model.parameters())


def test_an_average_has_the_number_format_that_is_asked_for(places, tmp_path):
    average([places[0]], tmp_path / "half", dtype="bfloat16")
    assert {tensor.dtype for tensor in read_weights(tmp_path / "half").values()} == {torch.bfloat16}
    average([tmp_path / "half"], tmp_path / "full", dtype="float32")
    assert {tensor.dtype for tensor in read_weights(tmp_path / "full").values()} == {torch.float32}


def test_the_best_checkpoints_of_a_run_are_averaged(places, tmp_path):
    scores = {1: math.nan, 2: 30.0, 3: 20.0}
    for step in (1, 2, 3, 4):
        folder = checkpoint_folder(tmp_path / "run", step)
        shutil.copytree(places[0], folder)
        (folder / "COMPLETE").write_text("{}")
    log = [
        Started(step=0, utterances=8, hours=1.0, languages={}, parameters=9, learning=9, device="cpu", dtype="float32"),
        *(Evaluated(step=step, losses={}, scores={}, score=score, best=False) for step, score in scores.items()),
    ]
    lines = [json.dumps(event_to_dict(event)) for event in log]
    (tmp_path / "run" / "log.jsonl").write_text("\n".join(lines))
    report = average([tmp_path / "run"], tmp_path / "mean", best=2)
    assert [folder.name for folder in report.folders] == ["step-00000002", "step-00000003"]
    with pytest.raises(UsageError, match="both are given"):
        average([tmp_path / "run"], tmp_path / "mean", best=2, last=1)
    with pytest.raises(UsageError, match="`--best` must be at least 1"):
        average([tmp_path / "run"], tmp_path / "mean", best=0)
