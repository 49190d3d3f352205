import pytest

from speechcli.pipelines.recognition.suspicion import compression_ratio, is_silence, is_suspect, loops


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([7] * 12, True),
        ([7] * 11, False),
        ([1, 2, 3] * 4, True),
        ([1, 2, 3] * 3 + [1, 2], False),
        ([9, 9, 1, 2, 3, 4, *[5, 6, 7, 8, 9] * 4, 1], True),
        ([*range(40)], False),
        ([], False),
        ([5, 5, 6] * 3, False),
    ],
)
def test_a_loop_is_the_same_four_times_in_a_row_and_twelve_tokens(tokens, expected):
    assert loops(tokens) is expected


def test_a_text_that_shrinks_much_is_suspect():
    text = "you know what I mean, " * 9
    assert compression_ratio(text) > 2.4 and is_suspect(text, [1, 2, 3])
    assert not is_suspect("please hold the line while I try to connect you", [1, 2, 3])
    assert compression_ratio("") == 0.0


@pytest.mark.parametrize(
    ("no_speech", "avg_logprob", "expected"),
    [(0.7, -1.1, True), (0.5, -1.1, False), (0.7, -0.9, False), (None, -5.0, False)],
)
def test_a_text_counts_as_silence_if_both_probabilities_say_so(no_speech, avg_logprob, expected):
    assert is_silence(no_speech, avg_logprob) is expected
