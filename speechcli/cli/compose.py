"""What `init` and `warm-start` say at the end."""

from speechcli.cli.console import say
from speechcli.pipelines.compose_options import ComposeReport


def show(report: ComposeReport, *, quiet: bool) -> None:
    """Say what was made, and how to go on."""
    if quiet:
        return
    say(f"{report.folder}: {report.parameters:,} parameters")
    for remark in report.remarks:
        say(remark)
    say(f"next: speechcli train --model {report.folder} --train train.tsv --dev dev.tsv -o RUN")
