"""The CTC head, a language model and hotwords change the text of a model."""

import json

import pytest
import torch
import transformers

from speechcli.checkpoints.bundle import load, save
from speechcli.decoding.scorers import LanguageModelScorer
from speechcli.errors import UsageError
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.recognition.attention import AttentionRecognizer
from speechcli.pipelines.recognition.recognizer import Clip
from speechcli.pipelines.search.scorers import read_hotwords
from speechcli.pipelines.speech_options import TranscribeOptions, TranslateOptions

from .tiny_model import make_bundle, make_tokenizer, tone

CLIPS = [Clip(tone(0.5, 200.0)), Clip(tone(0.8, 900.0))]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("tokenizer"))


def recognize(bundle, **decoding):
    options = TranscribeOptions(language="de", decoding=DecodingOptions(strategy="beam", beam_size=4, **decoding))
    return [result[0] for result in AttentionRecognizer(bundle, options).decode(CLIPS)]


def write_lm(folder, vocabulary, favorite=7, positions=32):
    config = transformers.GPT2Config(
        vocab_size=vocabulary, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, n_positions=positions
    )
    model = transformers.GPT2LMHeadModel(config)
    with torch.no_grad():
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.copy_(10 * model.transformer.wte.weight[favorite].sign())
        model.transformer.wte.weight[favorite].copy_(model.transformer.ln_f.bias)
    model.save_pretrained(folder)
    return folder


def test_a_language_model_favors_its_tokens_by_its_weight(bundle, tmp_path):
    lm = str(write_lm(tmp_path, bundle.tokenizer.vocabulary_size))
    plain, fused = recognize(bundle), recognize(bundle, lm=lm, lm_weight=5.0)
    assert recognize(bundle, lm=lm, lm_weight=0.0) == plain
    assert all(each.tokens.count(7) > before.tokens.count(7) for each, before in zip(fused, plain, strict=True))


def test_a_language_model_over_another_vocabulary_is_refused(bundle, tmp_path):
    with pytest.raises(UsageError, match="25 tokens, not 24"):
        recognize(bundle, lm=str(write_lm(tmp_path / "a", 25)))
    folder = write_lm(tmp_path / "b", bundle.tokenizer.vocabulary_size)
    make_tokenizer(folder, ("de_DE", "en_XX", "fr_XX"))
    with pytest.raises(UsageError, match="differs at `es_XX`"):
        recognize(bundle, lm=str(folder))


def test_a_model_uses_the_language_model_in_its_folder_with_the_weight_of_its_settings(bundle, tmp_path):
    save(bundle, tmp_path / "model")
    lm = write_lm(tmp_path / "model" / "language_model", bundle.tokenizer.vocabulary_size)
    settings = json.loads((tmp_path / "model" / "speechcli.json").read_text())
    (tmp_path / "model" / "speechcli.json").write_text(json.dumps(settings | {"lm": {"weight": 5.0}}))
    loaded = load(tmp_path / "model")
    assert recognize(loaded) == recognize(bundle, lm=str(lm), lm_weight=5.0)
    assert recognize(loaded, lm_weight=0.0) == recognize(bundle, lm_weight=0.0) == recognize(bundle)
    assert recognize(loaded, lm_weight=1.0) == recognize(bundle, lm=str(lm), lm_weight=1.0)
    assert recognize(loaded, lm=str(lm)) == recognize(bundle, lm=str(lm), lm_weight=0.3)


@pytest.fixture
def with_lm(bundle, tmp_path):
    save(bundle, tmp_path / "model")
    write_lm(tmp_path / "model" / "language_model", bundle.tokenizer.vocabulary_size)
    loaded = load(tmp_path / "model")
    loaded.settings["lm"] = {"weight": 5.0}
    return loaded


def test_a_model_may_have_another_weight_of_its_language_model_for_translations(with_lm, bundle):
    assert translate(with_lm) == translate(with_lm, lm_weight=5.0) != translate(bundle)
    with_lm.settings["lm"]["translation_weight"] = 0.0
    assert translate(with_lm) == translate(bundle)
    assert translate(with_lm, lm_weight=5.0) != translate(bundle)
    assert recognize(with_lm) == recognize(with_lm, lm_weight=5.0)


def translate(bundle, target="en", **decoding):
    chosen = DecodingOptions(strategy="beam", beam_size=4, **decoding)
    options = TranslateOptions(language="de", targets=(target,), decoding=chosen)
    return [result[0] for result in AttentionRecognizer(bundle, options).decode(CLIPS)]


def test_a_language_model_that_translates_reads_the_transcript_first(with_lm, monkeypatch):
    read = []
    monkeypatch.setattr(
        "speechcli.pipelines.search.scorers.LanguageModelScorer",
        lambda step, cache, *, begin, **options: (
            read.append(begin) or LanguageModelScorer(step, cache, begin=begin, **options)
        ),
    )
    tokenizer = with_lm.tokenizer
    spoken = [tokenizer.encode(found.text) for found in recognize(with_lm)]
    read.clear()
    translate(with_lm)
    assert read == [(0,)]
    with_lm.settings["lm"]["translates"] = True
    read.clear()
    translate(with_lm)
    tag = tokenizer.languages["de_DE"]
    assert read == [(0,), *((0, tag, *text, 0) for text in spoken)]


