"""Find errors in manifests before training."""

import math
import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from speechcli.data.listening import DecodedAudio, Place, place_of
from speechcli.data.manifest import Manifest, Target, Utterance
from speechcli.text.languages import language_code

ERRORS: dict[str, str] = {
    "bad-row": "the row cannot be read",
    "empty-text": "there is no text",
    "missing-audio": "the recording does not exist",
    "unreadable-audio": "the recording cannot be decoded, or ends early",
    "silent-audio": "the recording is silent",
    "duplicate-row": "an earlier row is the same",
    "duplicate-audio": "an earlier row has the same sound, with the same text or language",
    "duration-mismatch": "the duration in the manifest is not that of the recording",
    "text-length": "far more or far less text per second than usual in this language",
    "leak-audio": "the recording is in the other split too",
    "unknown-language": "the model has no tag for the language of a text",
}
"""Kinds of errors; rows with errors are left out of a filtered manifest."""

NOTES: dict[str, str] = {
    "leak-speaker": "the speaker is in the other split too",
    "leak-text": "the text is in the other split too",
    "all-caps": "the text is written in capitals only",
    "unknown-characters": "the tokenizer cannot write some characters of the text",
}
"""Kinds of notes: possibly intended, so rows are kept."""

# A length that is rounded in the manifest, or includes the padding of a lossy codec, is not an error.
LENGTH_TOLERANCE_SECONDS, LENGTH_TOLERANCE_SHARE = 0.1, 0.02
# Texts of one language are compared by characters per second. They are unusual if they differ from the median by more
# than this factor and this many robust standard deviations. In short clips, pauses and words have less weight.
TEXT_FACTOR, TEXT_DEVIATIONS, TEXTS_TO_COMPARE = 3.0, 5.0, 10
PAUSE_SECONDS, SPARE_CHARACTERS = 0.5, 5
# The median absolute deviation of a normal distribution is 1 / 1.4826 of its standard deviation.
DEVIATION_OF_MEDIAN = 1.4826
# Faster than anyone speaks, in any script; an error even if the rest of the corpus is similar.
MAX_CHARACTERS_PER_SECOND = 60.0


class Finding(NamedTuple):
    """One error or note."""

    kind: str
    """A key of `ERRORS` or `NOTES`."""
    manifest: Path
    where: str
    """Where in the manifest, such as "line 3"; empty if it concerns many rows."""
    id: str
    """Id of the utterance; empty if the row could not be read."""
    message: str


