"""A whole Whisper, tiny and random, from recordings to texts and in training."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import transformers

import speechcli
from speechcli.checkpoints.bundle import Bundle, load
from speechcli.data.manifest import Target, Utterance
from speechcli.errors import UsageError
from speechcli.pipelines.files.inputs import Source
from speechcli.pipelines.recognition import attention
from speechcli.pipelines.recognition.attention import AttentionRecognizer
from speechcli.pipelines.recognition.listen import Listener
from speechcli.pipelines.recognition.recognizer import Clip
from speechcli.pipelines.scoring import make_collate
from speechcli.pipelines.speech_options import DecodingOptions, TranscribeOptions, TranslateOptions
from speechcli.pipelines.train import train
from speechcli.training.merge import merge_options
from tests.parity.whisper import ENGLISH, EOS, GERMAN, START, SUPPRESSED, TIMESTAMPS, TRANSCRIBE

from .tiny_model import RATE, noise

CODES = {ENGLISH: "en", GERMAN: "de"}
NO_TIMES = DecodingOptions(generation_set=(f"suppress_tokens={[*SUPPRESSED, *TIMESTAMPS]}",))


CLIPS = [noise(seconds, seed) for seed, seconds in enumerate((1.0, 0.4, 0.7, 0.1))]


@pytest.fixture(scope="module")
def bundle(whisper_folder: Path) -> Bundle:
    return load(whisper_folder)


@pytest.fixture(scope="module")
def reference(whisper_folder: Path) -> Any:
    return transformers.WhisperForConditionalGeneration.from_pretrained(whisper_folder).eval()


def their_features(clips: list[np.ndarray]) -> torch.Tensor:
    extractor = transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=1)
    return extractor(clips, sampling_rate=RATE, return_tensors="pt")["input_features"]


def test_the_detected_language_and_the_text_are_those_of_transformers(bundle: Bundle, reference: Any) -> None:
    results = AttentionRecognizer(bundle, TranscribeOptions(decoding=NO_TIMES)).decode([Clip(clip) for clip in CLIPS])
    features = their_features(CLIPS)
    heard = [CODES[number] for number in reference.detect_language(features).tolist()]
    assert [result[0].language for result in results] == [result[0].target_language for result in results] == heard
    rows = reference.generate(features, task="transcribe", suppress_tokens=[*SUPPRESSED, *TIMESTAMPS]).tolist()
    theirs = [[token for token in row if token != EOS] for row in rows]
    assert [[token for token in result[0].tokens if token != EOS] for result in results] == theirs


def test_the_users_language_and_task_are_in_the_prompt(bundle: Bundle, reference: Any) -> None:
    features = their_features(CLIPS)
    for options, told in (
        (TranscribeOptions(decoding=NO_TIMES, language="German"), {"language": "de", "task": "transcribe"}),
        (TranslateOptions(decoding=NO_TIMES, language="de"), {"language": "de", "task": "translate"}),
    ):
        (result,) = zip(*AttentionRecognizer(bundle, options).decode([Clip(clip) for clip in CLIPS]), strict=True)
        rows = reference.generate(features, suppress_tokens=[*SUPPRESSED, *TIMESTAMPS], **told).tolist()
        theirs = [[token for token in row if token != EOS] for row in rows]
        assert [[token for token in each.tokens if token != EOS] for each in result] == theirs
        assert {each.language for each in result} == {"de"}


@pytest.mark.parametrize(
    "told", [{"language": "de", "task": "translate"}, {"language": "<|en|>"}, {"task": "transcribe"}]
)
def test_in_python_generate_takes_the_language_and_the_task(
    whisper_folder: Path, reference: Any, told: dict[str, str]
) -> None:
    ours, banned = speechcli.SpeechEncoderDecoderModel.from_pretrained(whisper_folder), [*SUPPRESSED, *TIMESTAMPS]
    rows = ours.generate(input_features=their_features(CLIPS), suppress_tokens=banned, **told).tolist()
    wanted = reference.generate(their_features(CLIPS), suppress_tokens=banned, **told).tolist()
    assert [[id_ for id_ in row[4:] if id_ != EOS] for row in rows] == [
        [id_ for id_ in row if id_ != EOS] for row in wanted
    ]
    assert {row[2] for row in rows} == {TRANSCRIBE if told.get("task") != "translate" else TRANSCRIBE - 1}
    with pytest.raises(UsageError, match="must be transcribe or translate, but is 'write'"):
        ours.generate(input_features=their_features(CLIPS), task="write")


def test_in_python_the_extractor_and_the_model_speak_of_mels_and_frames_as_transformers_does(
    whisper_folder: Path, reference: Any
) -> None:
    extractor = speechcli.AutoFeatureExtractor.from_pretrained(whisper_folder)
    batch = extractor(CLIPS, sampling_rate=RATE, return_tensors="pt", padding="max_length")
    torch.testing.assert_close(batch.input_features, their_features(CLIPS), atol=1e-5, rtol=0)
    ids = torch.tensor([[START, GERMAN, TRANSCRIBE]] * len(CLIPS))
    ours = speechcli.SpeechEncoderDecoderModel.from_pretrained(whisper_folder)(**batch, decoder_input_ids=ids).logits
    torch.testing.assert_close(ours, reference(**batch, decoder_input_ids=ids).logits, atol=1e-4, rtol=0)
    with pytest.raises(UsageError, match="`padding` must be True, False or 'max_length', but is 'longest'"):
        extractor(CLIPS, padding="longest")


def test_the_silence_after_a_recording_is_read_even_if_the_extractor_counts_frames(
    whisper_folder: Path, reference: Any, tmp_path: Path
) -> None:
    shutil.copytree(whisper_folder, tmp_path, dirs_exist_ok=True)
    extractor = transformers.WhisperFeatureExtractor.from_pretrained(whisper_folder, return_attention_mask=True)
    extractor.save_pretrained(tmp_path)
    batch = extractor(CLIPS, sampling_rate=RATE, return_tensors="pt")
    ids = torch.tensor([[START, GERMAN, TRANSCRIBE]] * len(CLIPS))
    ours = speechcli.SpeechEncoderDecoderModel.from_pretrained(tmp_path)(**batch, decoder_input_ids=ids).logits
    torch.testing.assert_close(ours, reference(**batch, decoder_input_ids=ids).logits, atol=1e-4, rtol=0)
    told = DecodingOptions(generation_set=NO_TIMES.generation_set, max_new_tokens=8)
    options, clips = TranscribeOptions(decoding=told, language="de"), [Clip(clip) for clip in CLIPS]
    found = [AttentionRecognizer(load(place), options).decode(clips) for place in (tmp_path, whisper_folder)]
    assert found[0] == found[1]


def test_a_transcript_has_a_segment_for_each_phrase_that_has_times(bundle: Bundle, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", CLIPS[2], RATE)
    options = TranscribeOptions(language="en", decoding=DecodingOptions(timestamps=True))
    listener = Listener(AttentionRecognizer(bundle, options), options)
    (outcome,) = listener.listen([Source(tmp_path / "a.wav", "a.wav", Path("a.wav"))])
    (transcript,) = outcome.transcripts
    segments = transcript.segments
    assert len(segments) > 1
    assert all(0.0 <= segment.start <= segment.end <= 0.7 for segment in segments)
    assert [segment.start for segment in segments] == sorted(segment.start for segment in segments)
    assert transcript.text == " ".join(segment.text for segment in segments)


def test_the_probability_of_silence_is_that_of_the_first_token_after_the_start(
    bundle: Bundle, reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle.tokenizer, "silence_id", 7)
    results = AttentionRecognizer(bundle, TranscribeOptions(language="en")).decode([Clip(clip) for clip in CLIPS])
    with torch.no_grad():
        logits = reference(their_features(CLIPS), decoder_input_ids=torch.full((len(CLIPS), 1), START)).logits
    wanted = logits[:, 0].softmax(dim=-1)[:, 7].tolist()
    assert [result[0].no_speech_prob for result in results] == pytest.approx(wanted, abs=1e-5)
    assert all(result[0].tokens for result in results)


def test_an_unsure_text_of_a_clip_without_speech_is_dropped(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bundle.tokenizer, "silence_id", 7)
    sure = torch.zeros(1, 118).index_fill(1, torch.tensor([7]), 50.0)
    monkeypatch.setattr(attention, "logits_at_start", lambda *_: sure)
    soundfile.write(tmp_path / "a.wav", CLIPS[2], RATE)
    options = TranscribeOptions(language="en", decoding=DecodingOptions(timestamps=True))
    listener = Listener(AttentionRecognizer(bundle, options), options)
    (outcome,) = listener.listen([Source(tmp_path / "a.wav", "a.wav", Path("a.wav"))])
    (transcript,) = outcome.transcripts
    assert transcript.text == "" and transcript.language == "en"
    (segment,) = transcript.to_dict()["segments"]
    assert (segment["text"], segment["tokens"], segment["no_speech_prob"]) == ("", [], 1.0)


def test_other_languages_than_english_are_no_targets(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="translates into English only, but the target language is `de`"):
        AttentionRecognizer(bundle, TranslateOptions(targets=("de",)))


def test_labels_are_those_of_the_reference_recipe(bundle: Bundle) -> None:
    collate = make_collate(bundle, ctc=False, read=lambda utterance: CLIPS[0])
    utterance = Utterance(id="1", audio=Path("1.wav"), seconds=1.0, language="de", targets=(Target("ab", "de"),))
    batch = collate([utterance])
    tokenizer = bundle.tokenizer
    assert tokenizer is not None
    text = tokenizer.encode("ab")
    # the tokenizer there writes start, language, task, no times, text, end; the collator takes the start off
    assert batch.labels.tolist() == [[GERMAN, TRANSCRIBE, TRANSCRIBE + 1, *text, EOS]]
    assert batch.decoder_input_ids.tolist() == [[START, GERMAN, TRANSCRIBE, TRANSCRIBE + 1, *text]]
    with pytest.raises(UsageError, match="must be given the spoken language"):
        collate.check_languages([Utterance(id="2", audio=Path("2"), seconds=1.0, targets=(Target("ab", None),))])


def test_whisper_can_be_fine_tuned_and_transformers_loads_the_result(whisper_folder: Path, tmp_path: Path) -> None:
    lines = ["path\tlanguage\ttext"]
    for number, clip in enumerate(CLIPS[:3]):
        soundfile.write(tmp_path / f"{number}.wav", clip, RATE)
        lines.append(f"{number}.wav\tde\tabab")
    (tmp_path / "train.tsv").write_text("\n".join(lines) + "\n")
    values = {
        "model.path": str(whisper_folder),
        "data.train": str(tmp_path / "train.tsv"),
        "data.dev": str(tmp_path / "train.tsv"),
        "data.min_seconds": 0.1,
        "batch.workers": 0,
        "objective.ctc_weight": 0.0,
        "run.max_steps": 2,
        "run.eval_every": 2,
        "run.device": "cpu",
        "run.dtype": "float32",
    }
    result = train(merge_options(explicit=values), tmp_path / "run", report=lambda event: None)
    _, told = transformers.WhisperForConditionalGeneration.from_pretrained(result.last, output_loading_info=True)
    assert not told["missing_keys"] and not told["unexpected_keys"]
    config = json.loads((result.last / "config.json").read_text())
    assert config == json.loads((whisper_folder / "config.json").read_text())
    before, after = load(whisper_folder).model.state_dict(), load(result.last).model.state_dict()
    assert torch.equal(before["encoder.positions.weight"], after["encoder.positions.weight"])  # they do not learn
    assert not torch.equal(before["decoder.tokens.weight"], after["decoder.tokens.weight"])


def test_it_can_be_taught_to_translate_into_other_languages(whisper_folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "0.wav", CLIPS[0], RATE)
    (tmp_path / "train.tsv").write_text("path\tsrc_lang\tsrc_text\ttext_de\n0.wav\tmdw\tbaba\tabab\n")
    values = {
        "model.path": str(whisper_folder),
        "data.train": str(tmp_path / "train.tsv"),
        "data.tasks": ["translate"],
        "batch.workers": 0,
        "run.max_steps": 1,
        "run.device": "cpu",
        "run.dtype": "float32",
    }
    result = train(merge_options(explicit=values), tmp_path / "run", report=lambda event: None)
    (result_of_german,) = AttentionRecognizer(load(result.last), TranslateOptions(targets=("de",))).decode(
        [Clip(CLIPS[0])]
    )
    assert result_of_german[0].target_language == "de"
    with pytest.raises(UsageError, match="must be one that the model knows, but is `fr`"):
        AttentionRecognizer(load(result.last), TranslateOptions(targets=("fr",)))


def test_a_clip_costs_a_whole_window(bundle: Bundle) -> None:
    assert AttentionRecognizer(bundle, TranscribeOptions()).padded(100) == RATE


@pytest.mark.parametrize("timestamps", [False, True])
def test_a_translation_memory_favors_its_texts_with_and_without_timestamps(
    bundle: Bundle, tmp_path: Path, timestamps: bool
) -> None:
    (heard,) = AttentionRecognizer(bundle, TranscribeOptions(language="de", decoding=NO_TIMES)).decode([Clip(CLIPS[2])])
    assert heard[0].text
    memory = tmp_path / "memory.tsv"
    memory.write_text(f"src_lang\tsrc_text\ttext_en\nde\t{heard[0].text}\tabba\n", encoding="utf-8")
    decoding = DecodingOptions(
        strategy="beam", beam_size=3, memory=str(memory), memory_weight=0.99, timestamps=timestamps,
        generation_set=() if timestamps else NO_TIMES.generation_set,
    )  # fmt: skip
    options = TranslateOptions(language="de", decoding=decoding)
    (found,) = AttentionRecognizer(bundle, options).decode([Clip(CLIPS[2])])
    assert "abba" in found[0].text
