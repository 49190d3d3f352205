"""Score a model on manifests, for each pair of spoken and target language."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from speechcli.checkpoints.bundle import Bundle
from speechcli.checkpoints.ctc import CtcBundle
from speechcli.data.manifest import ManifestOptions, Utterance, read_manifest
from speechcli.errors import AllInputsFailed, InputError, UsageError
from speechcli.pipelines.decoding_options import DecodingOptions, refuse_memory
from speechcli.pipelines.files.outputs import Input, refuse_replacing, write_atomically
from speechcli.pipelines.load import load_bundle
from speechcli.pipelines.recognition.ctc import CtcRecognizer
from speechcli.pipelines.scoring import ScoringOptions, decode_utterances, transcribe_utterances
from speechcli.pipelines.search.effective_options import effective_options
from speechcli.pipelines.search.write import TextWriter
from speechcli.pipelines.speech_options import (
    ModelOptions,
    SpeechOptions,
    TranscribeOptions,
    TranslateOptions,
    local_inputs,
)
from speechcli.pipelines.training_run.data import with_unique_ids
from speechcli.text.prompts import Prompts
from speechcli.training.metrics import GroupScore, Pair, score_pairs
from speechcli.training.objective import Objective
from speechcli.writers import encode

DEFAULT_BATCH_SECONDS = 120.0


@dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate, and how."""

    model: ModelOptions = ModelOptions()
    """Which model."""
    manifests: tuple[Path, ...] = ()
    """Manifests with reference texts."""
    task: str = "both"
    """`transcribe` scores transcripts, `translate` translations, `both` all texts."""
    language: str | None = None
    """The spoken language of manifest rows that name none."""
    source_languages: tuple[str, ...] = ()
    """Spoken languages to score; empty: all."""
    target_languages: tuple[str, ...] = ()
    """Languages of texts to score; empty: all."""
    decoding: DecodingOptions = DecodingOptions()
    """How text is searched for."""
    uncased: bool = False
    """Score translations lowercased and without punctuation, as usual for small corpora."""
    limit: int = 0
    """Score only the first utterances of each manifest, this many; 0: all."""
    workers: int = 0
    """Worker processes that read audio."""
    hypotheses: Path | None = None
    """File for references and hypotheses, as JSON lines."""

    def __post_init__(self) -> None:
        if not self.manifests:
            raise UsageError(
                "`evaluate` needs a manifest, but got none.", hint="speechcli evaluate --model DIR test.tsv"
            )
        if self.task not in ("transcribe", "translate", "both"):
            raise UsageError(f"`--task` must be transcribe, translate or both, but is {self.task}.")
        if self.task == "transcribe":
            refuse_memory(self.decoding)


