"""Manifests: recordings and texts, read from a table (TSV, CSV, JSON lines) or a corpus in its own layout.

A *narrow* manifest has one text per row (`text`, `src_lang`, perhaps `tgt_lang`); a *wide* one has a column
`text_<lang>` for each language. Both may be mixed.
"""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from speechcli.audio.inside import AudioFile, outer_file
from speechcli.data.columns import Columns, Row, find_columns
from speechcli.data.readers.layouts import read_layout
from speechcli.data.recordings import RowError, find_recording, find_times, read_number
from speechcli.errors import InputError, UsageError
from speechcli.text.languages import check_language, language_code

Task = Literal["transcribe", "translate", "both"]


@dataclass(frozen=True)
class Target:
    """A text for a recording: its transcript or a translation."""

    text: str
    language: str | None
    """Its language as spelled in the manifest; None if not given."""


@dataclass(frozen=True)
class Utterance:
    """A recording, or a part of one, with its texts and metadata."""

    id: str
    audio: AudioFile
    seconds: float
    targets: tuple[Target, ...] = ()
    """The texts to train on or to evaluate against, transcript first."""
    transcript: str | None = None
    """The transcript, even if it is not a target."""
    language: str | None = None
    """The spoken language as spelled in the manifest; None if not given."""
    speaker: str | None = None
    start: float | None = None
    """Start in the file, in seconds; None for a whole file."""
    end: float | None = None
    """End in the file, in seconds; None for the end of the file."""
    teacher: Path | None = None
    """A .npy file (frames,) of integers: a teacher's classes of the frames."""
    confidence: float | None = None
    """Confidence of the model that wrote the texts, from 0 to 1; None for human transcripts."""
    parts: tuple["Utterance", ...] = ()
    """The utterances that it was concatenated from; empty for a single recording."""
    where: str = field(default="", compare=False)
    """Its place in the manifest, such as "line 3"."""


@dataclass(frozen=True)
class ManifestOptions:
    """Which rows and texts of a manifest to use.

    Raises:
        UsageError: if the task is unknown.
    """

    task: Task = "both"
    """Which texts become targets: the transcript, the translations, or both."""
    source_languages: tuple[str, ...] | None = None
    """Spoken languages to keep, in any spelling; None keeps all."""
    target_languages: tuple[str, ...] | None = None
    """Languages of texts to keep, in any spelling; None keeps all."""
    need_targets: bool = True
    """Whether rows without a wanted text are left out (false: for transcribing a manifest)."""
    default_language: str | None = None
    """The spoken language of rows that name none."""
    check_audio: bool = True
    """Whether a row whose file does not exist is a bad row."""
    texts_only: bool = False
    """Whether only the texts are used: rows need no recording, and all durations are 0."""
    raw_rate: int | None = None
    """Sample rate in Hz of recordings without headers; durations that the rows lack are then 0."""

    def __post_init__(self) -> None:
        if self.task not in get_args(Task):
            raise UsageError(f"`task` must be one of {', '.join(get_args(Task))}, but is {self.task!r}.")


class BadRow(NamedTuple):
    """A row that cannot be used."""

    where: str
    """Its place in the manifest, such as "line 3"; lines count from 1, including the header."""
    reason: str
    kind: str = "bad-row"
    """The kind of error, a key of `speechcli.data.check.ERRORS`."""


@dataclass(frozen=True)
class Manifest:
    """The content of a manifest."""

    path: Path
    utterances: tuple[Utterance, ...]
    bad_rows: tuple[BadRow, ...]
    """Unusable rows, in the order of the file."""
    left_out: int
    """Usable rows that the options exclude, by language or task."""

    @property
    def seconds(self) -> float:
        """Total duration in seconds."""
        return sum(utterance.seconds for utterance in self.utterances)


def read_manifest(path: Path, *, options: ManifestOptions | None = None) -> Manifest:
    """Read a manifest or a corpus; bad rows are collected, not raised.

    Args:
        path: ``.csv`` (quoted), ``.jsonl`` or ``.json`` (an object per line, also with NeMo's keys), another file
            (tab-separated, not quoted), or a corpus that `speechcli.data.readers` supports. Paths of
            recordings are relative to its folder; ``archive.zip:offset:length`` (bytes), ``sound.wav:offset:length``
            (samples) and ``table.parquet:row`` are parts of a file.
        options: what to use; None: everything.

    Raises:
        InputError: if the file cannot be read, has no column of recordings, or no row is usable.
        UsageError: if the options name an unknown language.
    """
    options = options or ManifestOptions()
    table = read_layout(path)
    columns = find_columns(table.columns, path, need_audio=not options.texts_only)
    utterances: dict[str, Utterance] = {}
    bad: list[BadRow] = []
    left_out = 0
    for row in table.rows:
        try:
            utterance = _utterance(row, columns, table.folder, options)
            if utterance is None:
                left_out += 1
                continue
            first = utterances.get(utterance.id)
            utterances[utterance.id] = utterance if first is None else _merged(first, utterance)
        except RowError as error:
            bad.append(BadRow(row.where, str(error), error.kind))
    known = {row.language for row in utterances.values()}
    known |= {target.language for row in utterances.values() for target in row.targets}
    for name in (*(options.source_languages or ()), *(options.target_languages or ())):
        check_language(name, known)
    if not utterances:
        raise InputError(_nothing_usable(path, bad, left_out), hint=f"columns found: {columns.summary() or 'none'}")
    return Manifest(path, tuple(utterances.values()), tuple(bad), left_out)