@dataclass(frozen=True)
class Summary:
    """The content of a manifest."""

    path: Path
    rows: int
    """Utterances and bad rows."""
    utterances: int
    hours: float
    speakers: int
    languages: Mapping[str, int]
    """`spoken->written` to the number of texts."""

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as a JSON object."""
        return {**self.__dict__, "path": str(self.path), "hours": round(self.hours, 4), "languages": {**self.languages}}


@dataclass(frozen=True)
class CheckReport:
    """The findings in some manifests."""

    summaries: tuple[Summary, ...]
    findings: tuple[Finding, ...]
    kept: tuple[Utterance, ...]
    """Utterances without an error."""

    @property
    def rows(self) -> int:
        """Rows of all manifests."""
        return sum(summary.rows for summary in self.summaries)

    @property
    def errors(self) -> int:
        """Rows of all manifests that have an error."""
        return self.rows - len(self.kept)

    def counts(self) -> dict[str, int]:
        """Return how often each kind was found, errors first."""
        counts = Counter(finding.kind for finding in self.findings)
        return {kind: counts[kind] for kind in (*ERRORS, *NOTES) if counts[kind]}

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            "manifests": [summary.to_dict() for summary in self.summaries],
            "rows": self.rows,
            "errors": self.errors,
            "counts": self.counts(),
            "findings": [{**finding._asdict(), "manifest": str(finding.manifest)} for finding in self.findings],
        }


def check_manifests(
    manifests: Sequence[Manifest],
    *,
    against: Sequence[Manifest] = (),
    decoded: Mapping[Place, DecodedAudio] | None = None,
    unknown_language: Callable[[str], bool] = lambda language: False,
    unknown_characters: Callable[[str], str] = lambda text: "",
) -> CheckReport:
    """Check manifests that are used together.

    Args:
        manifests: manifests, read with all their texts.
        against: other splits, which must not share recordings, and should not share speakers or texts.
        decoded: results of decoding all recordings; None: recordings are only compared by file.
        unknown_language: whether a model has no tag for a language.
        unknown_characters: returns the characters of a text that a model's tokenizer lacks.
    """
    decoded = {} if decoded is None else decoded
    pairs = [(manifest.path, utterance) for manifest in manifests for utterance in manifest.utterances]
    others = [utterance for manifest in against for utterance in manifest.utterances]
    findings = [
        Finding(row.kind, manifest.path, row.where, "", f"{row.reason}.")
        for manifest in manifests
        for row in manifest.bad_rows
    ]
    found = list(_unusable_audio(pairs, decoded))
    unusable = {(finding.manifest, finding.id) for finding in found}
    usable = [(path, utterance) for path, utterance in pairs if (path, utterance.id) not in unusable]
    found += [
        *_duplicates(usable, decoded),
        *_text_lengths(pairs),
        *find_leaks(pairs, others, decoded),
        *_languages(pairs, unknown_language),
        *_spelling(pairs, unknown_characters),
    ]
    faulty = {(finding.manifest, finding.id) for finding in found if finding.kind in ERRORS}
    kept = tuple(utterance for path, utterance in pairs if (path, utterance.id) not in faulty)
    return CheckReport(tuple(_summary(manifest) for manifest in manifests), tuple(findings + found), kept)


Pairs = Sequence[tuple[Path, Utterance]]


def _finding(kind: str, path: Path, utterance: Utterance, message: str) -> Finding:
    return Finding(kind, path, utterance.where, utterance.id, message)


def _unusable_audio(pairs: Pairs, decoded: Mapping[Place, DecodedAudio]) -> Iterator[Finding]:
    for path, utterance in pairs:
        sound = decoded.get(place_of(utterance))
        if sound is None:
            continue
        if sound.problem is not None:
            yield _finding("unreadable-audio", path, utterance, sound.problem)
            continue
        if sound.silent:
            yield _finding("silent-audio", path, utterance, f"all {sound.seconds:.2f} s are silent.")
        tolerance = max(LENGTH_TOLERANCE_SECONDS, LENGTH_TOLERANCE_SHARE * utterance.seconds)
        if abs(sound.seconds - utterance.seconds) > tolerance:
            message = f"the manifest says {utterance.seconds:.2f} s, but the recording has {sound.seconds:.2f} s."
            yield _finding("duration-mismatch", path, utterance, message)


def _identity(utterance: Utterance, decoded: Mapping[Place, DecodedAudio]) -> Hashable:
    """Return a key that is equal for utterances with the same sound; None if the audio cannot be read."""
    sound = decoded.get(place_of(utterance))
    if sound is not None:
        return sound.digest
    # Manifests in different folders have different paths to a file: train/../wav/a.wav, test/../wav/a.wav.
    return os.path.abspath(str(utterance.audio)), utterance.start, utterance.end


def _duplicates(pairs: Pairs, decoded: Mapping[Place, DecodedAudio]) -> Iterator[Finding]:
    first: dict[Hashable, tuple[Path, Utterance]] = {}
    for path, utterance in pairs:
        other_path, other = first.setdefault(_identity(utterance, decoded), (path, utterance))
        known = {target.language for target in other.targets} | {target.text for target in other.targets}
        if other is not utterance and any(
            target.language in known or target.text in known for target in utterance.targets
        ):
            message = f"`{other.id}` ({other_path} {other.where}) has the same sound."
            yield _finding("duplicate-audio", path, utterance, message)


def _text_lengths(pairs: Pairs) -> Iterator[Finding]:
    rates: dict[str, list[float]] = defaultdict(list)
    for _, utterance in pairs:
        for target in utterance.targets:
            rates[_code(target.language)].append(math.log(_rate(target, utterance)))
    limits = {language: _usual(logarithms) for language, logarithms in rates.items()}
    for path, utterance in pairs:
        for target in utterance.targets:
            low, high = limits[_code(target.language)]
            fast = len(target.text) / utterance.seconds > MAX_CHARACTERS_PER_SECOND
            if fast or not low <= _rate(target, utterance) <= high:
                message = f"{len(target.text)} characters for {utterance.seconds:.2f} s are unusual in this language."
                yield _finding("text-length", path, utterance, message)
                break


def _rate(target: Target, utterance: Utterance) -> float:
    return (len(target.text) + SPARE_CHARACTERS) / (utterance.seconds + PAUSE_SECONDS)


def _usual(logarithms: list[float]) -> tuple[float, float]:
    """Return the range of usual rates."""
    if len(logarithms) < TEXTS_TO_COMPARE:
        return 0.0, math.inf
    middle = statistics.median(logarithms)
    deviation = DEVIATION_OF_MEDIAN * statistics.median(abs(value - middle) for value in logarithms)
    reach = max(math.log(TEXT_FACTOR), TEXT_DEVIATIONS * deviation)
    return math.exp(middle - reach), math.exp(middle + reach)


def find_leaks(pairs: Pairs, others: Sequence[Utterance], decoded: Mapping[Place, DecodedAudio]) -> Iterator[Finding]:
    """Find recordings, speakers and texts that also occur in another split.

    Args:
        pairs: manifests and utterances.
        others: utterances of the other split.
        decoded: results of decoding all recordings; if empty, recordings are compared by file.
    """
    if not others:
        return
    sounds = {_identity(utterance, decoded): utterance for utterance in others}
    speakers = {utterance.speaker for utterance in others} - {None}
    texts = {_plain(target.text) for utterance in others for target in utterance.targets}
    shared: Counter[tuple[Path, str]] = Counter()
    for path, utterance in pairs:
        twin = sounds.get(_identity(utterance, decoded))
        if twin is not None and _identity(twin, decoded) is not None:
            yield _finding("leak-audio", path, utterance, f"`{twin.id}` of the other split has the same sound.")
        if utterance.speaker in speakers and utterance.speaker is not None:
            shared[path, utterance.speaker] += 1
        known = next((target.text for target in utterance.targets if _plain(target.text) in texts), None)
        if known is not None:
            yield _finding("leak-text", path, utterance, f"{known[:60]!r} is a text of the other split too.")
    for (path, speaker), count in shared.items():
        message = f"the speaker `{speaker}` ({count} rows) is in the other split too."
        yield Finding("leak-speaker", path, "", "", message)


def _languages(pairs: Pairs, unknown: Callable[[str], bool]) -> Iterator[Finding]:
    for path, utterance in pairs:
        for target in utterance.targets:
            if target.language is not None and unknown(target.language):
                message = f"the model has no tag for the language `{target.language}`."
                yield _finding("unknown-language", path, utterance, message)
                break


def _spelling(pairs: Pairs, unknown: Callable[[str], str]) -> Iterator[Finding]:
    for path, utterance in pairs:
        shouted = next((target.text for target in utterance.targets if _is_shouted(target.text)), None)
        if shouted is not None:
            yield _finding("all-caps", path, utterance, f"{shouted[:60]!r} is written in capitals only.")
        characters = "".join(dict.fromkeys("".join(unknown(target.text) for target in utterance.targets)))
        if characters:
            yield _finding("unknown-characters", path, utterance, f"the tokenizer cannot write {characters!r}.")


def _is_shouted(text: str) -> bool:
    # One word in capitals may well be a name: OK, NATO.
    return text.isupper() and len(text.split()) > 1


def _plain(text: str) -> str:
    return " ".join("".join(char if char.isalnum() else " " for char in text.casefold()).split())


def _summary(manifest: Manifest) -> Summary:
    utterances = manifest.utterances
    languages = Counter(f"{_code(u.language)}->{_code(t.language)}" for u in utterances for t in u.targets)
    return Summary(
        path=manifest.path,
        rows=len(utterances) + len(manifest.bad_rows),
        utterances=len(utterances),
        hours=manifest.seconds / 3600,
        speakers=len({u.speaker for u in utterances} - {None}),
        languages=dict(languages.most_common()),
    )


def _code(language: str | None) -> str:
    return "und" if language is None else language_code(language)