def test_a_translation_into_the_spoken_language_is_a_transcript(with_lm):
    with_lm.settings["lm"] |= {"translates": True, "translation_weight": 9.0}
    found = translate(with_lm, target="de")
    assert [each.text for each in found] == [each.text for each in recognize(with_lm)]


def test_a_saved_model_keeps_its_language_model_also_in_the_same_folder(with_lm, tmp_path):
    for folder in (tmp_path / "copy", tmp_path / "model"):
        save(with_lm, folder)
        assert recognize(load(folder)) == recognize(with_lm)


def test_a_trained_model_and_the_folder_that_it_is_saved_in_have_no_language_model(bundle, with_lm, tmp_path):
    with_lm.forget_misfits()
    save(with_lm, tmp_path / "model")
    assert not (tmp_path / "model" / "language_model").exists()
    assert "lm" not in load(tmp_path / "model").settings
    assert recognize(with_lm) == recognize(load(tmp_path / "model")) == recognize(bundle)


def test_a_text_longer_than_the_language_model_can_read_goes_on_without_it(bundle, tmp_path):
    lm = str(write_lm(tmp_path, bundle.tokenizer.vocabulary_size, positions=8))
    decoding = {"lm": lm, "lm_weight": 5.0, "min_new_tokens": 12, "max_new_tokens": 12}
    assert {len(each.tokens) for each in recognize(bundle, **decoding)} == {12}


def test_the_weight_of_a_language_model_needs_one(bundle):
    with pytest.raises(UsageError, match=f"`--lm-weight` needs a language model, but {bundle.name} has none"):
        recognize(bundle, lm_weight=0.5)


def test_the_ctc_score_is_multiplied_by_its_weight(bundle):
    head = bundle.model.ctc_head
    before = head.bias.detach().clone()
    tag, letter = bundle.tokenizer.languages["de_DE"], 9
    with torch.no_grad():
        head.bias[[tag, letter]] = 30.0
    try:
        fused = recognize(bundle, ctc_weight=0.9)
    finally:
        with torch.no_grad():
            head.bias.copy_(before)
    assert all(set(each.tokens) <= {tag, letter, 2} and letter in each.tokens for each in fused)
    assert recognize(bundle, ctc_weight=0.0) == recognize(bundle)


def test_the_ctc_weight_is_that_of_training_unless_given(bundle, monkeypatch):
    heard = recognize(bundle, ctc_weight=0.6)
    assert heard != recognize(bundle)
    monkeypatch.setitem(bundle.settings, "ctc", bundle.settings.get("ctc", {}) | {"weight": 0.6})
    assert recognize(bundle) == heard
    assert recognize(bundle, ctc_weight=0.0) != heard
    # the head is not used for translations
    told = TranslateOptions(language="de", targets=("es",), decoding=DecodingOptions(strategy="beam", beam_size=4))
    listening = AttentionRecognizer(bundle, told).decode(CLIPS)
    monkeypatch.undo()
    assert AttentionRecognizer(bundle, told).decode(CLIPS) == listening


def test_hotwords_are_written(bundle, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("hi\n\npan\n", encoding="utf-8")
    assert any(
        "pan" in each.text or "hi" in each.text for each in recognize(bundle, hotwords=str(words), hotword_boost=9)
    )
    assert recognize(bundle, hotwords=str(words), hotword_boost=0.0) == recognize(bundle)


def test_hotwords_are_spelled_as_at_the_start_and_inside_of_a_text(bundle, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("\ufeffab c\n", encoding="utf-8")
    found = read_hotwords(bundle.tokenizer, words)
    assert {bundle.tokenizer.decode(ids).strip() for ids in found} == {"ab c"}
    for content in (b"", b"\xff\xfe\xff"):
        words.write_bytes(content)
        with pytest.raises(UsageError, match="--hotwords"):
            read_hotwords(bundle.tokenizer, words)
    with pytest.raises(UsageError, match=r"nowhere.txt` cannot be read: No such file or directory\.$"):
        read_hotwords(bundle.tokenizer, tmp_path / "nowhere.txt")


def test_a_ctc_weight_needs_a_head_over_the_tokens_of_the_decoder(bundle, tmp_path):
    with pytest.raises(UsageError, match="has none"):
        recognize(make_bundle(tmp_path, ctc=False), ctc_weight=0.3)
    with pytest.raises(UsageError, match="not for translations"):
        AttentionRecognizer(bundle, TranslateOptions(targets=("es",), decoding=DecodingOptions(ctc_weight=0.3)))
    for bad in (
        {"ctc_weight": 1.0},
        {"lm": "m", "lm_weight": float("nan")},
        {"hotwords": "w", "hotword_boost": float("inf")},
    ):
        with pytest.raises(UsageError, match="--"):
            DecodingOptions(**bad)


def test_options_of_scorers_can_be_written_as_json(tmp_path):
    chosen = TranscribeOptions(decoding=DecodingOptions(ctc_weight=0.3, hotwords="w.txt", lm="m")).chosen()
    assert json.loads(json.dumps(chosen)) == {"task": "transcribe", "ctc_weight": 0.3, "hotwords": "w.txt", "lm": "m"}
