"""`speechcli average`."""

from speechcli.cli import options as o


def average(
    sources: o.Averaged,
    output_dir: o.ModelDir,
    last: o.Last = None,
    best: o.Best = None,
    dtype: o.StoredDtype = "float32",
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> None:
    """Average the checkpoints of a run, or several models, into one model."""
    from speechcli.cli.console import say
    from speechcli.pipelines.average import average as run

    report = run(sources, output_dir, last=last, best=best, dtype=dtype, overwrite=overwrite)
    if not quiet:
        say(f"{output_dir} is the mean of {len(report.folders)} models: {', '.join(map(str, report.folders))}")
