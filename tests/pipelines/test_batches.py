from hypothesis import given
from hypothesis import strategies as st

from speechcli.pipelines.recognition.batches import batches


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 200), st.integers(1, 8))
def test_every_clip_is_in_one_batch_within_the_limits(lengths, max_padded, max_items):
    groups = batches(lengths, max_padded=max_padded, max_items=max_items)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        longest = max(lengths[index] for index in group)
        assert len(group) == 1 or (longest * len(group) <= max_padded and len(group) <= max_items)


def test_longest_clips_come_first_and_equal_ones_keep_their_order():
    assert batches([1, 3, 2, 3], max_padded=6, max_items=9) == [[1, 3], [2, 0]]


def test_a_clip_longer_than_the_limit_is_alone():
    assert batches([9, 1], max_padded=4, max_items=9) == [[0], [1]]
