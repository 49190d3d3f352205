import json
import os
import shutil
import signal

import pytest
import torch
from tiny_speech import save_tiny_model

import speechcli
from speechcli.checkpoints.bundle import load
from speechcli.errors import InputError, OutputError, Stopped, UsageError
from speechcli.pipelines.train import train
from speechcli.training.events import Evaluated, Saved, Started, Warned
from speechcli.training.merge import merge_options


def options(places, **more):
    model, manifest = places
    values = {
        "model.path": str(model),
        "data.train": str(manifest),
        "data.dev": str(manifest),
        "batch.workers": 0,
        "batch.max_items": 4,
        "objective.ctc_weight": 0.3,
        "optimizer.warmup_steps": 2,
        "run.max_steps": 4,
        "run.eval_every": 2,
        "run.save_every": 2,
        "run.device": "cpu",
        "run.dtype": "float32",
    }
    return merge_options(explicit=values | {key.replace("__", "."): value for key, value in more.items()})


def test_a_run_leaves_models_a_log_and_its_options(places, tmp_path):
    events = []
    result = train(options(places), tmp_path / "run", report=events.append)
    assert result.report.step == 4
    assert (result.best, result.last) == (tmp_path / "run" / "best", tmp_path / "run" / "last")
    assert load(result.last).model.ctc_head is not None
    started = next(event for event in events if isinstance(event, Started))
    assert started.languages == {"en->en": 8, "en->es": 8}
    evaluated = next(event for event in events if isinstance(event, Evaluated))
    assert set(evaluated.scores["en->en"]) == {"wer", "cer", "exact_match"}
    assert set(evaluated.scores["en->es"]) == {"bleu", "chrf", "exact_match"}
    assert len(evaluated.samples) == 5
    log = [json.loads(line)["event"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert log[0] == "warned"  # the dev manifest is the one that is learned
    assert {"started", "evaluated", "saved"} <= set(log)
    again = merge_options(run=tmp_path / "run")
    assert again.options == options(places).options


def test_a_ctc_head_over_characters_is_trained_saved_and_used_for_word_times_only(places, tmp_path):
    chosen = {"objective__ctc_vocabulary": "characters", "run__save_every": 2}
    events = []
    whole = train(options(places, **chosen), tmp_path / "whole", report=events.append)
    bundle = load(whole.last)
    assert bundle.characters.symbols == "".join(sorted(set("lowmidhightop")))
    assert bundle.model.ctc_head.out_features == 1 + len(bundle.characters.symbols)
    assert all("ctc" in event.losses for event in events if isinstance(event, Evaluated))

    with pytest.raises(Stopped):
        train(options(places, **chosen), tmp_path / "parts", report=stop_at(2))
    parts = train(merge_options(run=tmp_path / "parts"), tmp_path / "parts", resume=True, report=lambda event: None)
    assert torch.equal(load(parts.last).model.ctc_head.weight, bundle.model.ctc_head.weight)

    tone = places[1].with_name("7.wav")
    speechcli.transcribe(tone, model=whole.last, language="en", word_times=True)
    with pytest.raises(UsageError, match=f"predicts {len(bundle.characters.symbols)} characters"):
        speechcli.transcribe(tone, model=whole.last, language="en", ctc_weight=0.3)


def test_a_ctc_head_keeps_its_vocabulary_unless_another_is_set(places, tmp_path):
    chosen = options(places, objective__ctc_vocabulary="characters", run__max_steps=1)
    first = train(chosen, tmp_path / "first", report=lambda event: None).last
    again = train(options((first, places[1]), run__max_steps=1), tmp_path / "again", report=lambda event: None).last
    assert load(again).characters == load(first).characters
    chosen = options((first, places[1]), objective__ctc_vocabulary="decoder", run__max_steps=1)
    other = load(train(chosen, tmp_path / "other", report=lambda event: None).last)
    assert other.characters is None and other.model.ctc_head.out_features == other.tokenizer.vocabulary_size


def test_a_decoder_with_more_tokens_than_its_tokenizer_learns_ctc_too_and_transcribes_with_it(places, tmp_path):
    save_tiny_model(tmp_path / "spare", spare=5)
    chosen = options((tmp_path / "spare", places[1]), run__max_steps=1, run__eval_every=1)
    last = train(chosen, tmp_path / "run", report=lambda event: None).last
    bundle = load(last)
    assert bundle.model.ctc_head.out_features == bundle.tokenizer.vocabulary_size + 5
    speechcli.transcribe(places[1].with_name("7.wav"), model=last, language="en", ctc_weight=0.3)


def test_transformers_opens_the_model_of_a_run(places, tmp_path):
    transformers = pytest.importorskip("transformers")
    result = train(options(places), tmp_path / "run", report=lambda event: None)
    _, told = transformers.SpeechEncoderDecoderModel.from_pretrained(result.last, output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"]


@pytest.mark.parametrize(("frozen", "kept"), [(["encoder"], True), (["decoder"], False)])
def test_adapters_of_languages_stay_only_where_the_encoder_does(places, tmp_path, frozen, kept):
    model = shutil.copytree(places[0], tmp_path / "model")
    (model / "adapter.fra.safetensors").write_bytes(b"fitted to this encoder")
    chosen = options((model, places[1]), model__freeze=frozen, run__max_steps=2)
    result = train(chosen, tmp_path / "run", report=lambda event: None)
    assert (result.last / "adapter.fra.safetensors").exists() == kept


def test_a_stopped_run_resumes_to_the_same_weights(places, tmp_path):
    whole = train(options(places), tmp_path / "whole", report=lambda event: None)
    report = stop_at(2)
    with pytest.raises(Stopped):
        train(options(places), tmp_path / "parts", report=report)
    merged = merge_options(run=tmp_path / "parts")
    parts = train(merged, tmp_path / "parts", resume=True, report=lambda event: None)
    one, other = load(whole.last).model.state_dict(), load(parts.last).model.state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def stop_at(step):
    import os
    import signal

    def report(event):
        if isinstance(event, Saved) and event.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return report


def test_a_model_overfits_eight_tones(places, tmp_path):
    settings = {
        "optimizer__learning_rate": 0.005,
        "optimizer__warmup_steps": 10,
        "run__max_steps": 200,
        "run__eval_every": 200,
        "run__save_every": 200,
        "augment__mask_time_probability": 0.0,
        "data__cache_audio": True,
        "objective__learn_language": False,
    }
    events = []
    train(options(places, **settings), tmp_path / "run", report=events.append)
    evaluated = [event for event in events if isinstance(event, Evaluated)][-1]
    assert evaluated.scores["en->en"]["wer"] == 0.0
    assert evaluated.scores["en->es"]["chrf"] == 100.0
    assert all(sample.hypothesis == sample.reference for sample in evaluated.samples)


def test_a_refused_change_leaves_the_run_as_it_was(places, tmp_path):
    train(options(places, run__max_steps=1), tmp_path / "run", report=lambda event: None)
    before = (tmp_path / "run" / "last" / "README.md").read_text()
    other = options(places, run__max_steps=1, objective__ctc_vocabulary="characters")
    with pytest.raises(UsageError, match="must train the same weights"):
        train(other, tmp_path / "run", resume=True, report=lambda event: None)
    assert (tmp_path / "run" / "last" / "README.md").read_text() == before


def test_a_run_that_ended_before_its_first_checkpoint_starts_again_with_any_options(places, tmp_path):
    train(options(places, run__max_steps=1), tmp_path / "run", report=lambda event: None)
    for name in ("checkpoints", "best", "last"):
        shutil.rmtree(tmp_path / "run" / name)
    events = []
    other = options(places, run__max_steps=1, objective__ctc_weight=0.0, optimizer__learning_rate=0.5)
    assert train(other, tmp_path / "run", resume=True, report=events.append).report.step == 1
    assert not [event.message for event in events if isinstance(event, Warned) and "interruption" in event.message]
    assert merge_options(run=tmp_path / "run").options == other.options


def test_an_encoder_frozen_at_first_with_all_else_frozen_is_refused_before_the_folder_has_a_run(places, tmp_path):
    chosen = {"model__freeze": ("decoder", "ctc_head"), "run__max_steps": 1}
    with pytest.raises(UsageError, match="names everything: decoder, ctc_head, encoder \\(at first"):
        train(options(places, model__freeze_encoder_steps=2, **chosen), tmp_path / "run", report=lambda event: None)
    assert not (tmp_path / "run" / "options.toml").exists()
    assert train(options(places, **chosen), tmp_path / "run", report=lambda event: None).report.step == 1


def test_a_resume_with_other_data_in_mid_epoch_is_refused_and_leaves_the_run_as_it_was(places, tmp_path):
    def stop(event):
        if isinstance(event, Saved):
            os.kill(os.getpid(), signal.SIGTERM)

    run = {"run__save_every": 1, "run__max_steps": 3, "batch__max_items": 2}
    with pytest.raises(Stopped):
        train(options(places, **run), tmp_path / "run", report=stop)
    before = {name: (tmp_path / "run" / name).read_bytes() for name in ("options.toml", "log.jsonl")}
    with pytest.raises(UsageError, match="must be continued with the batches"):
        train(
            options(places, **run | {"batch__max_items": 3}), tmp_path / "run", resume=True, report=lambda event: None
        )
    warned = (tmp_path / "run" / "log.jsonl").read_bytes().removeprefix(before["log.jsonl"])
    assert (tmp_path / "run" / "options.toml").read_bytes() == before["options.toml"]
    assert b'"started"' not in warned and b"batch.max_items" in warned
    report = train(merge_options(run=tmp_path / "run"), tmp_path / "run", resume=True, report=lambda event: None).report
    assert report.step == 3


def test_a_file_in_place_of_the_run_folder_is_reported_before_any_work(places, tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        train(options(places, run__max_steps=1), tmp_path / "run", report=lambda event: None)
    assert (tmp_path / "run").read_text() == "mine"


def test_a_folder_with_a_run_is_not_overwritten(places, tmp_path):
    train(options(places, run__max_steps=1), tmp_path / "run", report=lambda event: None)
    with pytest.raises(UsageError, match="already contains a run") as caught:
        train(options(places, run__max_steps=1), tmp_path / "run", report=lambda event: None)
    assert "--resume" in caught.value.hint


def test_a_dev_manifest_in_an_unknown_language_is_refused_before_the_first_step(places, tmp_path):
    dev = places[1].with_name("french.tsv")
    dev.write_text("audio\tsrc_lang\ttext_fr\n0.wav\ten\tbas\n")
    events = []
    with pytest.raises(UsageError, match="fr"):
        train(options(places, data__dev=str(dev)), tmp_path / "run", report=events.append)
    assert not any(isinstance(event, Started) for event in events)


def test_a_run_never_replaces_its_inputs(places, tmp_path):
    model, manifest = places
    run = tmp_path / "run"
    earlier = shutil.copytree(model, run / "last")
    log = shutil.copy(manifest, run / "log.jsonl")
    inside = shutil.copy(manifest, shutil.copytree(model, run / "best") / "tones.tsv")
    for chosen, told in (
        (options((earlier, manifest)), "last is one"),
        (options((model, log)), "log.jsonl is one"),
        (options((model, inside)), "best contains .*tones.tsv"),
        (options(places, data__dev=str(inside)), "best contains .*tones.tsv"),
    ):
        with pytest.raises(UsageError, match=f"An output must not replace an input, but .*{told}"):
            train(chosen, run, report=lambda event: None)
    with pytest.raises(UsageError, match="already contains a model"):
        train(options(places), model, report=lambda event: None)
    assert sorted(path.name for path in run.iterdir()) == ["best", "last", "log.jsonl"]
    assert not (model / "options.toml").exists()


@pytest.mark.parametrize("named", [("path", "encoder", "decoder"), ("path", "encoder"), ("encoder",), ("decoder",)])
def test_a_run_starts_from_one_model_or_from_one_pair(places, tmp_path, named):
    chosen = {f"model.{key}": str(places[0]) for key in named}
    merged = merge_options(explicit={"data.train": str(places[1]), "run.max_steps": 1, **chosen})
    with pytest.raises(UsageError, match="but the options name others"):
        train(merged, tmp_path / "run", report=lambda event: None)


def test_a_run_that_names_no_model_starts_from_the_embedded_one(places, tmp_path, monkeypatch):
    monkeypatch.setattr("speechcli.checkpoints.hub.EMBEDDED", places[0])
    merged = merge_options(
        explicit={"data.train": str(places[1]), "run.max_steps": 1, "batch.workers": 0, "optimizer.learning_rate": 1e-9}
    )
    result = train(merged, tmp_path / "run", report=lambda event: None)
    before, after = load(places[0]).model.state_dict(), load(result.last).model.state_dict()
    torch.testing.assert_close(after, before, rtol=0, atol=1e-8)
    assert "from its embedded model." in (result.last / "README.md").read_text()


@pytest.mark.parametrize("samples", [0, 3])
def test_an_evaluation_shows_as_many_texts_as_are_wanted(places, tmp_path, samples):
    events = []
    train(options(places, run__samples=samples, run__max_steps=1), tmp_path / "run", report=events.append)
    assert [len(event.samples) for event in events if isinstance(event, Evaluated)] == [samples]


def test_while_there_are_more_errors_than_words_the_best_model_is_that_with_the_lowest_loss(places, tmp_path):
    events = []
    chosen = {"data__tasks": ("transcribe",), "run__eval_every": 1, "optimizer__learning_rate": 0.01}
    result = train(options(places, **chosen), tmp_path / "run", report=events.append)
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    losses = [event.losses["cross_entropy"] for event in evaluated]
    assert all(event.scores["en->en"]["wer"] >= 100 for event in evaluated)
    assert losses == sorted(losses, reverse=True)
    assert [event.best for event in evaluated] == [True] * 4
    assert (result.report.best_step, result.report.best_score) == (4, -losses[-1])


def damaged(folder, manifest, *, whole):
    """Write a manifest of four tones of which only the first ones are whole; return it."""
    rows = manifest.read_text().splitlines()[:5]
    for number in range(4):
        content = manifest.with_name(f"{number}.wav").read_bytes()
        (folder / f"{number}.wav").write_bytes(content if number < whole else content[: len(content) // 2])
    (folder / "dev.tsv").write_text("\n".join(rows) + "\n")
    return folder / "dev.tsv"


def test_dev_recordings_that_cannot_be_read_are_left_out_and_reported_once(places, tmp_path):
    events = []
    dev, names = damaged(tmp_path, places[1], whole=2), ("2.wav", "3.wav")
    train(options(places, data__dev=str(dev)), tmp_path / "run", report=events.append)
    told = [event.message for event in events if isinstance(event, Warned) and "left out" in event.message]
    reasons = {name: f"`{tmp_path / name}` must be complete, as its text is, but it ends early." for name in names}
    assert told == [f"{name} is left out of the evaluations: {reasons[name]}" for name in names]
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert [{sample.id for sample in event.samples} for event in evaluated] == 2 * [{"0.wav", "1.wav"}]


def test_a_run_without_readable_dev_recordings_is_an_error_with_the_reason(places, tmp_path):
    dev = damaged(tmp_path, places[1], whole=0)
    with pytest.raises(InputError, match="An evaluation needs at least one usable recording, but .*0.wav` must be"):
        train(options(places, data__dev=str(dev)), tmp_path / "run", report=lambda event: None)
    assert not (tmp_path / "run" / "best").exists()


def test_recordings_that_are_too_long_are_left_out_and_reported(places, tmp_path):
    events = []
    train(options(places, data__max_seconds=0.6, run__max_steps=1), tmp_path / "run", report=events.append)
    told = [event.message for event in events if isinstance(event, Warned)]
    assert any("are not between 0.1 and 0.6 s long" in message for message in told)
