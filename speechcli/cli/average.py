"""`speechcli average`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from speechcli.cli import shared_flags as flags

Averaged = Annotated[
    list[Path], typer.Argument(metavar="RUN|MODEL...", help="Run folder, or model folders.", show_default=False)
]
Last = Annotated[
    int | None,
    flags.flag(flags.INPUT, "--last", help="Only the N newest checkpoints. Default: all.", metavar="N", min=1),
]
Best = Annotated[
    int | None,
    flags.flag(flags.INPUT, "--best", help="Only the N checkpoints with the best scores.", metavar="N", min=1),
]
StoredDtype = Annotated[
    Literal["float32", "bfloat16", "float16"],
    flags.flag(flags.OUTPUT, "--dtype", help="Number format of the weights in the file."),
]


def average(
    sources: Averaged,
    output_dir: flags.ModelDir,
    last: Last = None,
    best: Best = None,
    dtype: StoredDtype = "float32",
    overwrite: flags.Overwrite = False,
    quiet: flags.Quiet = False,
) -> None:
    """Average the checkpoints of a run, or several models, into one model."""
    from speechcli.cli.console import say
    from speechcli.pipelines.average import average as run

    report = run(sources, output_dir, last=last, best=best, dtype=dtype, overwrite=overwrite)
    if not quiet:
        say(f"{output_dir}: the mean of {len(report.folders)} models: {', '.join(map(str, report.folders))}")
