"""Runs `data check` and prints its findings."""

import io
import json
import shutil
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from speechcli.cli.console import Console, write_data
from speechcli.cli.shared_flags import pick
from speechcli.errors import SomeInputsFailed
from speechcli.pipelines.outcome import Progress
from speechcli.pipelines.speech_options import ModelOptions

if TYPE_CHECKING:
    from rich.table import Table

    from speechcli.data.check import CheckReport

# Wide enough for any sentence: only output to a terminal is truncated.
UNLIMITED_WIDTH = 10_000
NUMBERS = ("rows", "usable", "hours", "speakers", "count")


def run(given: Mapping[str, Any]) -> None:
    """Check manifests, print the findings, and raise an error if rows have errors.

    Raises:
        SpeechCliError: some rows have errors, or nothing could be checked.
    """
    from speechcli.pipelines import check as pipeline

    model = None if given["model"] is None else pick(ModelOptions, given)
    options = pick(pipeline.CheckOptions, {**given, "model": model})
    with Console(given["progress"], quiet=given["quiet"]) as console:
        report = pipeline.check(options, progress=lambda done, total: console.report(Progress(done, total, 0.0)))
    text = _text(report)
    if given["kind"] == "json":
        text = json.dumps(report.to_dict(), ensure_ascii=False, indent=2) + "\n"
    write_data(text.encode("utf-8", "backslashreplace"))
    if report.errors:
        raise SomeInputsFailed(
            f"{report.errors} of {report.rows} rows have errors.",
            hint=None if options.output else "-o filtered.tsv writes the others; --format json lists every finding",
        )


def _text(report: "CheckReport") -> str:
    """Format the report as two tables."""
    from rich.console import Console as Terminal

    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    text = io.StringIO()
    width = shutil.get_terminal_size().columns if on_terminal else UNLIMITED_WIDTH
    terminal = Terminal(file=text, width=width, force_terminal=on_terminal, markup=False, highlight=False)
    terminal.print(_summaries(report))
    if report.findings:
        terminal.print()
        terminal.print(_findings(report))
    return "".join(line.rstrip() + "\n" for line in text.getvalue().split("\n")[:-1])


def _summaries(report: "CheckReport") -> "Table":
    table = _table("manifest", "rows", "usable", "hours", "speakers", "texts")
    for each in report.summaries:
        languages = ", ".join(f"{name} {count}" for name, count in each.languages.items())
        numbers = (str(each.rows), str(each.utterances), f"{each.hours:.2f}", str(each.speakers))
        table.add_row(str(each.path), *numbers, languages)
    return table


def _findings(report: "CheckReport") -> "Table":
    from speechcli.data.check import ERRORS, NOTES

    table = _table("finding", "kind", "count", "what", "the first")
    for kind, count in report.counts().items():
        first = next(finding for finding in report.findings if finding.kind == kind)
        place = " ".join(part for part in (str(first.manifest), first.where) if part)
        level = "error" if kind in ERRORS else "note"
        table.add_row(kind, level, str(count), ERRORS.get(kind) or NOTES[kind], f"{place}: {first.message}")
    return table


def _table(*columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in NUMBERS else "left")
    return table
