"""Runs a `transcribe` or `translate` job and reports its outcome."""

from collections.abc import Mapping
from typing import Any

from speechcli.cli.console import Console
from speechcli.cli.shared_flags import pick
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.job import run_job
from speechcli.pipelines.speech_options import InputOptions, ModelOptions, OutputOptions, SpeechOptions

TIMED = frozenset(("srt", "vtt", "tsv"))
"""Formats that show times."""


def speech_sections(given: Mapping[str, Any]) -> tuple[ModelOptions, InputOptions, DecodingOptions]:
    """Group the arguments of a command into sections of options."""
    given = {**given, "inputs": given["inputs"] or [], "generation_set": given["generation_set"] or []}
    if given["timestamps"] is None and TIMED.intersection(given["formats"]):
        given["timestamps"] = "auto"
    return pick(ModelOptions, given), pick(InputOptions, given), pick(DecodingOptions, given)


def deliver(options: SpeechOptions, outputs: OutputOptions, progress: str, *, quiet: bool, verbose: bool) -> None:
    """Run the job, print its results, and raise an error if inputs failed.

    Raises:
        SpeechCliError: the job failed in part or as a whole.
    """
    with Console(progress, quiet=quiet, verbose=verbose) as console:
        report = run_job(options, outputs, sink=console.data, report=console.report)
        if outputs.output_dir is not None or verbose:
            console.summary(report)
    report.check()
