"""Adapters per language (MMS), against transformers' `load_adapter`."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from speechcli.checkpoints import compose
from speechcli.checkpoints.bundle import Bundle, load, save
from speechcli.checkpoints.ctc import load_ctc
from speechcli.errors import ModelError, UsageError
from speechcli.pipelines.compose_options import ComposeOptions
from speechcli.pipelines.recognition.attention import AttentionRecognizer
from speechcli.pipelines.recognition.ctc import CtcRecognizer
from speechcli.pipelines.recognition.recognizer import Clip
from speechcli.pipelines.speech_options import TranscribeOptions, TranslateOptions
from speechcli.pipelines.warm_start import warm_start
from speechcli.text.languages import language_code

from .tiny_models import decoder_config, encoder_config, randomized, seq2seq, write_tokenizer

ADAPTED: dict[str, Any] = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "adapter_attn_dim": 3}
WAVEFORM = torch.randn(2, 400, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def encoder_folder(tmp_path: Path) -> Path:
    """A CTC model as MMS is published, with adapters in both kinds of files."""
    folder = tmp_path / "mms"
    torch.manual_seed(0)
    model = randomized(transformers.Wav2Vec2ForCTC(encoder_config("wav2vec2", **ADAPTED)))
    model.save_pretrained(folder)
    for language, heads in (("fra", 12), ("azj-script_latin", 12), ("deu", 7)):
        adapter = {key: torch.randn_like(value) for key, value in model._get_adapters().items()}
        adapter["lm_head.weight"], adapter["lm_head.bias"] = torch.randn(heads, 16), torch.randn(heads)
        if language == "deu":
            torch.save(adapter, folder / "adapter.deu.bin")
        else:
            save_file(adapter, folder / f"adapter.{language}.safetensors")
    return folder


@pytest.fixture
def decoder_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "decoder"
    randomized(transformers.BertLMHeadModel(decoder_config("bert", is_decoder=True))).save_pretrained(folder)
    write_tokenizer(folder, "bert")
    return folder


@pytest.fixture
def folder(encoder_folder: Path, decoder_folder: Path, tmp_path: Path) -> Path:
    """A model that was warm-started from both."""
    save(compose.warm_start(encoder_folder, decoder_folder)[0], tmp_path / "model")
    return tmp_path / "model"


@torch.no_grad()
def encode(bundle: Bundle) -> torch.Tensor:
    return bundle.model.encode(WAVEFORM).frames


@pytest.mark.parametrize(
    ("name", "tag"), [("fra", "fra"), ("French", "fra"), ("de", "deu"), ("Azerbaijani", "azj-script_latin")]
)
def test_frames_are_those_of_the_reference_with_the_adapter_of_the_language(
    encoder_folder: Path, folder: Path, name: str, tag: str
) -> None:
    theirs = transformers.Wav2Vec2ForCTC.from_pretrained(encoder_folder).eval()
    bundle = load(folder)
    with torch.no_grad():
        torch.testing.assert_close(encode(bundle), theirs.wav2vec2(WAVEFORM).last_hidden_state, atol=1e-5, rtol=1e-5)
        theirs.load_adapter(tag)
        assert bundle.set_language(name) == tag
        torch.testing.assert_close(encode(bundle), theirs.wav2vec2(WAVEFORM).last_hidden_state, atol=1e-5, rtol=1e-5)


def write_ctc_vocabularies(folder: Path) -> None:
    """The additional file of MMS: a vocabulary for each language."""
    letters = {
        "fra": "abcdefgh",
        "deu": "xyz",
        "eng": "qrstuvwx",
    }
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    vocabulary = {tag: {token: i for i, token in enumerate([*special, *more])} for tag, more in letters.items()}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    settings = {"tokenizer_class": "Wav2Vec2CTCTokenizer", "target_lang": "eng", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"unk_token": "<unk>"}))


@pytest.mark.parametrize(("name", "tag"), [("French", "fra"), ("de", "deu")])
def test_a_ctc_head_and_its_vocabulary_change_with_the_language(encoder_folder: Path, name: str, tag: str) -> None:
    write_ctc_vocabularies(encoder_folder)
    theirs = transformers.Wav2Vec2ForCTC.from_pretrained(encoder_folder).eval()
    theirs.load_adapter(tag)
    tokenizer = transformers.Wav2Vec2CTCTokenizer.from_pretrained(encoder_folder, target_lang=tag)
    bundle = load_ctc(encoder_folder)
    own = CtcRecognizer(bundle, TranscribeOptions())
    chosen = CtcRecognizer(load_ctc(encoder_folder), TranscribeOptions(language=name))
    clip = Clip(WAVEFORM[0].numpy())
    with torch.no_grad():
        expected = theirs(torch.from_numpy(bundle.features([clip.samples]).values.numpy())).logits[0]
    ((said,),) = chosen.decode([clip])
    assert said.text == tokenizer.decode(expected.argmax(dim=-1)).strip()
    assert said.language == language_code(name)
    assert own.decode([clip])[0][0].text != said.text
    with pytest.raises(UsageError, match="must be one that the model knows, but is `Russian`"):
        CtcRecognizer(bundle, TranscribeOptions(language="Russian"))


def test_a_language_file_without_a_head_is_refused(encoder_folder: Path) -> None:
    write_ctc_vocabularies(encoder_folder)
    path = encoder_folder / "adapter.fra.safetensors"
    save_file({key: value for key, value in load_file(path).items() if not key.startswith("lm_head")}, path)
    with pytest.raises(ModelError, match=r"adapter.fra.safetensors must have a weight \(vocabulary, 16\)"):
        load_ctc(encoder_folder).set_language("fra")


@pytest.mark.parametrize(
    ("weight", "why"),
    [
        (torch.full((12, 16), math.nan), "must be numbers, but 1 of 2 tensors contain NaN"),
        (torch.ones(12, 16, dtype=torch.long), "must be floating-point numbers"),
        (torch.ones(()), "must have a weight"),
    ],
)
def test_a_head_of_a_language_without_weights_is_refused(encoder_folder: Path, weight: torch.Tensor, why: str) -> None:
    write_ctc_vocabularies(encoder_folder)
    path = encoder_folder / "adapter.fra.safetensors"
    save_file(load_file(path) | {"lm_head.weight": weight}, path)
    with pytest.raises(ModelError, match=f"adapter.fra.safetensors.*{why}"):
        load_ctc(encoder_folder).set_language("fra")


@pytest.mark.parametrize("target", [None, "rus", ["deu"]])
def test_a_vocabulary_for_each_language_needs_the_language(encoder_folder: Path, target: object) -> None:
    write_ctc_vocabularies(encoder_folder)
    path = encoder_folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"target_lang": target}))
    with pytest.raises(ModelError, match="but has those of fra, deu, eng"):
        load_ctc(encoder_folder)


@pytest.mark.parametrize("options", [TranscribeOptions(language="fr"), TranslateOptions(language="fr")])
def test_the_spoken_language_sets_the_adapters(folder: Path, options: TranscribeOptions | TranslateOptions) -> None:
    chosen, expected = load(folder), load(folder)
    AttentionRecognizer(chosen, options)
    expected.set_language("fra")
    assert torch.equal(encode(chosen), encode(expected))
    assert not torch.equal(encode(chosen), encode(load(folder)))


def test_a_warm_start_may_begin_with_the_adapters_of_a_language(
    encoder_folder: Path, decoder_folder: Path, folder: Path, tmp_path: Path
) -> None:
    halves = str(encoder_folder), str(decoder_folder)
    warm_start(ComposeOptions(*halves, tmp_path / "french", spoken="French"))
    expected = load(folder)
    expected.set_language("fra")
    assert torch.equal(encode(load(tmp_path / "french")), encode(expected))


def test_a_language_without_adapters_is_refused_with_those_that_there_are(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        AttentionRecognizer(load(folder), TranscribeOptions(language="Japanese"))
    assert "Japanese" in caught.value.message
    assert caught.value.hint is not None and "azj-script_latin, deu, fra" in caught.value.hint


def test_adapters_survive_a_save_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    save(load(folder), tmp_path / "again")
    before, after = (
        {path.name: path.read_bytes() for path in at.glob("adapter.*")} for at in (folder, tmp_path / "again")
    )
    assert before == after and len(before) == 3


def test_keys_of_a_whole_model_and_of_a_bare_encoder_fit_too(tmp_path: Path) -> None:
    model = seq2seq("wav2vec2", "bert", **ADAPTED)
    model.save_pretrained(tmp_path)
    adapter = {key: torch.randn_like(value) for key, value in model.encoder._get_adapters().items()}
    save_file(adapter, tmp_path / "adapter.fra.safetensors")
    save_file({"encoder." + key: value for key, value in adapter.items()}, tmp_path / "adapter.deu.safetensors")
    bundle = load(tmp_path)
    bundle.set_language("fra")
    frames = encode(bundle)
    model.encoder.load_state_dict(adapter, strict=False)
    with torch.no_grad():
        torch.testing.assert_close(frames, model.eval().encoder(WAVEFORM).last_hidden_state, atol=1e-5, rtol=1e-5)
    bundle.set_language("deu")
    assert torch.equal(encode(bundle), frames)


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        ({"wav2vec2.encoder.layers.0.adapter_layer.norm.weight": torch.zeros(16)}, "missing"),
        ({"wav2vec2.encoder.layers.0.adapter_layer.norm.weight": torch.zeros(5)}, "misshapen"),
        ({"wav2vec2.encoder.layers.0.attention.q_proj.weight": torch.zeros(16, 16)}, "unexpected"),
    ],
)
def test_adapters_that_do_not_fit_are_refused(folder: Path, broken: dict[str, torch.Tensor], word: str) -> None:
    save_file(broken, folder / "adapter.fra.safetensors")
    with pytest.raises(ModelError, match=rf"adapter\.fra\.safetensors.*{word}"):
        load(folder).set_language("fra")