@dataclass(frozen=True)
class EvaluateReport:
    """Scores of a model."""

    model: str
    scores: tuple[GroupScore, ...]
    """One per pair of spoken and target language."""
    losses: dict[str, float]
    """Mean losses over all texts."""
    seconds: float
    """Seconds of decoded audio."""
    bad_rows: tuple[str, ...]
    """Unusable rows of the manifests, one sentence each."""
    failures: dict[str, str]
    """Utterance id, or place of a row whose recording is missing -> why it could not be used."""
    left_out: tuple[str, ...] = ()
    """Languages of texts that the model cannot write."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            "model": self.model,
            "scores": [score.to_dict() for score in self.scores],
            "losses": {name: round(value, 5) for name, value in self.losses.items()},
            "seconds": round(self.seconds, 3),
            "bad_rows": list(self.bad_rows),
            "left_out": list(self.left_out),
            "failures": self.failures,
        }


def evaluate(
    options: EvaluateOptions, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> EvaluateReport:
    """Decode everything in the manifests and score it.

    Recordings are decoded whole: cut long ones into utterances in the manifest (columns `start` and `end`).

    Args:
        options: what to evaluate, and how.
        progress: called with the number of finished utterances and their total.

    Raises:
        ModelError: if the model cannot be loaded.
        UsageError: if an option is not possible with this model, or the hypotheses would replace an input.
        InputError: if a manifest cannot be used.
        AllInputsFailed: if no recording could be read.
        OutputError: if the hypotheses cannot be written.
    """
    _check_place(options.hypotheses, [*options.manifests, *local_inputs(options.model, options.decoding)])
    bundle = load_bundle(options.model, options.language)
    utterances, bad_rows, missing = _read(options, "transcribe" if isinstance(bundle, CtcBundle) else options.task)
    _check_place(options.hypotheses, [utterance.audio for utterance in utterances])
    batches = ScoringOptions(
        max_seconds=options.decoding.batch_seconds or DEFAULT_BATCH_SECONDS,
        max_items=options.decoding.batch_size,
        workers=options.workers,
    )

    left_out: tuple[str, ...] = ()

    def report_done(done: int) -> None:
        progress(done, len(utterances))

    if isinstance(bundle, CtcBundle):
        kind: type[SpeechOptions] = TranslateOptions if options.task == "translate" else TranscribeOptions
        speech = kind(model=options.model, decoding=options.decoding, language=options.language)
        scored = transcribe_utterances(CtcRecognizer(bundle, speech), utterances, batches, progress=report_done)
    else:
        writer, objective = _writer(bundle, options), _objective(bundle)
        utterances, left_out = _writable(utterances, writer.prompts)
        scored = decode_utterances(writer, utterances, objective, batches, progress=report_done)
    if not scored.pairs:
        reason = next(iter(scored.failures.values()), "no row has a text")
        raise AllInputsFailed(f"None of {len(utterances)} recordings could be scored: {reason}")
    if options.hypotheses is not None:
        write_pairs(scored.pairs, options.hypotheses)
    scores = tuple(score_pairs(scored.pairs, uncased=options.uncased))
    name, losses, seconds = options.model.shown, scored.losses, scored.seconds
    return EvaluateReport(name, scores, losses, seconds, bad_rows, missing | scored.failures, left_out)


def _check_place(place: Path | None, inputs: Sequence[Input]) -> None:
    if place is not None:
        if place.is_dir():
            raise UsageError(f"`--hypotheses` must be a file, but {place} is a folder.")
        refuse_replacing([place], inputs)


def _writer(bundle: Bundle, options: EvaluateOptions) -> TextWriter:
    if bundle.adapters and options.language is not None:
        bundle.set_language(options.language)
    searched = effective_options(bundle.generation, options.decoding).with_(num_return_sequences=1)
    return TextWriter(bundle, searched, options.decoding, options.model)


def _writable(utterances: Sequence[Utterance], prompts: Prompts) -> tuple[list[Utterance], tuple[str, ...]]:
    """Return the utterances with the texts that the model can write, and the languages of the others."""
    kept, left_out = [], set()
    for utterance in utterances:
        targets = [each for each in utterance.targets if prompts.writes(utterance.language, each.language)]
        left_out |= {each.language for each in utterance.targets if each.language and each not in targets}
        if targets:
            kept.append(replace(utterance, targets=tuple(targets)))
    if not kept:
        raise UsageError(
            f"This model cannot write {', '.join(sorted(left_out))}, the languages of the texts.",
            hint=f"It can translate into {', '.join(prompts.into)}." if prompts.into else None,
        )
    return kept, tuple(sorted(left_out))


def _objective(bundle: Bundle) -> Objective:
    blank = bundle.settings.get("ctc", {}).get("blank_id", bundle.generation.pad_token_id)
    return Objective(ctc_weight=0.0 if bundle.model.ctc_head is None else 0.5, blank_id=blank or 0)


def write_pairs(pairs: Sequence[Pair], path: Path) -> None:
    """Write references and hypotheses as JSON lines.

    Raises:
        OutputError: if the file cannot be written.
    """
    lines = [
        json.dumps(
            {
                "id": pair.id,
                "language": pair.spoken,
                "target_language": pair.language,
                "reference": pair.reference,
                "hypothesis": pair.hypothesis,
            },
            ensure_ascii=False,
        )
        for pair in sorted(pairs, key=lambda pair: (pair.id, pair.language or ""))
    ]
    write_atomically(path, encode("\n".join([*lines, ""])))


def _read(options: EvaluateOptions, task: str) -> tuple[list[Utterance], tuple[str, ...], dict[str, str]]:
    """Return the utterances, the bad rows, and those whose recording is missing, if all are wanted."""
    wanted = ManifestOptions(
        task=task,  # type: ignore[arg-type]  # EvaluateOptions allows the same three
        source_languages=options.source_languages or None,
        target_languages=options.target_languages or None,
        default_language=options.language,
    )
    read: list[tuple[str, Utterance]] = []
    bad_rows: list[str] = []
    missing: dict[str, str] = {}
    for path in options.manifests:
        manifest = read_manifest(path, options=wanted)
        read += [(str(path), utterance) for utterance in manifest.utterances[: options.limit or None]]
        for row in manifest.bad_rows:
            if row.kind in ("missing-audio", "unreadable-audio") and not options.limit:
                missing[f"{path} {row.where}"] = f"{row.reason}."
            else:
                bad_rows.append(f"{path} {row.where}: {row.reason}.")
    if not read:
        raise InputError("An evaluation needs usable rows, but the manifests have none.")
    return [utterance for _, utterance in with_unique_ids(read)], tuple(bad_rows), missing
