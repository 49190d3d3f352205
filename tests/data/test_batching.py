from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechcli.data.batching import DurationBatches, balanced_weights
from speechcli.data.manifest import Utterance
from speechcli.data.neighbors import find_joinable
from speechcli.errors import InputError, UsageError
from speechcli.training.train_options import BatchSection

LIMIT = 20.0

lengths = st.lists(st.floats(0.01, LIMIT), min_size=1, max_size=40)
laws = settings(max_examples=40, deadline=None)


def utterances(seconds: list[float]) -> list[Utterance]:
    return [Utterance(id=str(i), audio=Path(f"{i}.wav"), seconds=s) for i, s in enumerate(seconds)]


def batches(seconds: list[float], **options: Any) -> DurationBatches:
    return DurationBatches(utterances(seconds), **({"max_seconds": LIMIT, "buckets": 4} | options))


def ids(epoch: list[list[Utterance]]) -> list[list[int]]:
    return [[int(utterance.id) for utterance in batch] for batch in epoch]


@laws
@given(lengths, st.integers(0, 5), st.booleans(), st.integers(1, 9))
def test_every_utterance_occurs_exactly_once_per_epoch(
    seconds: list[float], seed: int, shuffle: bool, buckets: int
) -> None:
    source = batches(seconds, seed=seed, shuffle=shuffle, buckets=buckets, longest_first=True)
    for _ in range(2):
        assert sorted(i for batch in ids(list(source)) for i in batch) == list(range(len(seconds)))


@laws
@given(lengths, st.integers(1, 5), st.booleans())
def test_no_batch_is_larger_than_its_limits(seconds: list[float], max_items: int, weighted: bool) -> None:
    weights = [1.0 + i for i in range(len(seconds))] if weighted else None
    for batch in batches(seconds, max_items=max_items, weights=weights):
        assert 1 <= len(batch) <= max_items
        assert len(batch) * max(utterance.seconds for utterance in batch) <= LIMIT


@laws
@given(lengths, st.integers(0, 60), st.integers(1, 3))
def test_a_resumed_run_equals_a_straight_one(seconds: list[float], stop: int, world_size: int) -> None:
    options = {"seed": 3, "world_size": world_size, "rank": world_size - 1}
    straight = batches(seconds, **options)
    expected = [batch for _ in range(3) for batch in ids(list(straight))]
    begun = batches(seconds, **options)
    taken: list[list[int]] = []
    while len(taken) < min(stop, len(expected)):
        for batch in begun:
            taken += ids([batch])
            if len(taken) >= stop:
                break
    resumed = batches(seconds, **options)
    resumed.load_state_dict(begun.state_dict())
    while len(taken) < len(expected):
        taken += ids(list(resumed))
    assert taken[: len(expected)] == expected


@laws
@given(lengths, st.integers(2, 4))
def test_ranks_share_an_epoch_in_equal_numbers_of_batches(seconds: list[float], world_size: int) -> None:
    shards = [ids(list(batches(seconds, rank=rank, world_size=world_size))) for rank in range(world_size)]
    assert len({len(shard) for shard in shards}) == 1
    given_out = [batch for shard in shards for batch in shard]
    counts = Counter(i for batch in given_out for i in batch)
    assert set(counts) == set(range(len(seconds)))
    # Only batches of one cannot be halved, and so may have to be repeated.
    if counts.total() > len(seconds):
        assert {len(batch) for batch in given_out} == {1}
        assert counts.total() - len(seconds) < world_size


@laws
@given(lengths, st.integers(0, 3))
def test_weights_draw_each_utterance_as_often_as_it_is_due(seconds: list[float], seed: int) -> None:
    weights = [float(i % 3) for i in range(len(seconds))]
    if sum(weights) == 0:
        weights = [1.0] * len(seconds)
    drawn = Counter(i for batch in ids(list(batches(seconds, weights=weights, seed=seed))) for i in batch)
    assert drawn.total() == len(seconds)
    for i, weight in enumerate(weights):
        due = len(seconds) * weight / sum(weights)
        assert due - 1 - 1e-6 < drawn[i] < due + 1 + 1e-6
        if weight == 0:
            assert drawn[i] == 0


@laws
@given(lengths, st.floats(0.1, 1.0), st.integers(0, 3), st.integers(1, 2))
def test_concatenated_neighbors_are_drawn_as_often_as_single_ones(
    seconds: list[float], probability: float, seed: int, world_size: int
) -> None:
    alone = utterances(seconds)
    options = {"joinable": find_joinable(alone, max_seconds=LIMIT), "join_probability": probability, "seed": seed}
    heard: Counter[str] = Counter()
    for batch in DurationBatches(alone, max_seconds=LIMIT, buckets=4, **options):
        assert len(batch) * max(utterance.seconds for utterance in batch) <= LIMIT
        for utterance in batch:
            heard.update(part.id for part in utterance.parts or (utterance,))
    assert heard == Counter(utterance.id for utterance in alone)


