"""Batches of recordings of similar length, bounded by their padded seconds."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechcli.data.manifest import Utterance
from speechcli.data.neighbors import join
from speechcli.errors import InputError, UsageError


def balanced_weights(groups: Sequence[str | None], *, temperature: float = 1.0) -> list[float]:
    """Weigh items so that small groups (languages, data sets) are sampled more often.

    Args:
        groups: the group of every item.
        temperature: 1 keeps the natural shares, larger values balance them, infinity makes all groups equal.

    Returns:
        One weight per item; the weights of a group of n items sum to n ** (1 / temperature).

    Raises:
        UsageError: if the temperature is below 1.
    """
    if not temperature >= 1:
        raise UsageError(f"`temperature` must be at least 1, but is {temperature}.")
    counts = Counter(groups)
    return [counts[group] ** (1 / temperature) / counts[group] for group in groups]


class DurationBatches:
    """Iterate over batches; every iteration is one epoch, or the rest of the epoch that was resumed.

    Recordings are drawn, sorted into length buckets, and grouped into batches with a limit on padded seconds (longest
    recording times number of recordings). Everything depends only on the arguments and the epoch, so that a run can be
    resumed exactly, and every rank can compute the whole plan.

    Args:
        utterances: what to draw from.
        max_seconds: limit for the padded seconds of a batch.
        max_items: limit for the recordings of a batch; None for no limit.
        buckets: number of length classes with about equal total duration; more buckets pad less and mix less.
        seed: seed of the shuffle.
        weights: sampling weights of utterances; None uses each exactly once per epoch.
        joinable: indices of utterances that may be concatenated with the next one.
        join_probability: probability of each concatenation, if both utterances are drawn.
        shuffle: False keeps batches sorted by length and the same in every epoch.
        longest_first: start every epoch with the longest recordings, so that memory runs out at once or never.
        rank: index of this process's share.
        world_size: number of processes. All have the same number of batches: some batches are halved or, if all have
            one recording, repeated.

    Attributes:
        epoch: the epoch of the next iteration.
        position: number of batches of that epoch that were already yielded, on each rank.

    Raises:
        InputError: if there are no utterances, or one is longer than `max_seconds`.
        UsageError: if an option is out of range.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        *,
        max_seconds: float,
        max_items: int | None = None,
        buckets: int = 30,
        seed: int = 0,
        weights: Sequence[float] | None = None,
        joinable: Sequence[int] = (),
        join_probability: float = 0.0,
        shuffle: bool = True,
        longest_first: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._utterances = utterances
        single = np.array([utterance.seconds for utterance in utterances], dtype=np.float64)
        # Pairs are numbered after all utterances, in the order of `joinable`.
        self._first = np.asarray(joinable if join_probability else (), dtype=np.int64)
        self._join_probability = join_probability
        self._seconds = np.concatenate([single, single[self._first] + single[self._first + 1]])
        self._max_seconds, self._max_items = max_seconds, max_items
        self._buckets, self._seed = buckets, seed
        self._weights = None if weights is None else np.asarray(weights, dtype=np.float64)
        self._shuffle, self._longest_first = shuffle, longest_first
        self._rank, self._world_size = rank, world_size
        self._check()
        self._edges = _bucket_edges(single, buckets)
        self._planned: tuple[int, list[list[list[int]]]] | None = None
        self.epoch = 0
        self.position = 0

    def __len__(self) -> int:
        """Return the number of batches of the whole current epoch, on each rank."""
        return len(self._plan())

    def __iter__(self) -> Iterator[list[Utterance]]:
        """Yield this rank's remaining batches of the current epoch, then move on to the next epoch."""
        plan = self._plan()
        while self.position < len(plan):
            batch = plan[self.position][self._rank]
            self.position += 1
            yield [self._utterance(i) for i in batch]
        self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self, *, epoch: int | None = None, position: int | None = None) -> dict[str, Any]:
        """Return the position in the data, to be saved with a checkpoint.

        Args:
            epoch: the epoch to save; None for the current one.
            position: number of its batches that were used; None for all that were yielded. A loader that reads ahead
                has taken more batches than were used.
        """
        return {
            "epoch": self.epoch if epoch is None else epoch,
            "position": self.position if position is None else position,
            "plan": self._fingerprint(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved position.

        Raises:
            UsageError: if it was saved with other data or options, so that the epoch could not be continued exactly.
        """
        theirs = state["plan"]
        # A name that is missing was saved by an earlier version.
        changes = [
            f"{name} was {theirs[name]} and is {value}"
            for name, value in self._fingerprint().items()
            if theirs.get(name, value) != value
        ]
        if changes and state["position"] > 0:
            raise UsageError(
                f"An epoch must be continued with the batches it was started with, but {', '.join(changes)}.",
                hint="resume with the same data and options, or start a new run from the saved model",
            )
        self.epoch, self.position = state["epoch"], state["position"]

    def _check(self) -> None:
        if not self._utterances:
            raise InputError("Batches must be made of at least one utterance, but there is none.")
        for name, value in (("buckets", self._buckets), ("world_size", self._world_size)):
            if value < 1:
                raise UsageError(f"`{name}` must be at least 1, but is {value}.")
        if self._max_items is not None and self._max_items < 1:
            raise UsageError(f"`max_items` must be at least 1, but is {self._max_items}.")
        if not 0 <= self._rank < self._world_size:
            raise UsageError(f"`rank` must be from 0 to {self._world_size - 1}, but is {self._rank}.")
        if self._weights is not None:
            if len(self._weights) != len(self._utterances):
                counts = f"{len(self._utterances)} utterances, but there are {len(self._weights)}"
                raise UsageError(f"`weights` must be one for each of {counts}.")
            if not (np.isfinite(self._weights).all() and (self._weights >= 0).all() and self._weights.sum() > 0):
                raise UsageError("`weights` must be finite, not negative, and not all 0.")
        too_long = np.flatnonzero(~(self._seconds <= self._max_seconds))
        if len(too_long):
            longest = self._utterance(int(too_long[np.argmax(self._seconds[too_long])]))
            raise InputError(
                f"Every recording must fit into a batch of {self._max_seconds:g} s, but {len(too_long)} do not; the "
                f"longest is `{longest.id}` with {longest.seconds:g} s.",
                hint="allow more seconds per batch, or leave long recordings out",
            )

    def _plan(self) -> list[list[list[int]]]:
        """Return the steps of the current epoch: for each, one batch of indices per rank."""
        if self._planned is None or self._planned[0] != self.epoch:
            self._planned = (self.epoch, self._make_plan(self.epoch))
        return self._planned[1]

    def _make_plan(self, epoch: int) -> list[list[list[int]]]:
        generator = np.random.default_rng([self._seed, epoch])
        drawn = self._draw(generator)
        if len(self._first):
            drawn = self._join(drawn, generator)
        key = np.searchsorted(self._edges, self._seconds[drawn]) if self._shuffle else self._seconds[drawn]
        batches = self._cut(drawn[np.argsort(key, kind="stable")])
        batches = _to_multiple(batches, self._world_size)
        # The ranks of a step get batches of similar length, so that no rank waits long for another.
        steps = [batches[i : i + self._world_size] for i in range(0, len(batches), self._world_size)]
        if self._shuffle:
            steps = [steps[i] for i in generator.permutation(len(steps))]
        if self._longest_first:
            first = max(range(len(steps)), key=lambda i: max(self._size(batch) for batch in steps[i]))
            steps.insert(0, steps.pop(first))
        return steps

    def _draw(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """Draw the utterances of an epoch, in random order if they are to be shuffled."""
        count = len(self._utterances)
        order = generator.permutation(count) if self._shuffle else np.arange(count)
        if self._weights is None:
            return order
        # Systematic sampling: an utterance that is due 2.3 times is drawn 2 or 3 times, never 0 or 7 times.
        weights = self._weights[order]
        ends = np.cumsum(weights) / weights.sum() * count
        ends[np.flatnonzero(weights)[-1] :] = count
        points = np.arange(count) + (generator.random() if self._shuffle else 0.5)
        drawn = order[np.searchsorted(ends, points, side="right")]
        return generator.permutation(drawn) if self._shuffle else drawn

    def _join(self, drawn: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
        """Replace some pairs of successive utterances by their concatenation; each is still used as often as drawn."""
        left = np.bincount(drawn, minlength=len(self._utterances))
        pairs = []
        wanted = generator.random(len(self._first)) < self._join_probability
        for place in np.flatnonzero(wanted).tolist():
            first = self._first[place]
            if left[first] and left[first + 1]:
                left[[first, first + 1]] -= 1
                pairs.append(len(self._utterances) + place)
        single = np.repeat(np.arange(len(left)), left)
        return generator.permutation(np.concatenate([single, np.array(pairs, dtype=np.int64)]))

    def _utterance(self, number: int) -> Utterance:
        if number < len(self._utterances):
            return self._utterances[number]
        first = int(self._first[number - len(self._utterances)])
        return join(self._utterances[first], self._utterances[first + 1])

    def _cut(self, order: NDArray[np.int64]) -> list[list[int]]:
        """Cut a sequence of utterances into batches, greedily."""
        batches: list[list[int]] = []
        batch: list[int] = []
        longest = 0.0
        for index, seconds in zip(order.tolist(), self._seconds[order].tolist(), strict=True):
            grown = max(longest, seconds)
            full = self._max_items is not None and len(batch) >= self._max_items
            if batch and (full or grown * (len(batch) + 1) > self._max_seconds):
                batches.append(batch)
                batch, grown = [], seconds
            batch.append(index)
            longest = grown
        return [*batches, batch]

    def _size(self, batch: list[int]) -> tuple[float, float]:
        """Return the longest recording and the padded length of a batch, in seconds."""
        longest = float(self._seconds[batch].max())
        return longest, longest * len(batch)

    def _fingerprint(self) -> dict[str, Any]:
        """Return everything that the plan of an epoch depends on, by name."""
        data = "\n".join(f"{utterance.id}\t{utterance.seconds!r}" for utterance in self._utterances)
        weights = "none" if self._weights is None else hashlib.sha256(self._weights.tobytes()).hexdigest()[:16]
        return {
            "utterances": hashlib.sha256(data.encode()).hexdigest()[:16],
            "weights": weights,
            "max_seconds": self._max_seconds,
            "max_items": self._max_items,
            "buckets": self._buckets,
            "seed": self._seed,
            "shuffle": self._shuffle,
            "longest_first": self._longest_first,
            "world_size": self._world_size,
            "join_probability": self._join_probability if len(self._first) else 0.0,
        }


def _bucket_edges(seconds: NDArray[np.float64], buckets: int) -> NDArray[np.float64]:
    """Return the lengths between buckets, such that all buckets have about the same total duration."""
    lengths = np.sort(seconds)
    share = np.cumsum(lengths) / lengths.sum()
    inner = np.arange(1, buckets) / buckets
    edges: NDArray[np.float64] = np.unique(lengths[np.searchsorted(share, inner)])
    return edges


def _to_multiple(batches: list[list[int]], multiple: int) -> list[list[int]]:
    """Halve the largest batches until their number is a multiple; if all have one recording, repeat some."""
    while len(batches) % multiple and max(map(len, batches)) > 1:
        largest = max(range(len(batches)), key=lambda i: len(batches[i]))
        half = (len(batches[largest]) + 1) // 2
        batches[largest : largest + 1] = [batches[largest][:half], batches[largest][half:]]
    missing = -len(batches) % multiple
    return batches + [batches[i % len(batches)] for i in range(missing)]
