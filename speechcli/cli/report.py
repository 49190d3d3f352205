"""`speechcli report`."""

from pathlib import Path
from typing import Annotated

import typer

from speechcli.cli import shared_flags as flags

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training run.", show_default=False)]
Page = Annotated[
    Path | None,
    flags.flag(
        flags.OUTPUT, "--output", "-o", help="File to write. Default: report.html in the run folder.", metavar="FILE"
    ),
]


def report(run: RunFolder, output: Page = None, quiet: flags.Quiet = False) -> None:
    """Write an HTML page about a training run: curves, scores, examples and attention."""
    from speechcli.cli.console import say
    from speechcli.pipelines.report.write import write_report

    page = write_report(run, output)
    if not quiet:
        say(f"{page}: the report of {run}")
