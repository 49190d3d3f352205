"""Make training batches from manifests."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from speechcli.audio.augment import Augment, NoiseFolder
from speechcli.data.batching import DurationBatches, balanced_weights
from speechcli.data.check import ERRORS, NOTES, Finding, check_manifests, find_leaks
from speechcli.data.collate import Collate
from speechcli.data.manifest import Manifest, ManifestOptions, Task, Utterance, read_manifest
from speechcli.data.neighbors import find_joinable
from speechcli.errors import InputError
from speechcli.text.languages import language_code
from speechcli.training.audio_cache import fill_cache
from speechcli.training.events import Report, Warned
from speechcli.training.feed import Feed
from speechcli.training.train_options import AugmentSection, TrainOptions

ItemT = TypeVar("ItemT")


class Share(NamedTuple):
    """The rank of this process among several."""

    rank: int = 0
    processes: int = 1


ALONE = Share()


@dataclass(frozen=True)
class WaveformAugment:
    """Change waveforms of one sample rate."""

    change: Augment
    sampling_rate: int

    def __call__(self, samples: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
        """Return a changed copy of samples (samples,)."""
        return self.change(samples, self.sampling_rate, generator)


def read_manifests(
    paths: Sequence[str], options: TrainOptions, report: Report, *, learn: bool
) -> list[tuple[str, Utterance]]:
    """Read manifests; return each usable utterance with the name of its manifest.

    Args:
        paths: manifest files.
        options: section `data` is read.
        report: receives warnings about rows that are left out.
        learn: whether to leave out utterances that are too short, too long or too uncertain for training.

    Raises:
        InputError: if a manifest cannot be read, or too many of its rows have errors.
    """
    data = options.data
    task: Task = "both" if len(set(data.tasks)) == 2 else "transcribe" if data.tasks[0] == "transcribe" else "translate"
    wanted = ManifestOptions(task=task, target_languages=data.languages or None, default_language=data.spoken_language)
    read: list[tuple[str, Utterance]] = []
    for path in paths:
        manifest = read_manifest(Path(path), options=wanted)
        _check(manifest, data.max_bad, report)
        kept = _fit_to_learn(manifest, options, report) if learn else manifest.utterances
        read += [(path, utterance) for utterance in kept]
    if not read:
        raise InputError(f"A run needs usable recordings, but {', '.join(paths) or 'no manifest'} has none.")
    return with_unique_ids(read)


def warn_of_leaks(train: Sequence[tuple[str, Utterance]], dev: Sequence[tuple[str, Utterance]], report: Report) -> None:
    """Warn of recordings, speakers and texts that are in both splits, which make scores unreliable."""
    pairs = [(Path(path), utterance) for path, utterance in train]
    _warn(list(find_leaks(pairs, [utterance for _, utterance in dev], {})), report)


def _check(manifest: Manifest, max_bad: float, report: Report) -> None:
    """Warn of problems in a manifest that can be found without decoding audio.

    Raises:
        InputError: if more than a share `max_bad` of its rows have errors.
    """
    checked = check_manifests([manifest])
    if checked.errors > max_bad * (checked.rows + manifest.left_out):
        first = next(finding for finding in checked.findings if finding.kind in ERRORS)
        enough = math.ceil(100 * checked.errors / (checked.rows + manifest.left_out)) / 100
        raise InputError(
            f"{checked.errors} rows of {manifest.path} have errors, the first {first.where}: {first.message}",
            hint=f"speechcli data check {manifest.path} -o filtered.tsv; or allow more: --max-bad {enough:g}",
        )
    _warn(checked.findings, report)


def _warn(findings: Sequence[Finding], report: Report) -> None:
    """Warn once for each kind of finding."""
    for kind, what in (ERRORS | NOTES).items():
        same = [finding for finding in findings if finding.kind == kind]
        if same:
            where = f"{same[0].manifest} {same[0].where}".strip()
            report(Warned(f"{kind}: {what} ({len(same)}); the first in {where}: {same[0].message}"))


def _fit_to_learn(manifest: Manifest, options: TrainOptions, report: Report) -> list[Utterance]:
    data = options.data
    low, high = data.min_seconds, min(data.max_seconds, options.batch.max_seconds)
    fits = [u for u in manifest.utterances if low <= u.seconds <= high]
    sure = [u for u in fits if u.confidence is None or u.confidence >= data.min_confidence]
    if len(fits) < len(manifest.utterances):
        count = len(manifest.utterances) - len(fits)
        report(Warned(f"{count} recordings of {manifest.path} are not between {low:g} and {high:g} s long."))
    if len(sure) < len(fits):
        count = len(fits) - len(sure)
        report(Warned(f"{count} texts of {manifest.path} have a confidence below {data.min_confidence:g}."))
    return sure


def make_feed(
    read: Sequence[tuple[str, Utterance]], collate: Collate, options: TrainOptions, share: Share = ALONE
) -> Feed:
    """Make the training batches: balanced, augmented, and read by worker processes.

    Args:
        read: the result of `read_manifests`.
        collate: the collate function of the model, without augmentation.
        options: sections `data`, `batch` and `augment` are read.
        share: the rank of this process.

    Raises:
        UsageError: if the model has no tag for a language of a text.
        InputError: if all usable utterances have the weight 0.
    """
    utterances = [utterance for _, utterance in read]
    collate.check_languages(utterances)
    rate = collate.features.sampling_rate
    plan = DurationBatches(
        utterances,
        max_seconds=options.batch.max_seconds,
        max_items=options.batch.max_items,
        buckets=options.batch.buckets,
        seed=options.run.seed,
        weights=draw_weights(read, options),
        joinable=find_joinable(utterances, max_seconds=min(options.data.max_seconds, options.batch.max_seconds)),
        join_probability=options.augment.concatenate_probability,
        longest_first=True,
        rank=share.rank,
        world_size=share.processes,
    )
    training = replace(
        collate,
        teacher=options.objective.teacher_weight > 0,
        augment=_augment(options.augment, rate),
        seed=options.run.seed,
        max_targets=options.data.targets_per_utterance or None,
        read=fill_cache(utterances, rate) if options.data.cache_audio else None,
    )
    return Feed(plan, training, workers=options.batch.workers)


def count_languages(utterances: Sequence[Utterance]) -> dict[str, int]:
    """Return the number of targets for each `spoken->target`, largest first."""
    pairs = Counter(
        f"{_code(utterance.language)}->{_code(target.language)}"
        for utterance in utterances
        for target in utterance.targets
    )
    return dict(pairs.most_common())


def spread(items: Sequence[ItemT], limit: int) -> list[ItemT]:
    """Return at most `limit` items, evenly spread over the list; all if the limit is 0."""
    if not limit or len(items) <= limit:
        return list(items)
    return [items[place * len(items) // limit] for place in range(limit)]


def draw_weights(read: Sequence[tuple[str, Utterance]], options: TrainOptions) -> list[float] | None:
    """Return the sampling weight of each utterance; None if all are equal.

    Raises:
        InputError: if all are 0, because every manifest with another weight has no usable recording.
    """
    data = options.data
    weights = [1.0] * len(read)
    if data.balance != "none":
        groups = [path if data.balance == "set" else _code(utterance.language) for path, utterance in read]
        weights = balanced_weights(groups, temperature=data.temperature)
    by_manifest = dict(zip(data.train, data.weights, strict=False))
    for place, (path, utterance) in enumerate(read):
        weights[place] *= by_manifest.get(path, 1.0)
        weights[place] *= 1.0 if utterance.confidence is None else data.pseudo_weight
    if not any(weights):
        raise InputError(
            "A run needs usable recordings in a manifest with a weight above 0, but `data.weights` is "
            f"{list(data.weights)} for {', '.join(data.train)}.",
            hint="change data.weights, or leave out fewer recordings: data.max_seconds, data.min_confidence",
        )
    return None if len(set(weights)) == 1 else weights


def with_unique_ids(read: Sequence[tuple[str, Utterance]]) -> list[tuple[str, Utterance]]:
    """Return utterances with the names of their manifests, which are added to ids that several have."""
    counts = Counter(utterance.id for _, utterance in read)
    return [
        (path, replace(utterance, id=f"{path}:{utterance.id}") if counts[utterance.id] > 1 else utterance)
        for path, utterance in read
    ]


def _augment(options: AugmentSection, sampling_rate: int) -> WaveformAugment | None:
    change = Augment(
        speed=options.speed,
        gain_db=options.gain_db,
        noise_snr=options.noise_snr,
        noise_probability=options.noise_probability,
        band_probability=options.band_probability,
        noise=None if options.noise_folder is None else NoiseFolder.find(Path(options.noise_folder)),
    )
    off = options.speed == (1.0, 1.0) and options.gain_db == (0.0, 0.0)
    if off and not options.noise_probability and not options.band_probability:
        return None
    return WaveformAugment(change, sampling_rate)


def _code(language: str | None) -> str:
    return "und" if language is None else language_code(language)
