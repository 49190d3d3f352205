"""Times of words by attention: a whole Whisper, tiny and random, against transformers' `return_token_timestamps`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers.models.whisper.generation_whisper import _dynamic_time_warping

from speechcli.checkpoints.bundle import Bundle, load
from speechcli.decoding.alignment import align_by_attention, dynamic_time_warping
from speechcli.errors import ModelError
from speechcli.pipelines.recognition.attention import AttentionRecognizer
from speechcli.pipelines.recognition.recognizer import Clip
from speechcli.pipelines.recognition.word_times import make_word_timer
from speechcli.pipelines.search.write import Request
from speechcli.pipelines.speech_options import DecodingOptions, TranscribeOptions
from speechcli.text.prompts import Prompt
from tests.parity.whisper import ENGLISH, EOS, START, TIMESTAMPS, TRANSCRIBE, token_times

from .tiny_model import RATE, noise

HEADS = [[0, 1], [1, 3], [2, 0]]
TIMED = TranscribeOptions(language="en", decoding=DecodingOptions(word_times=True))


@pytest.fixture(scope="module")
def bundle(whisper_folder: Path) -> Bundle:
    found = load(whisper_folder)
    return replace(found, generation=replace(found.generation, extra={"alignment_heads": HEADS}))


@pytest.fixture(scope="module")
def reference(whisper_folder: Path) -> Any:
    return transformers.WhisperForConditionalGeneration.from_pretrained(
        whisper_folder, attn_implementation="eager"
    ).eval()


@pytest.mark.parametrize("seconds", [1.0, 0.72, 0.34])
@pytest.mark.parametrize("times", [False, True])
def test_word_times_equal_those_of_transformers(bundle: Bundle, reference: Any, seconds: float, times: bool) -> None:
    samples, tokens = noise(seconds, 1), [7, 8, 9, 30, 31, 12]
    prompt = [START, ENGLISH, TRANSCRIBE] if times else [START, ENGLISH, TRANSCRIBE, TRANSCRIBE + 1]
    said = [TIMESTAMPS[0], *tokens, TIMESTAMPS[9]] if times else tokens
    with torch.no_grad():
        encoded = bundle.model.encode(*bundle.features([noise(1.0, 5), samples]))
    timer = make_word_timer(bundle, TIMED, 1.0)
    assert timer is not None
    request = Request(1, Prompt(tuple(prompt), None, "en"), seconds)
    words = timer(encoded, request, [*said, EOS], [-0.1] * (len(said) + 1), spaced=False)
    assert words is not None and len(words) == len(tokens)
    told, rest = ([*prompt, TIMESTAMPS[0]], said[1:]) if times else (prompt, said)
    features = transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=1)(samples, sampling_rate=RATE)
    edges = token_times(reference, torch.tensor(features["input_features"]), told, rest, HEADS, len(samples) // 160)
    assert [word.start for word in words] == pytest.approx(edges[: len(tokens)], abs=1e-6)
    assert [word.end for word in words] == pytest.approx(edges[1 : len(tokens) + 1], abs=1e-6)


def test_times_of_words_do_not_change_the_text_and_lie_in_the_clip(bundle: Bundle) -> None:
    clips = [Clip(noise(seconds, seed)) for seed, seconds in enumerate((1.0, 0.4, 0.7))]
    plain = AttentionRecognizer(bundle, TranscribeOptions(language="en")).decode(clips)
    timed = AttentionRecognizer(bundle, TIMED).decode(clips)
    assert [each.tokens for (each,) in timed] == [each.tokens for (each,) in plain]
    for clip, (each,) in zip(clips, timed, strict=True):
        edges = [edge for word in each.words or () for edge in (word.start, word.end)]
        assert " ".join(word.word for word in each.words or ()) == each.text
        assert edges == sorted(edges) and max(edges, default=0.0) <= len(clip.samples) / RATE + 1e-6
    assert any(each.words for (each,) in timed)


def test_without_named_heads_those_of_the_later_layers_tell(whisper_folder: Path) -> None:
    (result,) = AttentionRecognizer(load(whisper_folder), TIMED).decode([Clip(noise(0.5, 1))])
    assert result[0].words


def test_heads_that_are_not_there_are_an_error(bundle: Bundle) -> None:
    wrong = replace(bundle, generation=replace(bundle.generation, extra={"alignment_heads": [[3, 0]]}))
    with pytest.raises(ModelError, match=r"must be pairs of a layer and a head, but is \[\[3, 0\]\]"):
        AttentionRecognizer(wrong, TIMED)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (4, 30), (12, 12), (30, 11)])
def test_the_cheapest_way_is_that_of_transformers(shape: tuple[int, int]) -> None:
    costs = np.random.default_rng(sum(shape)).standard_normal(shape)
    rows, columns = _dynamic_time_warping(costs)
    assert dynamic_time_warping(costs) == [int(columns[rows == row].min()) for row in range(shape[0])]


def test_of_equally_cheap_ways_the_one_of_transformers_is_taken() -> None:
    costs = np.random.default_rng(0).integers(0, 2, (8, 12)).astype(np.float64)
    rows, columns = _dynamic_time_warping(costs)
    assert dynamic_time_warping(costs) == [int(columns[rows == row].min()) for row in range(8)]


def test_the_alignment_of_one_token_starts_at_the_first_frame() -> None:
    assert align_by_attention(torch.rand(2, 1, 9)) == [0]
