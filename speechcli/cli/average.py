"""`speechcli average`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from speechcli.cli import options as o

Averaged = Annotated[
    list[Path], typer.Argument(metavar="RUN|MODEL...", help="Folder of a run, or of models.", show_default=False)
]
Last = Annotated[
    int | None, o.flag(o.INPUT, "--last", help="Only the N newest checkpoints. Absent: all.", metavar="N", min=1)
]
Best = Annotated[
    int | None, o.flag(o.INPUT, "--best", help="Only the N checkpoints that scored best.", metavar="N", min=1)
]
StoredDtype = Annotated[
    Literal["float32", "bfloat16", "float16"], o.flag(o.OUTPUT, "--dtype", help="Numbers that the file holds.")
]


def average(
    sources: Averaged,
    output_dir: o.ModelDir,
    last: Last = None,
    best: Best = None,
    dtype: StoredDtype = "float32",
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Average the checkpoints of a run, or several models, into one model."""
    from speechcli.cli.console import say
    from speechcli.pipelines.average import average as run

    report = run(sources, output_dir, last=last, best=best, dtype=dtype, overwrite=overwrite)
    if not quiet:
        say(f"{output_dir} is the mean of {len(report.folders)} models: {', '.join(map(str, report.folders))}")
