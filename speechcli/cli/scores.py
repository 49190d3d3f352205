"""Runs `evaluate` and prints its scores."""

import json
from collections.abc import Mapping
from typing import Any

from speechcli.cli.console import Console, say, write_data
from speechcli.cli.shared_flags import pick
from speechcli.errors import SomeInputsFailed
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.outcome import Progress
from speechcli.pipelines.speech_options import ModelOptions


def run(given: Mapping[str, Any]) -> None:
    """Evaluate, print the scores, and raise an error if recordings failed.

    Raises:
        SpeechCliError: the scoring failed in part or as a whole.
    """
    parts = {"model": pick(ModelOptions, given), "decoding": pick(DecodingOptions, given)}
    from speechcli.pipelines import evaluate as pipeline

    options = pick(pipeline.EvaluateOptions, {**given, **parts})
    with Console(given["progress"], quiet=given["quiet"]) as console:
        report = pipeline.evaluate(options, progress=lambda done, total: console.report(Progress(done, total, 0.0)))
    values = report.to_dict()
    text = json.dumps(values, ensure_ascii=False, indent=2) + "\n" if given["as_json"] else _table(values["scores"])
    write_data(text.encode("utf-8", "backslashreplace"))
    if report.left_out and not given["quiet"]:
        say(f"warning: the model cannot write {', '.join(report.left_out)}, so these texts were left out.")
    _report_failures(report.bad_rows, report.failures, quiet=given["quiet"])


def _table(scores: list[dict[str, Any]]) -> str:
    """Format scores as a tab-separated table with one line per pair of languages and metric."""
    lines = ["spoken\twritten\tutterances\tmetric\tvalue"]
    for score in scores:
        common = [str(score[key] or "?") for key in ("spoken", "language", "utterances")]
        metrics = {name: value for name, value in score.items() if isinstance(value, float)}
        lines += ["\t".join([*common, name, f"{value:.2f}"]) for name, value in metrics.items()]
    return "\n".join([*lines, ""])


def _report_failures(bad_rows: tuple[str, ...], failures: Mapping[str, str], *, quiet: bool) -> None:
    for row in () if quiet else bad_rows:
        say(f"warning: {row}")
    for name, why in failures.items():
        say(f"error: {name}: {why}")
    if failures:
        raise SomeInputsFailed(f"Recordings that could not be scored: {len(failures)}.")
