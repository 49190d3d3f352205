from dataclasses import replace

import numpy as np
import pytest
import torch

from speechcli.decoding.hypothesis import Hypothesis
from speechcli.errors import ModelError, UsageError
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.recognition.attention import AttentionRecognizer
from speechcli.pipelines.recognition.recognizer import Clip
from speechcli.pipelines.search.write import TextWriter
from speechcli.pipelines.speech_options import InputOptions, ModelOptions, TranscribeOptions, TranslateOptions

from .tiny_model import RATE, make_bundle, tone

CLIPS = [Clip(tone(seconds, pitch)) for seconds, pitch in ((0.5, 200.0), (0.8, 900.0), (0.63, 400.0))]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("tokenizer"))


def test_text_is_the_same_alone_and_in_a_batch(bundle):
    recognizer = AttentionRecognizer(bundle, TranscribeOptions(decoding=DecodingOptions(beam_size=3)))
    together = recognizer.decode(CLIPS)
    alone = [recognizer.decode([clip])[0] for clip in CLIPS]
    assert [[each.tokens for each in result] for result in together] == [
        [each.tokens for each in result] for result in alone
    ]
    assert len({result[0].tokens for result in together}) > 1


def test_several_targets_come_from_one_pass_of_the_encoder(bundle, monkeypatch):
    passes = []
    encode = bundle.model.encode
    monkeypatch.setattr(bundle.model, "encode", lambda *given: passes.append(1) or encode(*given))
    recognizer = AttentionRecognizer(bundle, TranslateOptions(targets=("es", "German")))
    results = recognizer.decode(CLIPS)
    assert passes == [1]
    tags = bundle.tokenizer.languages
    for result in results:
        assert [each.target_language for each in result] == ["es", "de"]
        assert [each.tokens[0] for each in result] == [tags["es_XX"], tags["de_DE"]]
    single = AttentionRecognizer(bundle, TranslateOptions(targets=("de",))).decode(CLIPS)
    assert [result[0].tokens for result in single] == [result[1].tokens for result in results]


def test_the_ctc_head_detects_the_spoken_language(bundle):
    head = bundle.model.ctc_head
    tags = bundle.tokenizer.languages
    before = head.bias.detach().clone()
    with torch.no_grad():
        head.bias[tags["en_XX"]] = 50.0
    try:
        (result,) = AttentionRecognizer(bundle, TranscribeOptions()).decode(CLIPS[:1])
        (forced,) = AttentionRecognizer(bundle, TranscribeOptions(language="Spanish")).decode(CLIPS[:1])
        (hinted,) = AttentionRecognizer(bundle, TranscribeOptions()).decode([CLIPS[0]._replace(language="de")])
        (translated,) = AttentionRecognizer(bundle, TranslateOptions(targets=("es",))).decode(CLIPS[:1])
    finally:
        with torch.no_grad():
            head.bias.copy_(before)
    assert (result[0].language, result[0].target_language, result[0].tokens[0]) == ("en", "en", tags["en_XX"])
    assert (forced[0].language, forced[0].tokens[0]) == ("es", tags["es_XX"])
    assert (hinted[0].language, hinted[0].tokens[0]) == ("de", tags["de_DE"])
    assert (translated[0].language, translated[0].target_language) == ("en", "es")


def test_without_a_ctc_head_the_default_first_token_of_the_model_is_used(tmp_path):
    plain = make_bundle(tmp_path, ctc=False, forced_bos_token_id=22)
    (result,) = AttentionRecognizer(plain, TranscribeOptions()).decode(CLIPS[:1])
    code = {number: tag for tag, number in plain.tokenizer.languages.items()}[22][:2]
    assert (result[0].tokens[0], result[0].language, result[0].target_language) == (22, code, code)


def test_a_model_without_tags_has_unknown_languages(tmp_path):
    plain = make_bundle(tmp_path, languages=(), ctc=False)
    (result,) = AttentionRecognizer(plain, TranscribeOptions()).decode(CLIPS[:1])
    assert (result[0].language, result[0].target_language) == (None, None)
    with pytest.raises(UsageError):
        AttentionRecognizer(plain, TranslateOptions(targets=("es",)))


def test_digital_silence_is_an_empty_text(bundle):
    recognizer = AttentionRecognizer(bundle, TranslateOptions(targets=("es", "de")))
    silence, loud, empty = recognizer.decode(
        [Clip(np.zeros(8000, dtype=np.float32)), CLIPS[0], Clip(np.zeros(0, dtype=np.float32))]
    )
    assert [(each.text, each.tokens, each.target_language) for each in silence] == [("", (), "es"), ("", (), "de")]
    assert silence == empty and silence[0].compression_ratio == 0.0
    assert loud[0].tokens


def test_alternatives_are_the_further_texts(bundle):
    options = TranscribeOptions(decoding=DecodingOptions(strategy="beam", beam_size=3, num_return=3))
    (result,) = AttentionRecognizer(bundle, options).decode(CLIPS[:1])
    assert len(result[0].alternatives) == 2
    assert result[0].avg_logprob < 0


