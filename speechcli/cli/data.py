"""`speechcli data`: `check` and `vocabulary`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from speechcli.cli import shared_flags as flags

MAX_TOKENS = 10_000_000

data = typer.Typer(no_args_is_help=True, help="Check training data, and learn a vocabulary from it.")

Checked = Annotated[
    list[Path],
    typer.Argument(metavar="MANIFEST...", help="Manifests or corpora that are used together.", show_default=False),
]
Against = Annotated[
    list[Path] | None,
    typer.Option(
        "--against", help="Another split, which should have nothing in common; may be repeated.", metavar="MANIFEST"
    ),
]
CheckedModel = Annotated[
    str | None, typer.Option("--model", "-m", help="Model whose tokenizer must cover the texts.", metavar="MODEL")
]
Listen = Annotated[bool, typer.Option("--listen/--no-listen", help="Decode all recordings.")]
DecodingWorkers = Annotated[int, typer.Option("--workers", help="Threads that decode audio.", metavar="N", min=1)]
TableFormat = Annotated[
    Literal["table", "json"], typer.Option("--format", "-f", help="table: a summary; json: every finding.")
]
Filtered = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Write the rows without errors to this file: .tsv, .csv or .jsonl.", metavar="FILE"
    ),
]
TextManifests = Annotated[
    list[Path],
    typer.Argument(metavar="MANIFEST...", help="Manifests whose texts are learned from.", show_default=False),
]
Size = Annotated[
    int,
    typer.Option("--size", help="Maximum number of tokens.", metavar="N", min=1, max=MAX_TOKENS, show_default=False),
]
TextLanguages = Annotated[
    list[str] | None,
    typer.Option("--language", help="Use only texts in this language; may be repeated.", metavar="LANGUAGE"),
]
Lowercase = Annotated[bool, typer.Option("--lowercase/--no-lowercase", help="Lowercase the texts.")]
VocabularyDir = Annotated[
    Path, typer.Option("--output-dir", "-o", help="Folder for the tokenizer.", metavar="DIR", show_default=False)
]


@data.command("check")
def check(
    manifests: Checked,
    against: Against = None,
    model: CheckedModel = None,
    revision: flags.Revision = None,
    token: flags.Token = None,
    cache_dir: flags.CacheDir = None,
    offline: flags.Offline = False,
    language: flags.SpokenDefault = None,
    listen: Listen = True,
    workers: DecodingWorkers = 4,
    kind: TableFormat = "table",
    output: Filtered = None,
    overwrite: flags.Overwrite = False,
    progress: flags.Progress = "auto",
    quiet: flags.Quiet = False,
) -> None:
    """Find errors in manifests; exit code 5 if there are any."""
    given = flags.without_none(locals(), "against")
    from speechcli.cli.findings import run

    run(given)


@data.command("vocabulary")
def vocabulary(
    manifests: TextManifests,
    size: Size,
    output_dir: VocabularyDir,
    languages: TextLanguages = None,
    lowercase: Lowercase = False,
    overwrite: flags.Overwrite = False,
    quiet: flags.Quiet = False,
) -> None:
    """Learn a tokenizer from the texts of manifests: byte-pair encoding, with language tags if there are several."""
    given = flags.without_none(locals(), "languages")
    from speechcli.cli.console import say
    from speechcli.pipelines.vocabulary import VocabularyOptions, make_vocabulary

    made = make_vocabulary(flags.pick(VocabularyOptions, given))
    if not quiet:
        say(f"{made.folder}: {made.tokens} tokens from {made.texts} texts {' '.join(made.tags)}".rstrip())
        language = f" --language {made.tags[0]}" if made.tags else ""
        decoder = "mbart" if made.tags else "bart"
        say(f"next: speechcli init --encoder NAME --decoder {decoder} --tokenizer {made.folder}{language} -o MODEL")