def _nothing_usable(path: Path, bad: list[BadRow], left_out: int) -> str:
    message = f"`{path}` must have at least one usable row, but {len(bad)} are bad and {left_out} are excluded"
    return f"{message}; {bad[0].where}: {bad[0].reason}." if bad else f"{message}."


def _utterance(row: Row, columns: Columns, folder: Path, options: ManifestOptions) -> Utterance | None:
    """Make an utterance of a row; None if the options exclude it."""
    if row.problem:
        raise RowError(row.problem)
    audio = row.get(columns.audio)
    if not audio and not options.texts_only:
        raise RowError(f"`{columns.audio}` must name a recording, but is empty")
    language = row.get(columns.source_language) or options.default_language
    if not _wanted(language, options.source_languages):
        return None
    transcript, translations = _texts(row, columns, language)
    targets = _targets(transcript, translations, language, options)
    if options.need_targets:
        _check_wide(row, columns)
    if options.need_targets and not targets:
        if transcript is None and not translations:
            raise RowError(
                "the row must have a text, but every text is empty or has no known column", kind="empty-text"
            )
        return None
    if audio is None or options.texts_only:
        # rows of one recording are joined here, too: they may be its translations
        cells = [row.get(column) for column in (columns.audio, columns.start, columns.end, columns.seconds)]
        name = row.get(columns.id) or " ".join(filter(None, cells)) or row.where
        return Utterance(name, Path(name), 0.0, targets, transcript, language, where=row.where)
    file, part = find_recording(audio, folder)
    # os.path, because Path.is_file() raises an error for names that are too long
    if options.check_audio and not os.path.isfile(outer_file(file)):
        raise RowError(f"the recording must exist, but `{outer_file(file)}` does not", kind="missing-audio")
    start, end, seconds = find_times(row, columns, file, part, raw_rate=options.raw_rate)
    teacher = row.get(columns.teacher)
    return Utterance(
        id=row.get(columns.id) or (audio if part else _default_id(audio, start, end)),
        audio=file,
        seconds=seconds,
        targets=targets,
        transcript=transcript,
        language=language,
        speaker=row.get(columns.speaker),
        start=start,
        end=end,
        teacher=None if teacher is None else folder / teacher,
        confidence=read_number(row, columns.confidence, rule="from 0 to 1", maximum=1.0),
        where=row.where,
    )


def _default_id(audio: str, start: float | None, end: float | None) -> str:
    """Return the id of a row without one; parts of a recording may begin at the same time."""
    if end is not None:
        return f"{audio}@{start or 0.0}-{round(end, 3)}"
    return audio if start is None else f"{audio}@{start}"


def _merged(first: Utterance, second: Utterance) -> Utterance:
    """Join two rows of one recording with texts in different languages."""
    if (first.audio, first.start, first.end) != (second.audio, second.start, second.end):
        raise RowError(f"`id` must be unique to a recording, but {second.id!r} is another one in {first.where}")
    languages = {target.language for target in first.targets}
    new = tuple(target for target in second.targets if target.language not in languages)
    if not new:
        raise RowError(
            f"the row must have a new text, but {first.where} has this recording in the same language",
            kind="duplicate-row",
        )
    confidences = [each.confidence for each in (first, second) if each.confidence is not None]
    return replace(
        first,
        targets=first.targets + new,
        transcript=first.transcript or second.transcript,
        confidence=min(confidences, default=None),
    )


def _texts(row: Row, columns: Columns, language: str | None) -> tuple[str | None, list[Target]]:
    """Return the transcript and the translations of a row, each language once."""
    transcript = row.get(columns.transcript)
    target_language = row.get(columns.target_language)
    text, translation = row.get(columns.text), row.get(columns.translation)
    texts: list[Target] = []
    if text is not None:
        # `text` is the transcript, unless the row has another target language.
        if target_language is not None and not _same(target_language, language):
            texts.append(Target(text, target_language))
        else:
            transcript = transcript or text
    if translation is not None and target_language is not None and _same(target_language, language):
        transcript = transcript or translation
    elif translation is not None:
        texts.append(Target(translation, target_language))
    for wide_language, column in columns.wide.items():
        wide_text = row.get(column)
        if wide_text is None:
            continue
        if language is not None and _same(wide_language, language):
            transcript = transcript or wide_text
        else:
            texts.append(Target(wide_text, wide_language))
    unique = {(t.language and language_code(t.language)): t for t in reversed(texts)}
    return transcript, [t for t in texts if unique[t.language and language_code(t.language)] is t]


def _check_wide(row: Row, columns: Columns) -> None:
    """Refuse different texts in one language, of which `_texts` could only use the first."""
    first: dict[str, str] = {}
    for language, column in columns.wide.items():
        if column in row.cells:
            other = first.setdefault(language_code(language), column)
            if row.cells[other] != row.cells[column]:
                raise RowError(f"the row must have one text per language, but `{other}` and `{column}` differ")


def _targets(
    transcript: str | None, translations: list[Target], language: str | None, options: ManifestOptions
) -> tuple[Target, ...]:
    targets: list[Target] = []
    if options.task != "translate" and transcript is not None:
        targets.append(Target(transcript, language))
    if options.task != "transcribe":
        targets += translations
    return tuple(target for target in targets if _wanted(target.language, options.target_languages))


def _wanted(language: str | None, kept: tuple[str, ...] | None) -> bool:
    return kept is None or (language is not None and language_code(language) in map(language_code, kept))


def _same(one: str, other: str | None) -> bool:
    return other is not None and language_code(one) == language_code(other)