def test_length_is_in_proportion_to_the_audio_and_within_the_positions(tmp_path):
    free = make_bundle(tmp_path, max_length=None, eos_token_id=None)
    results = AttentionRecognizer(free, TranscribeOptions()).decode(CLIPS[:1])
    assert len(results[0][0].tokens) == 59  # 60 positions, one for the start


def test_sampling_depends_on_the_seed(bundle):
    def sampled(seed):
        options = TranscribeOptions(model=ModelOptions(seed=seed), decoding=DecodingOptions(strategy="sample"))
        return [result[0].tokens for result in AttentionRecognizer(bundle, options).decode(CLIPS)]

    assert sampled(1) == sampled(1) != sampled(2)


def test_models_trained_without_a_mask_get_no_lengths(tmp_path, monkeypatch):
    plain = make_bundle(tmp_path, mask=False)
    recognizer = AttentionRecognizer(plain, TranscribeOptions())
    lengths = []
    encode = plain.model.encode
    monkeypatch.setattr(plain.model, "encode", lambda values, given: lengths.append(given) or encode(values, given))
    recognizer.decode([CLIPS[0], CLIPS[1], CLIPS[0]])
    assert lengths == [None, None]  # those of equal length share a pass


def test_loudness_can_be_left_as_it_is(bundle):
    asked = AttentionRecognizer(bundle, TranscribeOptions(inputs=InputOptions(normalize="none")))
    quiet = [Clip(clip.samples * 0.01) for clip in CLIPS]
    usual = AttentionRecognizer(bundle, TranscribeOptions())
    assert [r[0].tokens for r in usual.decode(quiet)] == [r[0].tokens for r in usual.decode(CLIPS)]
    assert asked.decode(quiet)[0][0].avg_logprob != asked.decode(CLIPS)[0][0].avg_logprob


def test_a_model_without_a_tokenizer_cannot_write(bundle):
    with pytest.raises(ModelError, match="must have a tokenizer"):
        AttentionRecognizer(replace(bundle, tokenizer=None), TranscribeOptions())


def test_times_of_words_do_not_change_the_text(bundle):
    options = TranscribeOptions(language="de", decoding=DecodingOptions(word_times=True))
    plain = AttentionRecognizer(bundle, TranscribeOptions(language="de")).decode(CLIPS)
    timed = AttentionRecognizer(bundle, options).decode(CLIPS)
    assert [each[0]._replace(words=None) for each in timed] == [each[0] for each in plain]
    assert any(each[0].words for each in timed)
    for clip, (each,) in zip(CLIPS, timed, strict=True):
        edges = [edge for word in each.words or () for edge in (word.start, word.end)]
        assert edges == sorted(edges) and max(edges, default=0) <= len(clip.samples) / RATE


def test_only_transcripts_of_a_model_with_a_ctc_head_have_word_times(bundle, tmp_path):
    timed = DecodingOptions(word_times=True)
    with pytest.raises(UsageError, match="needs a model with a CTC head"):
        AttentionRecognizer(make_bundle(tmp_path, ctc=False), TranscribeOptions(decoding=timed))
    with pytest.raises(UsageError, match="not for translations"):
        AttentionRecognizer(bundle, TranslateOptions(targets=("es",), decoding=timed))


def test_a_vocabulary_without_times_cannot_say_them(bundle):
    with pytest.raises(UsageError, match="`--timestamps` needs a decoder that predicts timestamps"):
        AttentionRecognizer(bundle, TranscribeOptions(decoding=DecodingOptions(timestamps=True)))
    AttentionRecognizer(bundle, TranscribeOptions(decoding=DecodingOptions(timestamps="auto")))


def test_drawn_texts_do_not_depend_on_earlier_batches(bundle):
    recognizer = AttentionRecognizer(bundle, TranscribeOptions(decoding=DecodingOptions(strategy="sample")))
    assert recognizer.decode(CLIPS) == recognizer.decode(CLIPS)


def test_a_text_that_repeats_itself_is_searched_again_with_beams_and_then_by_chance(bundle, monkeypatch):
    searches = []

    def write(writer, encoded, requests, options=None):
        options = options or writer.options
        searches.append((len(requests), options.num_beams, options.do_sample, options.temperature))
        loop, fine = Hypothesis((5,) * 20, -1.0, (-0.1,) * 20), Hypothesis((5, 6, 2), -1.0, (-0.1,) * 3)
        if len(requests) > 1:
            return [[loop], [fine], [loop]]
        return [[fine if requests[0].row == 0 or options.temperature == 0.6 else loop]]

    monkeypatch.setattr(TextWriter, "write", write)
    greedy = DecodingOptions(strategy="greedy")
    plain = AttentionRecognizer(bundle, TranscribeOptions(decoding=greedy)).decode(CLIPS)
    assert [each[0].suspect for each in plain] == [True, False, True] and searches == [(3, 1, False, 1.0)]
    options = TranscribeOptions(decoding=replace(greedy, retry_repeats=True))
    again = AttentionRecognizer(bundle, options).decode(CLIPS)
    assert [each[0].suspect for each in again] == [False, False, False]
    beams = [(3, 1, False, 1.0), (1, 5, False, 1.0), (1, 5, False, 1.0)]
    assert searches[1:] == [*beams, (1, 1, True, 0.2), (1, 1, True, 0.4), (1, 1, True, 0.6)]