def test_approximately_the_requested_share_is_joined_and_it_differs_between_epochs() -> None:
    options = {"joinable": range(0, 199, 2), "join_probability": 0.3}
    source = batches([5.0] * 200, **options)
    first, second = ({u.id for batch in source for u in batch if u.parts} for _ in range(2))
    assert first != second
    assert 20 < len(first) < 40
    other = batches([5.0] * 200, **options)
    assert {u.id for batch in other for u in batch if u.parts} == first


def test_padding_wastes_less_than_a_tenth_with_the_options_of_a_run_by_default() -> None:
    # Lengths as in MuST-C: most of 2 to 10 s, a long tail to 30 s.
    seconds = np.clip(np.random.default_rng(0).lognormal(1.55, 0.75, 5_000), 0.3, 30.0).tolist()
    options = BatchSection()
    source = batches(
        seconds,
        max_seconds=options.max_seconds,
        max_items=options.max_items,
        buckets=options.buckets,
        longest_first=True,
    )
    lengths = [[utterance.seconds for utterance in batch] for batch in source]
    padded = sum(max(batch) * len(batch) for batch in lengths)
    assert sum(map(sum, lengths)) > 0.9 * padded


def test_unshuffled_batches_are_exact() -> None:
    source = batches([9.0, 1.0, 8.0, 2.0, 3.0], max_seconds=10.0, shuffle=False)
    # 1, 2, 3 s pad to 9 s; 8 s and 9 s fit with nothing.
    assert ids(list(source)) == [[1, 3, 4], [2], [0]]
    assert len(source) == 3


def test_longest_first_begins_with_the_longest_recording() -> None:
    source = batches([1.0, 2.0, 3.0, 19.0, 4.0] * 5, longest_first=True)
    for _ in range(3):
        assert next(iter(source))[0].seconds == 19.0
        source.epoch, source.position = source.epoch + 1, 0


def test_epochs_differ_and_the_seed_repeats_them() -> None:
    seconds = [1.0 + i / 10 for i in range(30)]
    one, other = batches(seconds, seed=1), batches(seconds, seed=1)
    first, second = ids(list(one)), ids(list(one))
    assert first != second
    assert [ids(list(other)), ids(list(other))] == [first, second]
    assert ids(list(batches(seconds, seed=2))) != first


def test_an_interrupted_epoch_is_continued_at_its_position() -> None:
    source = batches([5.0] * 12)
    expected = ids(list(batches([5.0] * 12)))
    for batch in source:
        assert ids([batch]) == expected[:1]
        break
    assert source.position == 1
    assert ids(list(source)) == expected[1:]
    assert (source.epoch, source.position) == (1, 0)


def test_a_state_can_have_the_number_of_used_instead_of_yielded_batches() -> None:
    source = batches([5.0] * 12)
    expected = ids(list(source))
    state = source.state_dict(epoch=0, position=2)
    resumed = batches([5.0] * 12)
    resumed.load_state_dict(state)
    assert ids(list(resumed)) == expected[2:]


def test_an_epoch_is_not_continued_with_other_data() -> None:
    source = batches([5.0] * 12)
    next(iter(source))
    with pytest.raises(UsageError, match="continued with the batches it was started with, but utterances was"):
        batches([5.0] * 11).load_state_dict(source.state_dict())
    with pytest.raises(UsageError, match="max_seconds was 20.0 and is 10.0"):
        batches([5.0] * 12, max_seconds=10.0).load_state_dict(source.state_dict())


def test_between_epochs_the_data_may_change() -> None:
    source = batches([5.0] * 12)
    list(source)
    other = batches([5.0] * 11)
    other.load_state_dict(source.state_dict())
    assert (other.epoch, other.position) == (1, 0)


def test_too_long_recordings_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="must fit into a batch of 20 s, but 2 do not; the longest is `2` with 31 s"):
        batches([1.0, 30.0, 31.0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"buckets": 0}, "`buckets` must be at least 1, but is 0"),
        ({"max_items": 0}, "`max_items` must be at least 1, but is 0"),
        ({"rank": 2, "world_size": 2}, "`rank` must be from 0 to 1, but is 2"),
        ({"weights": [1.0]}, "`weights` must be one for each of 2 utterances, but there are 1"),
        ({"weights": [0.0, 0.0]}, "`weights` must be finite, not negative, and not all 0"),
        ({"weights": [1.0, float("nan")]}, "`weights` must be finite"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        batches([1.0, 2.0], **options)


def test_no_utterances_are_refused() -> None:
    with pytest.raises(InputError, match="at least one utterance, but there is none"):
        batches([])


@pytest.mark.parametrize(
    ("temperature", "shares"), [(1.0, (0.8, 0.2)), (2.0, (2 / 3, 1 / 3)), (float("inf"), (0.5, 0.5))]
)
def test_temperature_evens_out_the_shares_of_groups(temperature: float, shares: tuple[float, float]) -> None:
    weights = balanced_weights(["en"] * 8 + ["it"] * 2, temperature=temperature)
    assert sum(weights[:8]) / sum(weights) == pytest.approx(shares[0])
    assert sum(weights[8:]) / sum(weights) == pytest.approx(shares[1])


def test_a_temperature_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="`temperature` must be at least 1, but is 0.5"):
        balanced_weights(["en"], temperature=0.5)
