"""`speechcli data check`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from speechcli.cli import options as o

data = typer.Typer(no_args_is_help=True, help="Look at the data that models learn from.")

Checked = Annotated[
    list[Path], typer.Argument(metavar="MANIFEST...", help="Manifests or corpora, used together.", show_default=False)
]
Against = Annotated[
    list[Path] | None,
    typer.Option("--against", help="Another split, that should share nothing; may be repeated.", metavar="MANIFEST"),
]
CheckedModel = Annotated[
    str | None, typer.Option("--model", "-m", help="Model that has to write the texts.", metavar="MODEL")
]
Listen = Annotated[bool, typer.Option("--listen/--no-listen", help="Decode all recordings.")]
DecodingWorkers = Annotated[int, typer.Option("--workers", help="Threads that decode.", metavar="N", min=1)]
TableFormat = Annotated[Literal["table", "json"], typer.Option("--format", "-f", help="A table, or all findings.")]
Filtered = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write the rows without errors here: .tsv, .csv or .jsonl.", metavar="FILE"),
]


@data.command("check")
def check(
    manifests: Checked,
    against: Against = None,
    model: CheckedModel = None,
    revision: o.Revision = None,
    token: o.Token = None,
    cache_dir: o.CacheDir = None,
    offline: o.Offline = False,
    language: o.SpokenDefault = None,
    listen: Listen = True,
    workers: DecodingWorkers = 4,
    kind: TableFormat = "table",
    output: Filtered = None,
    overwrite: o.Overwrite = False,
    progress: o.Progress = "auto",
    quiet: o.Quiet = False,
) -> None:
    """Find what is wrong with manifests; exit code 5 if rows have errors."""
    given = o.without_none(locals(), "against")
    from speechcli.cli.findings import run

    run(given)
