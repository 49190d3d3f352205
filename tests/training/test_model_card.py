import pytest

from speechcli.errors import ModelError, UsageError
from speechcli.pipelines import train as pipeline
from speechcli.pipelines.speech_options import HubAccess
from speechcli.pipelines.train import train
from speechcli.pipelines.training_run.history import History
from speechcli.pipelines.training_run.model_card import model_card
from speechcli.training.events import Evaluated, Started, Stepped
from speechcli.training.merge import merge_options

HISTORY = History(
    starts=[
        Started(
            step=0, utterances=1200, hours=3.456, languages={"en->en": 900, "en->es": 300},
            parameters=6_300_000, learning=300_000, device="cpu", dtype="float32",
        )
    ],
    steps=[
        Stepped(
            step=4000, epoch=1.0, losses={}, learning_rate=0.0, gradient_norm=1.0, audio_rate=1.0, seconds=600.0,
            done=1.0, skipped=0,
        )
    ],
    evaluations=[
        Evaluated(
            step=4000, losses={}, score=0.0, best=True,
            scores={"en->en": {"wer": 12.345, "cer": 3.0}, "en->es": {"bleu": 20.0, "chrf": 45.5}},
            signatures={"en->en": "jiwer|norm:none", "en->es": "bleu nrefs:1|case:mixed"},
        )
    ],
)  # fmt: skip
OPTIONS = merge_options(
    explicit={
        "model.path": "/home/someone/models/start",
        "data.train": "/home/someone/data/train.tsv",
        "data.dev": ("/home/someone/data/dev.tsv",),
        "optimizer.learning_rate": 5e-4,
        "augment.noise_folder": "/home/someone/noises",
        "run.max_steps": 4000,
    }
).options


def test_the_card_shows_data_training_and_scores_but_no_folder_names():
    card = model_card("mine", HISTORY, OPTIONS, 4000)
    assert "`train.tsv`, 1,200 recordings, 3.46 hours" in card
    assert "4,000 steps, 10.0 minutes on cpu in float32; 300,000 of 6,300,000 weights were trained" in card
    assert "| en → en | WER | 12.35 | jiwer|norm:none |" in card.replace("\\|", "|")
    assert "| `optimizer.learning_rate` | 0.0005 |" in card
    assert "English speech to Spanish text (300)" in card
    assert "| `augment.noise_folder` | noises |" in card
    assert "someone" not in card


def test_the_front_matter_has_the_keys_of_the_hub():
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(model_card("mine", HISTORY, OPTIONS, 4000)).data
    assert data.language == ["en", "es"]
    assert (data.license, data.library_name) == ("other", "transformers")
    assert [(result.metric_type, result.metric_value) for result in data.eval_results] == [
        ("wer", 12.35), ("cer", 3.0), ("bleu", 20.0), ("chrf", 45.5),
    ]  # fmt: skip


def test_the_card_names_the_class_of_transformers_that_opens_the_model():
    whole = model_card("mine", HISTORY, OPTIONS, 4000, {"architectures": ["WhisperForConditionalGeneration"]})
    assert "from transformers import WhisperForConditionalGeneration" in whole
    assert "from transformers import SpeechEncoderDecoderModel" in model_card("mine", HISTORY, OPTIONS, 4000)
    half = {"architectures": ["SpeechEncoderDecoderModel"], "encoder": {"model_type": "whisper"}}
    card = model_card("mine", HISTORY, OPTIONS, 4000, half)
    assert "from transformers import" not in card and "library_name: speechcli" in card


def test_a_model_trained_from_the_embedded_one_keeps_its_license():
    card = model_card("mine", HISTORY, merge_options(explicit={"data.train": "train.tsv"}).options, 4000)
    assert "license: cc-by-sa-4.0" in card and "ATTRIBUTION.md" in card
    assert "ATTRIBUTION.md" not in model_card("mine", HISTORY, OPTIONS, 4000)


def test_the_card_of_a_model_without_scores_says_so():
    assert "This step was not scored." in model_card("mine", HISTORY, OPTIONS, 17)
    assert "This step was not scored." in model_card("mine", History(starts=HISTORY.starts), OPTIONS, 0)


def test_a_pretrained_part_from_the_hub_is_the_base_model():
    options = merge_options(explicit={"model.encoder": "facebook/wav2vec2-base", "model.decoder": "/x/bart"}).options
    card = model_card("mine", HISTORY, options, 4000)
    assert 'base_model: ["facebook/wav2vec2-base"]' in card
    assert "[facebook/wav2vec2-base](https://huggingface.co/facebook/wav2vec2-base) and `bart`" in card


def test_a_run_leaves_cards_and_publishes_its_best_model(places, tmp_path, monkeypatch):
    values = {
        "model.path": str(places[0]),
        "data.train": str(places[1]),
        "data.dev": str(places[1]),
        "batch.workers": 0,
        "run.max_steps": 1,
        "run.device": "cpu",
        "run.max_new_tokens": 2,
    }
    sent, asked = [], []
    monkeypatch.setattr(pipeline, "create", lambda name, *, token: asked.append((name, token, len(sent))))
    monkeypatch.setattr(pipeline, "upload", lambda *given, **named: sent.append((given, named)) or "https://there")
    merged = merge_options(explicit=values)
    result = train(merged, tmp_path / "run", push_to="me/mine", hub=HubAccess(token="t"), report=lambda event: None)
    assert result.published == "https://there"
    assert asked == [("me/mine", "t", 0)]
    assert sent == [((tmp_path / "run" / "best", "me/mine"), {"token": "t"})]
    card = (tmp_path / "run" / "best" / "README.md").read_text(encoding="utf-8")
    assert card == (tmp_path / "run" / "last" / "README.md").read_text(encoding="utf-8")
    assert "jiwer" in card and "chrF" in card and "nrefs:1" in card


def test_a_model_that_the_hub_does_not_take_is_trained_and_can_be_published_later(places, tmp_path, monkeypatch):
    def refused(*_, **__):
        raise ModelError("me/mine cannot be written on the Hub (HTTP status 403).", hint="Give a token.")

    values = {"model.path": str(places[0]), "data.train": str(places[1]), "batch.workers": 0, "run.max_steps": 1}
    merged = merge_options(explicit=values | {"run.device": "cpu"})
    monkeypatch.setattr(pipeline, "create", refused)
    with pytest.raises(ModelError, match="403"):
        train(merged, tmp_path / "run", push_to="me/mine", report=lambda event: None)
    assert not (tmp_path / "run" / "options.toml").exists()  # nothing was trained: the same command may be repeated
    monkeypatch.setattr(pipeline, "create", lambda name, *, token: "https://there")
    monkeypatch.setattr(pipeline, "upload", refused)
    with pytest.raises(ModelError, match=f"The trained model is {tmp_path}/run/last") as caught:
        train(merged, tmp_path / "run", push_to="me/mine", report=lambda event: None)
    assert f"train --resume -o {tmp_path}/run --push-to-hub me/mine" in caught.value.hint
    monkeypatch.setattr(pipeline, "upload", lambda *_, **__: "https://there")
    result = train(merged, tmp_path / "run", resume=True, push_to="me/mine", report=lambda event: None)
    assert (result.published, result.report.step) == ("https://there", 1)


def test_publishing_offline_is_refused_before_anything_is_done(tmp_path):
    merged = merge_options(explicit={"model.path": "x", "data.train": "y", "run.max_steps": 1})
    with pytest.raises(UsageError, match="--offline"):
        train(merged, tmp_path / "run", push_to="me/mine", hub=HubAccess(offline=True), report=lambda event: None)
    assert not (tmp_path / "run").exists()
