"""Checkpoints with only a CTC head produce the same texts as transformers."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import transformers
from safetensors.torch import load_file, save_file

from speechcli.audio.read import read_audio
from speechcli.decoding.ctc import prefix_beam_search
from speechcli.errors import ModelError, UsageError
from speechcli.pipelines.average import average
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.evaluate import EvaluateOptions, evaluate
from speechcli.pipelines.info import info
from speechcli.pipelines.load import load_bundle
from speechcli.pipelines.recognition.ctc import CtcRecognizer
from speechcli.pipelines.recognition.recognizer import Clip
from speechcli.pipelines.search.scorers import read_hotwords
from speechcli.pipelines.speech_options import ModelOptions, TranscribeOptions, TranslateOptions

TOKENS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEF'"]
# An even number of filterbank frames: of an odd one, transformers also reads the padding that it stacks last.
CLIPS = [Clip(np.random.default_rng(n).normal(size=n).astype(np.float32)) for n in (9840, 8240, 12400)]
WAVEFORM = {
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 8, 8),
    "conv_stride": (8, 8, 5),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "feat_extract_norm": "layer",
}
ADAPTER = {"add_adapter": True, "num_adapter_layers": 1, "output_hidden_size": 12}
KINDS = {
    "wav2vec2": WAVEFORM,
    "hubert": WAVEFORM,
    "wavlm": WAVEFORM,
    "data2vec-audio": WAVEFORM,
    "unispeech": WAVEFORM,
    "unispeech-sat": WAVEFORM,
    "wav2vec2-bert": {"feature_projection_input_dim": 160},
    "wav2vec2-adapter": WAVEFORM | ADAPTER,
}


def write_ctc(folder: Path, kind: str = "wav2vec2", *, vocabulary: int = len(TOKENS), lower: bool = False) -> Path:
    """A tiny model of transformers whose head prefers now this token, now that."""
    torch.manual_seed(3)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 20}
    config = transformers.AutoConfig.for_model(
        kind.removesuffix("-adapter"), vocab_size=vocabulary, pad_token_id=0, **sizes, **KINDS[kind]
    )
    model = transformers.AutoModelForCTC.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.2)
        model.lm_head.weight.mul_(4.0)
        model.lm_head.bias.zero_()
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({token: id_ for id_, token in enumerate(TOKENS)}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), do_lower_case=lower)
    features = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
    if kind == "wav2vec2-bert":
        features = transformers.SeamlessM4TFeatureExtractor(num_mel_bins=80, stride=2)
    tokenizer.save_pretrained(folder)
    features.save_pretrained(folder)
    return folder


def recognizer(folder: Path, **decoding: object) -> CtcRecognizer:
    options = TranscribeOptions(
        ModelOptions(str(folder), device="cpu", dtype="float32"), decoding=DecodingOptions(**decoding)
    )
    opened = CtcRecognizer(load_bundle(options.model), options)
    assert isinstance(opened, CtcRecognizer)
    return opened


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")  # transformers' WavLM
@pytest.mark.parametrize("kind", KINDS)
def test_greedy_text_is_that_of_transformers(kind: str, tmp_path: Path) -> None:
    folder = write_ctc(tmp_path, kind)
    model = transformers.AutoModelForCTC.from_pretrained(folder).eval()
    features = transformers.AutoFeatureExtractor.from_pretrained(folder)
    tokenizer = transformers.Wav2Vec2CTCTokenizer.from_pretrained(folder)
    texts = [result[0].text for result in recognizer(folder).decode(CLIPS)]
    for clip, text in zip(CLIPS, texts, strict=True):
        with torch.no_grad():
            logits = model(**features(clip.samples, sampling_rate=16_000, return_tensors="pt")).logits
        assert text == tokenizer.decode(logits.argmax(dim=-1)[0])
    assert len(set(texts)) > 1 and max(map(len, texts)) > 3


def test_ids_outside_the_vocabulary_are_unknown_and_texts_are_lowercased(tmp_path: Path) -> None:
    folder = write_ctc(tmp_path, vocabulary=40, lower=True)
    model = transformers.AutoModelForCTC.from_pretrained(folder).eval()
    tokenizer = transformers.Wav2Vec2CTCTokenizer.from_pretrained(folder)
    features = transformers.AutoFeatureExtractor.from_pretrained(folder)
    texts = [result[0].text for result in recognizer(folder).decode(CLIPS)]
    for clip, text in zip(CLIPS, texts, strict=True):
        with torch.no_grad():
            logits = model(**features(clip.samples, sampling_rate=16_000, return_tensors="pt")).logits
        assert text == tokenizer.decode(logits.argmax(dim=-1)[0])
    assert any("<unk>" in text for text in texts)


def test_without_a_padding_token_the_blank_is_the_pad_token_id_of_the_configuration(tmp_path: Path) -> None:
    folder = write_ctc(tmp_path)
    tokens = {token: id_ for id_, token in enumerate(["ε", *TOKENS[1:]])}
    (folder / "vocab.json").write_text(json.dumps(tokens))
    (folder / "tokenizer_config.json").write_text('{"pad_token": "<pad>", "unk_token": "<unk>"}')
    texts = [heard.text for (heard,) in recognizer(folder).decode(CLIPS)]
    assert texts == [heard.text for (heard,) in recognizer(write_ctc(tmp_path / "with")).decode(CLIPS)]
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": 99}))
    with pytest.raises(ModelError, match="`pad_token_id` must be one of the 12 tokens of the CTC head, but is 99"):
        load_bundle(ModelOptions(str(folder)))


def test_beam_search_returns_texts_that_are_likelier_together_with_alternatives(tmp_path: Path) -> None:
    folder = write_ctc(tmp_path)
    (result,) = recognizer(folder, num_return=3).decode(CLIPS[:1])[0]
    assert len(result.alternatives) == 2 and result.avg_logprob < 0
    assert len({result.text, *(each.text for each in result.alternatives)}) == 3
    (narrow,) = recognizer(folder, strategy="beam", beam_size=2).decode(CLIPS[:1])[0]
    assert narrow.text and not narrow.alternatives


def test_hotwords_are_spelled_in_the_letters_of_the_vocabulary_and_steer_the_beams(tmp_path: Path) -> None:
    folder, words = write_ctc(tmp_path / "model"), tmp_path / "words.txt"
    words.write_text("bad\n")
    letters = [TOKENS.index(letter) for letter in "BAD"]
    tokenizer = load_bundle(ModelOptions(str(folder))).tokenizer
    assert read_hotwords(tokenizer, words) == (tuple(letters), (TOKENS.index("|"), *letters))
    plain = [heard.text for (heard,) in recognizer(folder, strategy="beam").decode(CLIPS)]
    for boost, same in ((0.0, True), (40.0, False)):
        steered = recognizer(folder, hotwords=str(words), hotword_boost=boost).decode(CLIPS)
        assert ([heard.text for (heard,) in steered] == plain) is same
    with pytest.raises(UsageError, match="`--hotwords` chooses among several texts"):
        recognizer(folder, strategy="greedy", hotwords=str(words))


def test_a_language_model_of_transformers_is_weighed_in_letter_by_letter(tmp_path: Path) -> None:
    folder = write_ctc(tmp_path / "model")
    torch.manual_seed(5)
    config = transformers.GPT2Config(
        vocab_size=len(TOKENS), n_embd=8, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2
    )
    lm = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in lm.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.5)
    lm.save_pretrained(tmp_path / "lm")

    def gains(text: Sequence[int]) -> tuple[float, dict[int, float]]:
        logprobs = (0.8 * lm(torch.tensor([[1, *text]])).logits[0, -1].log_softmax(dim=-1)).tolist()
        return logprobs[2], dict(enumerate(logprobs))

    plain, fused = (
        recognizer(folder, beam_size=3),
        recognizer(folder, beam_size=3, lm=str(tmp_path / "lm"), lm_weight=0.8),
    )
    model = transformers.AutoModelForCTC.from_pretrained(folder).eval()
    features = transformers.AutoFeatureExtractor.from_pretrained(folder)
    with torch.no_grad():
        logits = model(**features(CLIPS[1].samples, sampling_rate=16_000, return_tensors="pt")).logits[0]
        (best, _), *_ = prefix_beam_search(logits.log_softmax(dim=-1), beams=3, blank=0, bonuses=[gains])
    (heard,) = fused.decode(CLIPS[1:2])[0]
    assert heard.tokens == best != plain.decode(CLIPS[1:2])[0][0].tokens
    with pytest.raises(UsageError, match="`--lm` chooses among several texts"):
        recognizer(folder, strategy="greedy", lm=str(tmp_path / "lm"))
    with pytest.raises(UsageError, match="`--lm-weight` needs a language model"):
        recognizer(folder, lm_weight=0.8)


def test_a_language_model_over_another_vocabulary_is_refused(tmp_path: Path) -> None:
    folder = write_ctc(tmp_path / "model")
    config = transformers.GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "lm")
    with pytest.raises(UsageError, match="has 9 tokens, not 12"):
        recognizer(folder, lm=str(tmp_path / "lm"))


def test_word_times_do_not_change_the_text_and_lie_in_order_in_the_clip(tmp_path: Path) -> None:
    folder = write_ctc(tmp_path)
    plain = recognizer(folder).decode(CLIPS)
    timed = recognizer(folder, word_times=True).decode(CLIPS)
    assert [each[0]._replace(words=None) for each in timed] == [each[0] for each in plain]
    for clip, (each,) in zip(CLIPS, timed, strict=True):
        assert [word.word for word in each.words] == each.text.split()
        edges = [edge for word in each.words for edge in (word.start, word.end)]
        assert edges == sorted(edges) and edges[-1] <= len(clip.samples) / 16_000
        assert all(0 < word.probability <= 1 for word in each.words)


def test_silence_is_an_empty_text_in_the_language_that_the_user_names(tmp_path: Path) -> None:
    options = TranscribeOptions(ModelOptions(str(write_ctc(tmp_path))), language="German")
    opened = CtcRecognizer(load_bundle(options.model), options)
    ((silence,), (loud,)) = opened.decode([Clip(np.zeros(8000, dtype=np.float32)), CLIPS[0]])
    assert (silence.text, silence.language, loud.language) == ("", "de", "de")


def test_options_that_need_a_decoder_are_refused(tmp_path: Path) -> None:
    model = ModelOptions(str(write_ctc(tmp_path)))
    bundle = load_bundle(model)
    with pytest.raises(UsageError, match="Translation needs a decoder"):
        CtcRecognizer(bundle, TranslateOptions(model, targets=("es",)))
    for words, decoding in (
        ("greedy or beam", {"strategy": "sample"}),
        ("--length-penalty", {"length_penalty": 2.0}),
        ("--num-return", {"num_return": 3, "beam_size": 2}),
        ("--num-return", {"num_return": 3, "strategy": "greedy"}),
    ):
        with pytest.raises(UsageError, match=words):
            CtcRecognizer(bundle, TranscribeOptions(model, decoding=DecodingOptions(**decoding)))


def test_segmentation_can_be_chosen(tmp_path: Path) -> None:
    assert recognizer(write_ctc(tmp_path), vad="none", max_segment=5.0, batch_size=2).targets == 1


def test_subtitles_have_the_times_of_segments_and_timestamps_are_refused(tmp_path: Path) -> None:
    folder = write_ctc(tmp_path)
    assert recognizer(folder, timestamps="auto").targets == 1
    with pytest.raises(UsageError, match="`--timestamps` needs a decoder that predicts timestamps"):
        recognizer(folder, timestamps=True)


def test_a_ctc_model_is_described(tmp_path: Path) -> None:
    found = info(ModelOptions(str(write_ctc(tmp_path))))
    assert found.encoder["family"] == "wav2vec2" and found.missing == ()
    assert found.decoder == {"family": "none, a CTC head", "vocabulary": len(TOKENS)}


def test_a_missing_head_is_reported(tmp_path: Path) -> None:
    folder = write_ctc(tmp_path)
    transformers.AutoModel.from_pretrained(folder).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["Wav2Vec2ForCTC"]}))
    with pytest.raises(ModelError, match="must have a CTC head"):
        load_bundle(ModelOptions(str(folder)))


@pytest.mark.parametrize("shape", [(), (12,), (0, 16), (12, 16, 1)])
def test_a_head_that_is_not_a_matrix_is_reported(shape: tuple[int, ...], tmp_path: Path) -> None:
    folder = write_ctc(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"lm_head.weight": torch.zeros(shape)}, folder / "model.safetensors")
    with pytest.raises(ModelError, match="must have a CTC head"):
        load_bundle(ModelOptions(str(folder)))


@pytest.mark.parametrize("key", ["architectures", "model_type"])
@pytest.mark.parametrize("value", [5, True, [], [[]], {"a": 1}])
def test_a_configuration_without_a_model_type_is_refused(key: str, value: object, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["ForCTC"], "model_type": "hubert", key: value}))
    with pytest.raises(ModelError, match="must be a speech-encoder-decoder"):
        load_bundle(ModelOptions(str(tmp_path)))


def test_a_feature_extractor_that_is_not_an_object_is_refused(tmp_path: Path) -> None:
    folder = write_ctc(tmp_path)
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text('{"feature_extractor": "x"}')
    with pytest.raises(ModelError, match="`feature_extractor` in .* must be an object, but is 'x'"):
        load_bundle(ModelOptions(str(folder)))


def write_manifest(folder: Path) -> Path:
    """Two recordings with a transcript and a translation."""
    rows = ["audio\ttext\tlang\ttext_fr"]
    for name, clip in zip("ab", CLIPS, strict=False):
        soundfile.write(folder / f"{name}.wav", clip.samples, 16_000)
        rows.append(f"{name}.wav\tabc\ten\toui")
    path = folder / "test.tsv"
    path.write_text("\n".join([*rows, ""]))
    return path


def test_evaluation_scores_the_same_text_as_transcription(tmp_path: Path) -> None:
    model, seen = ModelOptions(str(write_ctc(tmp_path / "model")), device="cpu", dtype="float32"), []
    manifest = write_manifest(tmp_path)
    options = EvaluateOptions(model=model, manifests=(manifest,), hypotheses=tmp_path / "texts.jsonl")
    report = evaluate(options, progress=lambda *done: seen.append(done))
    assert [(score.name, score.utterances) for score in report.scores] == [("en->en", 2)]
    assert (report.losses, report.failures) == ({}, {}) and seen[-1] == (2, 2)
    texts = [json.loads(line)["hypothesis"] for line in (tmp_path / "texts.jsonl").read_text().splitlines()]
    clips = [Clip(read_audio(tmp_path / f"{name}.wav", sample_rate=16_000).samples) for name in "ab"]
    assert texts == [heard.text for (heard,) in recognizer(tmp_path / "model").decode(clips)] and any(texts)
    with pytest.raises(UsageError, match="Translation needs a decoder"):
        evaluate(replace(options, task="translate"))


def test_the_average_of_two_is_between_them_and_a_model_again(tmp_path: Path) -> None:
    first, second = write_ctc(tmp_path / "first"), write_ctc(tmp_path / "second")
    weights = load_file(second / "model.safetensors")
    save_file({key: 3 * tensor for key, tensor in weights.items()}, second / "model.safetensors", {"format": "pt"})
    average((first, second), tmp_path / "mean", dtype="bfloat16")
    mean = load_file(tmp_path / "mean" / "model.safetensors")
    for key, tensor in load_file(first / "model.safetensors").items():
        torch.testing.assert_close(mean[key], (2 * tensor).to(torch.bfloat16))
    assert load_bundle(ModelOptions(str(tmp_path / "mean"))).tokenizer.decode([3]) == load_bundle(
        ModelOptions(str(first))
    ).tokenizer.decode([3])
    assert transformers.AutoModelForCTC.from_pretrained(tmp_path / "mean").dtype == torch.bfloat16
