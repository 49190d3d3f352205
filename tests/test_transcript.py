import json
import math
from dataclasses import replace

from speechcli.transcript import Alternative, Segment, Transcript, Word

SEGMENT = Segment(0, 0.0, 1.23456, "hé", (5, 6), -0.123456, 1.0)


def test_json_has_exactly_the_keys_that_scripts_rely_on():
    value = Transcript("a.wav", "hé", "de", "es", 1.23456, (SEGMENT,), "m", {"task": "translate"}).to_dict()
    assert value == {
        "schema": 1,
        "path": "a.wav",
        "text": "hé",
        "language": "de",
        "target_language": "es",
        "duration": 1.235,
        "segments": [
            {
                "id": 0,
                "start": 0.0,
                "end": 1.235,
                "text": "hé",
                "tokens": [5, 6],
                "avg_logprob": -0.1235,
                "compression_ratio": 1.0,
            }
        ],
        "model": "m",
        "options": {"task": "translate"},
    }
    assert list(value)[:7] == ["schema", "path", "text", "language", "target_language", "duration", "segments"]


def test_words_and_alternatives_appear_only_where_there_are_any():
    segment = Segment(
        0, 0.0, 1.0, "a", words=(Word("a", 0.1234, 0.5, 0.98765),), alternatives=(Alternative("b", -1.0),)
    )
    value = segment.to_dict()
    assert value["words"] == [{"word": "a", "start": 0.123, "end": 0.5, "probability": 0.9877}]
    assert value["alternatives"] == [{"text": "b", "avg_logprob": -1.0}]
    assert "words" not in SEGMENT.to_dict() and "alternatives" not in SEGMENT.to_dict()


def test_infinite_log_probability_becomes_null():
    value = Segment(0, 0.0, 1.0, "", avg_logprob=-math.inf).to_dict()
    assert value["avg_logprob"] is None
    json.dumps(value, allow_nan=False)


def test_only_suspect_texts_are_marked():
    assert replace(SEGMENT, suspect=True).to_dict()["suspect"] is True
    assert "suspect" not in SEGMENT.to_dict()
