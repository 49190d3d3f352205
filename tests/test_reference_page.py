"""The examples of Hugging Face's page "Speech Encoder Decoder Models", with `transformers` replaced by `speechcli`."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import transformers

import speechcli
from speechcli.errors import InputError, UsageError

from .checkpoints.tiny_models import (
    decoder_config,
    encoder_config,
    randomized,
    seq2seq,
    write_features,
    write_model,
    write_tokenizer,
)

# transformers warns about its default length, which is compared here.
pytestmark = pytest.mark.filterwarnings("ignore:Using the model-agnostic default")

SAMPLES = Path(__file__).parent.parent / "samples"

FROM_CONFIGS = """
from speechcli import BertConfig, SpeechEncoderDecoderConfig, SpeechEncoderDecoderModel, Wav2Vec2Config

config = SpeechEncoderDecoderConfig.from_encoder_decoder_configs(Wav2Vec2Config(), BertConfig())
model = SpeechEncoderDecoderModel(config=config)
"""
WARM_START = """
from speechcli import SpeechEncoderDecoderModel

model = SpeechEncoderDecoderModel.from_encoder_decoder_pretrained(encoder_id, decoder_id)
"""
INFERENCE = """
from speechcli import SpeechEncoderDecoderModel, Wav2Vec2Processor

model = SpeechEncoderDecoderModel.from_pretrained(model_id)
processor = Wav2Vec2Processor.from_pretrained(model_id)
input_values = processor(audio, return_tensors="pt").input_values
generated_ids = model.generate(input_values)
generated_text = processor.batch_decode(generated_ids, skip_special_tokens=True)[0]
"""
TRAINING = """
from speechcli import AutoFeatureExtractor, AutoTokenizer, SpeechEncoderDecoderModel

