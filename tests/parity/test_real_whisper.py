"""Published Whisper weights, held against transformers on the samples.

They are not part of this repository. Put `WhisperForConditionalGeneration` folders (`openai/whisper-base`,
`openai/whisper-tiny.en`, …) somewhere and name them: SPEECHCLI_WHISPER=FOLDER or FOLDER:FOLDER.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from speechcli.audio.read import read_audio
from speechcli.checkpoints.bundle import Bundle, load
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.recognition.attention import AttentionRecognizer
from speechcli.pipelines.recognition.recognizer import Clip
from speechcli.pipelines.recognition.words import spell
from speechcli.pipelines.search.effective_options import decoder_prompts
from speechcli.pipelines.speech_options import TranscribeOptions, TranslateOptions
from tests.parity.reference import quiet
from tests.parity.whisper import token_times

FOLDERS = [Path(name) for name in os.environ.get("SPEECHCLI_WHISPER", "").split(":") if name]
RATE = 16_000
SAMPLES = Path(__file__).parents[2] / "samples"

pytestmark = pytest.mark.skipif(not FOLDERS, reason="SPEECHCLI_WHISPER names no folder with Whisper's weights")


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def models(request: pytest.FixtureRequest) -> tuple[Bundle, Any]:
    quiet()
    bundle = load(request.param)
    theirs = transformers.WhisperForConditionalGeneration.from_pretrained(request.param).eval()
    tokenizer = bundle.tokenizer
    assert tokenizer is not None
    told = {"is_multilingual": bool(tokenizer.tasks), "no_timestamps_token_id": tokenizer.no_timestamps_id}
    if tokenizer.tasks:
        told |= {"task_to_id": tokenizer.tasks}
        told |= {"lang_to_id": {f"<|{tag}|>": number for tag, number in tokenizer.languages.items()}}
    for name, value in told.items():
        setattr(theirs.generation_config, name, value)
    return bundle, theirs


def sounds() -> list[np.ndarray]:
    paths = sorted(path for path in SAMPLES.iterdir() if path.suffix in {".wav", ".flac", ".mp3"})
    return [read_audio(path, sample_rate=RATE).samples for path in paths]


def their_tokens(models: tuple[Bundle, Any], **options: Any) -> list[list[int]]:
    bundle, theirs = models
    extractor = transformers.WhisperFeatureExtractor(feature_size=theirs.config.num_mel_bins)
    features = extractor(sounds(), sampling_rate=RATE, return_tensors="pt")["input_features"]
    rows = theirs.generate(features, do_sample=False, max_new_tokens=60, **options).tolist()
    return [said(bundle, row) for row in rows]


def our_tokens(bundle: Bundle, options: TranscribeOptions | TranslateOptions) -> list[list[int]]:
    results = AttentionRecognizer(bundle, options).decode([Clip(sound) for sound in sounds()])
    return [said(bundle, result[0].tokens) for result in results]


def said(bundle: Bundle, tokens: Sequence[int]) -> list[int]:
    """Return the tokens of words and times, without those of language, task and end."""
    assert bundle.tokenizer is not None and bundle.tokenizer.no_timestamps_id is not None
    told = range(bundle.generation.eos_ids[0], bundle.tokenizer.no_timestamps_id + 1)
    return [token for token in tokens if token not in told]


@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize("beams", [1, 5])
def test_transcripts_languages_and_times_are_theirs(models: tuple[Bundle, Any], beams: int, times: bool) -> None:
    decoding = DecodingOptions(beam_size=beams, max_new_tokens=60, timestamps=times)
    # theirs omits the task if neither task nor language is given
    named = {"task": "transcribe"} if hasattr(models[1].generation_config, "task_to_id") else {}
    wanted = their_tokens(models, num_beams=beams, return_timestamps=times, **named)
    assert our_tokens(models[0], TranscribeOptions(decoding=decoding)) == wanted


def test_translations_are_theirs(models: tuple[Bundle, Any]) -> None:
    tokenizer = models[0].tokenizer
    if tokenizer is None or not tokenizer.tasks:
        pytest.skip("This Whisper only writes English.")
    options = TranslateOptions(targets=("en",), decoding=DecodingOptions(max_new_tokens=60))
    assert our_tokens(models[0], options) == their_tokens(models, num_beams=1, task="translate")


def test_word_starts_equal_those_of_transformers(models: tuple[Bundle, Any]) -> None:
    bundle, theirs = models
    assert bundle.tokenizer is not None
    theirs.set_attn_implementation("eager")
    # the heads that ours uses if the files name none, as the first files did
    layers = range(theirs.config.decoder_layers // 2, theirs.config.decoder_layers)
    heads = [[layer, head] for layer in layers for head in range(theirs.config.decoder_attention_heads)]
    clips = sounds()[:3]
    options = TranscribeOptions(decoding=DecodingOptions(word_times=True, max_new_tokens=60))
    recognizer = AttentionRecognizer(bundle, options)
    prompts = decoder_prompts(bundle.tokenizer, bundle.generation, ())
    for sound, (result,) in zip(clips, recognizer.decode([Clip(sound) for sound in clips]), strict=True):
        prompt = prompts.of("transcribe", spoken=result.language, target=None).ids
        tokens = [token for token in result.tokens if token not in bundle.generation.eos_ids]
        features = bundle.features([sound]).values.mT
        edges = token_times(theirs, features, list(prompt), tokens, heads, len(sound) // 160)
        wanted = [edges[word.places[0]] for word in spell(bundle.tokenizer.decode, tokens)]
        assert [word.start for word in result.words or ()] == pytest.approx(wanted, abs=0.021)
        assert wanted == sorted(wanted) and len(wanted) > 0


def test_features_are_theirs(models: tuple[Bundle, Any]) -> None:
    extractor = transformers.WhisperFeatureExtractor(feature_size=models[1].config.num_mel_bins)
    wanted = extractor(sounds(), sampling_rate=RATE, return_tensors="pt")["input_features"]
    torch.testing.assert_close(models[0].features(sounds()).values, wanted.transpose(1, 2), atol=1e-6, rtol=0)
