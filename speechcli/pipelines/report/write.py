"""Write the report of a training run."""

from importlib.resources import files
from pathlib import Path

from speechcli.checkpoints.bundle import load
from speechcli.data.manifest import Utterance
from speechcli.errors import InputError, SpeechCliError, UsageError
from speechcli.pipelines.files.outputs import write_atomically
from speechcli.pipelines.report.attention import AttentionMaps, attention_maps
from speechcli.pipelines.report.page import make_page
from speechcli.pipelines.training_run.data import read_manifests
from speechcli.pipelines.training_run.history import History, read_history
from speechcli.training.merge import RUN_OPTIONS, merge_options
from speechcli.writers import encode


def write_report(run: Path, output: Path | None = None) -> Path:
    """Write a self-contained HTML page with curves, scores, examples and attention.

    Args:
        run: the folder of a run, finished or not.
        output: the file to write; None: `report.html` in the run's folder.

    Returns:
        the file

    Raises:
        InputError: if the folder contains no run.
        OutputError: if the file cannot be written.
        UsageError: if the name of the file does not end in .html.
    """
    path = run / "report.html" if output is None else output
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"`--output` must end in .html, but is {path}.")
    history = read_history(run)
    maps, missing = _attention_maps(run, history)
    try:
        options = (run / RUN_OPTIONS).read_text(encoding="utf-8") if (run / RUN_OPTIONS).is_file() else ""
        template = files("speechcli.pipelines.report").joinpath("page.html").read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{run / RUN_OPTIONS} cannot be read: {error.strerror or error}.") from error
    write_atomically(path, encode(make_page(template, run.resolve().name, history, options, maps, missing)))
    return path


def _attention_maps(run: Path, history: History) -> tuple[AttentionMaps | None, str]:
    """Compute the attention for one dev recording with the run's best model, or return why that is not possible."""
    folder = next((run / name for name in ("best", "last") if (run / name).is_dir()), None)
    if folder is None:
        return None, "No model has been saved yet."
    try:
        return attention_maps(load(folder), _example(run, history)), ""
    except SpeechCliError as error:
        return None, error.message


def _example(run: Path, history: History) -> Utterance:
    """Return a dev recording for the attention plot, preferably a sample of the last evaluation, with a transcript."""
    options = merge_options(run=run).options
    if not options.data.dev:
        raise InputError("The run had no dev manifest, so there is no recording to look at.")
    utterances = [utterance for _, utterance in read_manifests(options.data.dev, options, lambda _: None, learn=False)]
    shown = {sample.id for event in history.evaluations[-1:] for sample in event.samples}
    return max(utterances, key=lambda one: (one.id in shown, one.transcript is not None, bool(one.targets)))
