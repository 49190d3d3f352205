"""Check manifests, and write the rows without errors."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from speechcli.data.check import ERRORS, CheckReport, check_manifests
from speechcli.data.listening import listen_to
from speechcli.data.manifest import Manifest, ManifestOptions, read_manifest
from speechcli.data.write import manifest_bytes
from speechcli.errors import InputError, UsageError
from speechcli.pipelines.files.outputs import refuse_replacing, write_atomically
from speechcli.pipelines.speech_options import ModelOptions
from speechcli.text.languages import resolve_language

MANIFEST_SUFFIXES = (".tsv", ".csv", ".jsonl")


@dataclass(frozen=True)
class CheckOptions:
    """Which manifests to check, and how."""

    manifests: tuple[Path, ...]
    """Manifests that are used together."""
    against: tuple[Path, ...] = ()
    """Other splits, which should have nothing in common with them."""
    model: ModelOptions | None = None
    """A model whose tokenizer must cover the texts."""
    language: str | None = None
    """The spoken language of manifest rows that name none."""
    listen: bool = True
    """Decode all recordings, instead of only checking that they exist."""
    workers: int = 4
    """Threads that decode."""
    output: Path | None = None
    """Manifest to write with the rows that have no errors."""
    overwrite: bool = False
    """Replace an existing output."""


def check(options: CheckOptions, *, progress: Callable[[int, int], None] = lambda done, total: None) -> CheckReport:
    """Check manifests together, and write the rows without errors if an output is given.

    Args:
        options: what to do.
        progress: called with the number of decoded recordings and their total.

    Raises:
        InputError: if a manifest cannot be read, or no row is without an error.
        ModelError: if the model has no tokenizer.
        OutputError: if the output cannot be written.
        UsageError: if the output already exists or is an input, or its name is not that of a manifest.
    """
    if options.output is not None:
        _check_output(options.output, options)
    unknown_language, unknown_characters = _spelling(options.model)
    manifests, against = (_read(paths, options) for paths in (options.manifests, options.against))
    utterances = [utterance for manifest in (*manifests, *against) for utterance in manifest.utterances]
    report = check_manifests(
        manifests,
        against=against,
        decoded=listen_to(utterances, workers=options.workers, progress=progress) if options.listen else None,
        unknown_language=unknown_language,
        unknown_characters=unknown_characters,
    )
    if not report.kept:
        first = next(finding for finding in report.findings if finding.kind in ERRORS)
        raise InputError(f"All {report.rows} rows have errors: {first.message}")
    if options.output is not None:
        write_atomically(options.output, manifest_bytes(report.kept, options.output))
    return report


def _read(paths: tuple[Path, ...], options: CheckOptions) -> list[Manifest]:
    return [read_manifest(path, options=ManifestOptions(default_language=options.language)) for path in paths]


def _check_output(output: Path, options: CheckOptions) -> None:
    if output.suffix.lower() not in MANIFEST_SUFFIXES:
        raise UsageError(f"`--output` must end in {', '.join(MANIFEST_SUFFIXES)}, but is {output}.")
    refuse_replacing([output], (*options.manifests, *options.against))
    if output.exists() and not options.overwrite:
        raise UsageError(f"{output} already exists.", hint="Add --overwrite, or name another file with -o.")


def _spelling(model: ModelOptions | None) -> tuple[Callable[[str], bool], Callable[[str], str]]:
    """Return two functions: whether a model has no tag for a language, and which characters of a text it lacks."""
    if model is None:
        return (lambda language: False), (lambda text: "")
    from speechcli.pipelines.load import find_model
    from speechcli.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(find_model(model.model, model, revision=model.revision, weights=False))

    def unknown_language(language: str) -> bool:
        try:
            resolve_language(language, tokenizer.languages)
        except UsageError:
            return bool(tokenizer.languages)
        return False

    def unknown_characters(text: str) -> str:
        unknown = tokenizer.unk_id
        if unknown is None or unknown not in tokenizer.encode(text):
            return ""
        return "".join(char for char in dict.fromkeys(text) if unknown in tokenizer.encode(char))

    return unknown_language, unknown_characters
