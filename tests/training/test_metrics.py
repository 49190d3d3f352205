import pytest

from speechcli.training.metrics import Pair, error_rate, mean_quality, score_pairs


def test_word_errors_where_the_spoken_language_is_written_and_bleu_elsewhere():
    scores = score_pairs(
        [
            Pair("1", "en", "en_XX", "Hello, world!", "hello word"),
            Pair("1", "en", "es_XX", "hola mundo cruel y frío", "hola mundo cruel y frío"),
            Pair("2", "en", None, "yes", "yes"),
        ]
    )
    assert [score.name for score in scores] == ["en->en", "en->es"]
    assert scores[0].utterances == 2
    assert scores[0].values["wer"] == pytest.approx(100 / 3)
    assert scores[1].values == {"bleu": pytest.approx(100.0), "chrf": pytest.approx(100.0), "exact_match": 100.0}
    assert "tok:13a" in scores[1].signature and "version:" in scores[1].signature
    assert scores[0].signature.startswith("jiwer|norm:")
    assert mean_quality(scores) == pytest.approx((200 / 3 + 100) / 2)


def test_texts_that_are_right_as_a_whole_are_counted_however_they_are_spelled():
    said = {"Go back!": "go back", "left": "left", "right": "light"}
    pairs = [Pair(text, "ar", written, text, heard) for written in ("ar", "en") for text, heard in said.items()]
    for score in score_pairs(pairs):
        assert score.values["exact_match"] == pytest.approx(200 / 3)


def test_translations_may_be_scored_without_case_and_punctuation():
    pairs = [Pair("1", "mdw", "fr", "Le chat, qu'il a vu, dort ici !", "le chat qu'il a vu dort ici")]
    (cased,), (uncased,) = score_pairs(pairs), score_pairs(pairs, uncased=True)
    assert cased.values["bleu"] < 50 and cased.values["chrf"] < 100
    assert uncased.values["bleu"] == pytest.approx(100.0) and uncased.values["chrf"] == 100.0
    assert uncased.signature.startswith("without punctuation: bleu nrefs:1|case:lc|")
    assert "case:mixed" in cased.signature


def test_languages_without_spaces_are_scored_by_characters():
    (score,) = score_pairs([Pair("1", "zh", "zh_CN", "你好世界", "你好世")])
    assert score.quality == pytest.approx(75.0)
    (score,) = score_pairs([Pair("1", "en", "zh_CN", "你好世界", "你好世界")])
    assert "tok:zh" in score.signature


def test_insertions_count_for_an_empty_reference():
    assert error_rate(["a b", ""], ["a b", "x"]) == 50.0
    assert error_rate(["a b"], [""]) == 100.0
