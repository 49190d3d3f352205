import pytest

from speechcli.pipelines.recognition.phrases import cut_at_times


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([100, 1, 2, 150], [(0.0, 1.0, (1, 2))]),
        ([100, 1, 150, 150, 2, 200, 9], [(0.0, 1.0, (1,)), (1.0, 2.0, (2,)), (2.0, 3.0, (9,))]),
        ([110, 1, 150, 175, 2], [(0.2, 1.0, (1,)), (1.5, 3.0, (2,))]),
        ([1, 2], [(0.0, 3.0, (1, 2))]),
        ([100, 1, 900], [(0.0, 3.0, (1,))]),
        ([200, 1, 150], [(2.0, 2.0, (1,))]),
        ([100, 150], []),
        ([], []),
    ],
    ids=["one", "end and start", "pause", "no times", "beyond the clip", "backwards", "no text", "nothing"],
)
def test_phrases_lie_between_times(tokens, expected):
    found = list(cut_at_times(tokens, 100, 3.0))
    assert [(round(start, 6), round(end, 6), said) for start, end, said in found] == expected
