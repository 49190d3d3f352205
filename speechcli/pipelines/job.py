"""Run `transcribe` or `translate`: to standard output or a folder, planned before any work, resumable."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from speechcli import __version__
from speechcli.audio.url import Url
from speechcli.errors import UsageError
from speechcli.pipelines.files.inputs import Inputs, Source, find_inputs, shown_name
from speechcli.pipelines.files.journal import FailureList, Journal, journal_path
from speechcli.pipelines.files.lock import locked
from speechcli.pipelines.files.outputs import (
    Output,
    make_folder,
    plan_outputs,
    refuse_overwriting,
    refuse_replacing,
    write_atomically,
)
from speechcli.pipelines.files.stream import Sink, Stream
from speechcli.pipelines.files.unfinished import Unfinished
from speechcli.pipelines.outcome import Failure, JobReport, Outcome, Report, Warned, in_order, silent
from speechcli.pipelines.speech_options import OutputOptions, SpeechOptions, check_shown, local_inputs
from speechcli.training.signals import StopSignals
from speechcli.writers import make_writers


class Listens(Protocol):
    """A loaded model, as `speechcli.pipelines.recognition.listen.Listener`."""

    def listen(
        self, sources: Sequence[Source], stop: Callable[[], bool] = ..., unfinished: Unfinished | None = ...
    ) -> Iterator[Outcome]:
        """Yield the outcome of each recording; `stop` is called between batches."""
        ...


Open = Callable[[SpeechOptions, Report], Listens]
Work = tuple[Source, tuple[Output, ...]]


def open_listener(options: SpeechOptions, report: Report) -> Listens:
    """Load the model. torch is imported only here, after inputs and outputs have been checked."""
    from speechcli.pipelines.recognition import listen

    return listen.open_listener(options, report)


def run_job(
    options: SpeechOptions,
    outputs: OutputOptions,
    *,
    sink: Sink,
    report: Report = silent,
    open_model: Open = open_listener,
) -> JobReport:
    """Transcribe or translate all inputs, and write the results.

    Args:
        options: what to do.
        outputs: where the results go.
        sink: standard output.
        report: receives progress, warnings and failures.
        open_model: loads the model.

    Raises:
        InputError: no input exists.
        ModelError: the model cannot be loaded, or cannot write text.
        OutputError: the disk is full, or an output cannot be written.
        UsageError: an option is not possible, or files would be overwritten.
    """
    check_shown(options.decoding, outputs.formats)
    inputs = find_inputs(options.inputs)
    nameless = [source.name for source in inputs.sources if source.path is None or isinstance(source.path, Url)]
    if "manifest" in outputs.formats and nameless:
        other = "standard input" if nameless[0] == "-" else nameless[0]
        raise UsageError(
            f"`-f manifest` needs recordings with file names, but {other} has none.", hint="Give the file itself."
        )
    if "manifest" in outputs.formats and options.inputs.channel != "mix":
        raise UsageError(
            "`-f manifest` needs `--channel mix`, because training mixes the channels of a recording, but it is "
            f"{options.inputs.channel}.",
            hint="Choose another format, or first write each channel to its own file.",
        )
    if outputs.output_dir is None:
        return _to_stream(options, outputs, inputs, sink, report, open_model)
    return _to_folder(options, outputs, outputs.output_dir, inputs, report, open_model)


def _to_stream(
    options: SpeechOptions, outputs: OutputOptions, inputs: Inputs, sink: Sink, report: Report, open_model: Open
) -> JobReport:
    names = [source.name for source in inputs.sources]
    # A folder, a glob or a list is several inputs, even if it contains only one file.
    several = names != [shown_name(text) for text in options.inputs.inputs] or len(names) > 1
    kind, shape = outputs.formats[0], outputs.shape
    stream = Stream(sink, kind, several_inputs=several, targets=options.targets, shape=shape)
    result = JobReport()
    for outcome in _all_outcomes(inputs.failures, in_order(open_model(options, report).listen(inputs.sources))):
        if outcome.failure is not None:
            report(outcome.failure)
        else:
            stream.write(outcome.transcripts)
        result.count(outcome)
    stream.finish()
    return result


def _to_folder(
    options: SpeechOptions, outputs: OutputOptions, folder: Path, inputs: Inputs, report: Report, open_model: Open
) -> JobReport:
    # The outputs of all parts of the job are planned, so that their names do not depend on the part.
    plan = plan_outputs(inputs.sources, folder, outputs.formats, options.targets)
    make_folder(folder)

    def warn() -> None:
        report(Warned("Stopping after this batch; a second signal stops at once."))

    with locked(journal_path(folder, outputs.shard)), StopSignals(warn) as signals:
        return _FolderJob(options, outputs, folder, report).run(plan, inputs, open_model, lambda: signals.received)


class _FolderJob:
    """Writes one output file per recording, target language and format."""

    def __init__(self, options: SpeechOptions, outputs: OutputOptions, folder: Path, report: Report) -> None:
        self._options, self._outputs, self._report = options, outputs, report
        model, shard = _identity(options), outputs.shard
        self._journal = Journal(folder, model=model, options=options.chosen() | outputs.chosen(), shard=shard)
        made_by = {"model": model, "options": options.chosen()}
        self._unfinished = Unfinished(folder, shard, made_by, resume=outputs.resume)
        self._failures = FailureList(folder, shard)
        self._writers = make_writers(outputs.shape)

    def run(
        self, plan: Sequence[tuple[Output, ...]], inputs: Inputs, open_model: Open, stop: Callable[[], bool]
    ) -> JobReport:
        """Process the inputs that are not done yet."""
        shard = self._outputs.shard
        part = shard.of(list(zip(inputs.sources, plan, strict=True)))
        work = [each for each in part if not (self._journal.done(*each) and self._outputs.resume)]
        foreign = self._foreign(work)
        lists = [text[1:] for text in self._options.inputs.inputs if text.startswith("@")]
        refuse_replacing(
            (output.path for output in foreign),
            [
                *local_inputs(self._options.model, self._options.decoding),
                *(self._options.inputs.manifest, *lists),
                *(source.path for source in inputs.sources),
            ],
        )
        if not self._outputs.overwrite:
            refuse_overwriting(foreign)
        result = JobReport(skipped=len(part) - len(work), left=len(work))
        sources = [source for source, _ in work]
        model = open_model(self._options, self._report) if sources else None
        outcomes = model.listen(sources, stop, self._unfinished) if model else iter(())
        for outcome in _all_outcomes(shard.of(inputs.failures), outcomes):
            self._take(outcome, work)
            result.count(outcome)
            result.left -= outcome.index >= 0
        if not result.left:
            self._failures.finish()
            self._unfinished.finish()
        return result

    def _foreign(self, work: Sequence[Work]) -> list[Output]:
        """Return the outputs that this job must not replace without `--overwrite`."""
        redo = not self._outputs.resume
        return [
            output
            for source, files in work
            for output in files
            if not (self._journal.started(source, output) or (redo and self._journal.knows(output)))
        ]

    def _take(self, outcome: Outcome, work: Sequence[Work]) -> None:
        if outcome.failure is not None:
            self._report(outcome.failure)
            self._failures.add(outcome.failure)
        else:
            source, files = work[outcome.index]
            self._journal.add(source, files, done=False)
            for output in files:
                write_atomically(output.path, self._writers[output.format].write(outcome.transcripts[output.target]))
            self._journal.add(source, files, done=True)


def _all_outcomes(missing: Sequence[Failure], outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """Yield the missing inputs, then the outcomes of the others."""
    for failure in missing:
        yield Outcome(-1, (), failure)
    yield from outcomes


def _identity(options: SpeechOptions) -> dict[str, Any]:
    """Return what identifies the model and its version, without loading it, and those of other files that it uses."""
    model, *others = (
        None if name is None else Path(os.path.expanduser(name))
        for name in local_inputs(options.model, options.decoding)
    )
    found = {"used": used} if (used := max(map(_changed, others))) else {}
    if model is None or not os.path.isdir(model):
        return {"name": options.model.shown, "version": __version__} | found
    return {"name": str(model.resolve()), "changed": _changed(model)} | found


def _changed(path: Path | None) -> int:
    """Return when a file, or the newest file of a folder, was last changed, in nanoseconds; 0 if there is none."""
    if path is None or not os.path.exists(path):  # also works for names that are too long for a path
        return 0
    files = (each for each in path.rglob("*") if each.is_file()) if path.is_dir() else (path,)
    return max((each.stat().st_mtime_ns for each in files), default=0)
