"""`speechcli report`."""

from speechcli.cli import options as o


def report(run: o.RunFolder, output: o.Page = None, quiet: o.Quiet = False) -> None:
    """Write one HTML page about a training run: curves, scores, examples, and where the model looks."""
    from speechcli.cli.console import say
    from speechcli.pipelines.report.write import write_report

    page = write_report(run, output)
    if not quiet:
        say(f"{page} is the report of {run}")