feature_extractor = AutoFeatureExtractor.from_pretrained(encoder_id)
tokenizer = AutoTokenizer.from_pretrained(decoder_id)
model = SpeechEncoderDecoderModel.from_encoder_decoder_pretrained(encoder_id, decoder_id)
model.config.decoder_start_token_id = tokenizer.cls_token_id
model.config.pad_token_id = tokenizer.pad_token_id
input_values = feature_extractor(audio, return_tensors="pt").input_values
labels = tokenizer(text, return_tensors="pt").input_ids
loss = model(input_values=input_values, labels=labels).loss
loss.backward()
"""


def run(snippet: str, **names: Any) -> dict[str, Any]:
    exec(compile(snippet, "snippet", "exec"), names)
    return names


@pytest.fixture(scope="module")
def encoder_id(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    randomized(transformers.HubertForCTC(encoder_config("hubert"))).save_pretrained(folder)
    write_features(folder)
    write_tokenizer(folder, "gpt2")  # that of the CTC head, which must not be taken
    return str(folder)


@pytest.fixture(scope="module")
def decoder_id(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("decoder")
    torch.manual_seed(0)
    randomized(transformers.BertForMaskedLM(decoder_config("bert"))).save_pretrained(folder)
    write_tokenizer(folder, "bert")
    return str(folder)


@pytest.fixture(scope="module")
def model_id(tmp_path_factory: pytest.TempPathFactory) -> str:
    changes: dict[str, Any] = {"add_adapter": True, "output_hidden_size": 12, "num_adapter_layers": 1}
    return str(write_model(tmp_path_factory.mktemp("model"), "wav2vec2", "mbart", **changes))


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    samples, _ = soundfile.read(SAMPLES / "fr-say-your-name.wav", dtype="float32", frames=8000)
    return np.asarray(samples if samples.ndim == 1 else samples[:, 0])


def test_a_model_is_made_of_two_configurations() -> None:
    with torch.device("meta"):
        model = run(FROM_CONFIGS)["model"]
        theirs = run(FROM_CONFIGS.replace("speechcli", "transformers"))["model"]
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in theirs.parameters())


def test_a_model_is_made_of_a_pretrained_encoder_and_decoder(encoder_id: str, decoder_id: str) -> None:
    model = run(WARM_START, encoder_id=encoder_id, decoder_id=decoder_id)["model"]
    assert not model.training
    assert model.fresh_parameters.left_in_encoder == ("lm_head.bias", "lm_head.weight")
    assert (model.config.decoder_start_token_id, model.config.eos_token_id, model.config.pad_token_id) == (0, 1, 2)


def test_a_checkpoint_generates_the_same_tokens_as_transformers(model_id: str, audio: np.ndarray) -> None:
    found = run(INFERENCE, model_id=model_id, audio=audio)
    theirs = transformers.SpeechEncoderDecoderModel.from_pretrained(model_id).eval()
    values = transformers.Wav2Vec2FeatureExtractor()(audio, sampling_rate=16_000, return_tensors="pt").input_values
    torch.testing.assert_close(found["input_values"], values, atol=1e-5, rtol=0)
    assert torch.equal(found["generated_ids"], theirs.generate(values))
    assert found["generated_text"].startswith("w")


def test_labels_yield_a_loss_and_gradients(encoder_id: str, decoder_id: str, audio: np.ndarray) -> None:
    found = run(TRAINING, encoder_id=encoder_id, decoder_id=decoder_id, audio=audio, text="w1 w2 w3")
    assert found["labels"].tolist() == [[5, 6, 7]]
    assert found["loss"].item() > 0
    unused = {"network.encoder.spec_augment.embedding"}
    assert {n for n, p in found["model"].named_parameters() if p.grad is None} <= unused


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    mask = torch.ones(2, 900, dtype=torch.long)
    mask[1, 500:] = 0
    return {"input_values": torch.randn(2, 900, generator=generator) * mask, "attention_mask": mask}


def test_logits_and_loss_are_those_of_transformers(model_id: str) -> None:
    ours = speechcli.SpeechEncoderDecoderModel.from_pretrained(model_id)
    theirs = transformers.SpeechEncoderDecoderModel.from_pretrained(model_id).eval()
    labels = torch.tensor([[5, 6, 7, 2], [8, 2, -100, -100]])
    a, b = ours(**batch(), labels=labels), theirs(**batch(), labels=labels)
    torch.testing.assert_close(a.loss, b.loss, atol=1e-5, rtol=0)
    torch.testing.assert_close(a.logits, b.logits, atol=1e-5, rtol=0)
    real = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    a, b = (m(**batch(), labels=labels, decoder_attention_mask=real) for m in (ours, theirs))
    torch.testing.assert_close(a.logits[real.bool()], b.logits[real.bool()], atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3, "num_return_sequences": 2}, {"max_new_tokens": 5}])
def test_generated_ids_are_those_of_transformers(model_id: str, options: dict[str, int]) -> None:
    ours = speechcli.SpeechEncoderDecoderModel.from_pretrained(model_id)
    theirs = transformers.SpeechEncoderDecoderModel.from_pretrained(model_id).eval()
    assert torch.equal(ours.generate(**batch(), **options), theirs.generate(**batch(), **options))


def test_a_language_to_write_is_named(model_id: str) -> None:
    ours = speechcli.SpeechEncoderDecoderModel.from_pretrained(model_id)
    tag = speechcli.AutoTokenizer.from_pretrained(model_id).tokenizer.languages["de_DE"]
    german = ours.generate(**batch(), language="German")
    assert german[:, 1].tolist() == [tag, tag]
    assert torch.equal(german, ours.generate(**batch(), forced_bos_token_id=tag))


@pytest.mark.parametrize("width", [12, 16])
def test_encoder_outputs_may_be_given(tmp_path: Path, width: int) -> None:
    changes: dict[str, Any] = {"add_adapter": True, "output_hidden_size": width, "num_adapter_layers": 2}
    seq2seq("wav2vec2", "bart", **(changes if width == 12 else {})).save_pretrained(tmp_path)
    ours = speechcli.SpeechEncoderDecoderModel.from_pretrained(tmp_path)
    frames, _ = ours.encoder(batch()["input_values"], batch()["attention_mask"].sum(-1))
    ids = torch.tensor([[0, 5], [0, 6]])
    whole = ours(**batch(), decoder_input_ids=ids).logits
    for given in (frames, (frames,)):
        half = ours(attention_mask=batch()["attention_mask"], decoder_input_ids=ids, encoder_outputs=given)
        torch.testing.assert_close(half.logits, whole)


def test_a_saved_model_is_the_same_model(model_id: str, tmp_path: Path) -> None:
    ours = speechcli.SpeechEncoderDecoderModel.from_pretrained(model_id)
    ours.save_pretrained(tmp_path / "saved")
    theirs = transformers.SpeechEncoderDecoderModel.from_pretrained(tmp_path / "saved").eval()
    assert torch.equal(ours.generate(**batch()), theirs.generate(**batch()))


def test_ids_set_on_the_configuration_are_saved_for_generation(
    encoder_id: str, decoder_id: str, tmp_path: Path
) -> None:
    model = run(WARM_START, encoder_id=encoder_id, decoder_id=decoder_id)["model"]
    model.config.decoder_start_token_id = 9
    assert model.generate(**batch(), max_new_tokens=1)[:, 0].tolist() == [9, 9]
    model.save_pretrained(tmp_path / "saved")
    again = speechcli.SpeechEncoderDecoderModel.from_pretrained(tmp_path / "saved")
    assert again.generation_config.decoder_start_token_id == again.config.decoder_start_token_id == 9


def test_keywords_change_the_configurations(encoder_id: str, decoder_id: str) -> None:
    join = speechcli.SpeechEncoderDecoderModel.from_encoder_decoder_pretrained
    model = join(encoder_id, decoder_id, encoder_layerdrop=0.0, decoder_num_hidden_layers=1, decoder_start_token_id=7)
    assert model.encoder.layer_dropout == 0.0
    assert len(model.decoder.layers) == 1
    assert model.config.decoder_start_token_id == 7
    with pytest.raises(UsageError, match="must begin with"):
        join(encoder_id, decoder_id, num_beams=5)


def test_every_encoder_can_freeze_its_convolutions(encoder_id: str, decoder_id: str) -> None:
    model = run(WARM_START, encoder_id=encoder_id, decoder_id=decoder_id)["model"]
    model.freeze_feature_encoder()
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen and all(name.startswith("network.encoder.frontend.") for name in frozen)


def test_missing_parts_are_named(model_id: str) -> None:
    model = speechcli.SpeechEncoderDecoderModel.from_pretrained(model_id)
    with pytest.raises(UsageError, match="but got 0"):
        model(labels=torch.ones(1, 2, dtype=torch.long))
    with pytest.raises(UsageError, match="`labels` or `decoder_input_ids`"):
        model(**batch())
    model.config.pad_token_id = None
    with pytest.raises(UsageError, match="`pad_token_id`, but it is not set"):
        model(**batch(), labels=torch.ones(2, 2, dtype=torch.long))
    with pytest.raises(UsageError, match="num_beam"):
        model.generate(**batch(), num_beam=2)


def test_generation_does_not_leave_training_mode_off(model_id: str) -> None:
    model = speechcli.SpeechEncoderDecoderModel.from_pretrained(model_id).train()
    assert torch.equal(model.generate(**batch()), model.eval().generate(**batch()))
    model.train().generate(**batch(), max_new_tokens=1)
    assert model.training


def test_features_and_tokens_are_those_of_transformers(decoder_id: str, encoder_id: str) -> None:
    clips = [np.sin(np.arange(n) / 7).astype(np.float32) for n in (900, 500)]
    one = speechcli.AutoFeatureExtractor.from_pretrained(encoder_id)(clips[0], sampling_rate=16_000)
    assert one.input_values.shape == (1, 900)
    with pytest.raises(UsageError, match="16000 Hz, but is 8000"):
        speechcli.AutoFeatureExtractor.from_pretrained(encoder_id)(clips, sampling_rate=8000)
    tokenizer = speechcli.AutoTokenizer.from_pretrained(decoder_id)
    texts = ["w1 w2", "w3"]
    found = tokenizer(texts, padding=True, return_tensors="pt")
    assert found.input_ids.tolist() == [[5, 6], [7, 2]] and found.attention_mask.tolist() == [[1, 1], [1, 0]]
    assert tokenizer.batch_decode(found.input_ids, skip_special_tokens=True) == texts
    with pytest.raises(UsageError, match="padded"):
        tokenizer(texts, return_tensors="pt")


def test_a_recording_is_transcribed_and_translated(model_id: str, audio: np.ndarray) -> None:
    model = speechcli.load(model_id, device="cpu", dtype="float32")
    written = speechcli.transcribe(audio, model=model, sample_rate=16_000, max_new_tokens=3)
    assert written.duration == pytest.approx(len(audio) / 16_000)
    assert written.segments[0].text == written.text
    german = speechcli.translate(audio, to="de", model=model, sample_rate=16_000, max_new_tokens=3)
    assert isinstance(german, speechcli.transcript.Transcript) and german.target_language == "de"
    both = speechcli.translate(SAMPLES / "fr-say-your-name.wav", to=["de", "en"], model=model, max_new_tokens=3)
    assert isinstance(both, list) and [each.target_language for each in both] == ["de", "en"]
    with pytest.raises(InputError):
        speechcli.transcribe("no-such-file.wav", model=model)
    assert (written.path, both[0].path) == ("samples", str(SAMPLES / "fr-say-your-name.wav"))


@pytest.mark.parametrize(
    ("change", "rate", "message"),
    [
        (torch.from_numpy, 16_000, "A recording must be a file or a numpy array, but is a Tensor."),
        (lambda audio: audio[None], 16_000, "Samples must be one channel, (samples,), but have 2 dimensions."),
        (lambda audio: (audio * 32_767).astype(np.int16), 16_000, "floating-point numbers with full scale at 1"),
        (lambda audio: audio, None, "`sample_rate` must be a whole number of Hz for samples, but is None."),
        (lambda audio: audio, 0, "`sample_rate` must be a whole number of Hz for samples, but is 0."),
        (lambda audio: "call.wav", 16_000, "`sample_rate` belongs to samples, but a file is given."),
    ],
)
def test_samples_that_cannot_be_a_recording_are_refused(
    model_id: str, audio: np.ndarray, change: Callable[[np.ndarray], Any], rate: int | None, message: str
) -> None:
    model = speechcli.load(model_id, device="cpu", dtype="float32")
    with pytest.raises(UsageError, match=re.escape(message)):
        speechcli.transcribe(change(audio), model=model, sample_rate=rate)


def test_the_package_is_imported_without_torch() -> None:
    code = "import sys, speechcli; assert 'load' in dir(speechcli); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = speechcli.nothing
