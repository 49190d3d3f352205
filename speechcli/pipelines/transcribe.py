"""Speech to text in the spoken language."""

from collections.abc import Iterator

from speechcli.pipelines.options import TranscribeOptions
from speechcli.pipelines.outcome import Outcome, Report, silent
from speechcli.pipelines.speech import listen_to_inputs


def transcribe(options: TranscribeOptions, *, report: Report = silent) -> Iterator[Outcome]:
    """Write down recordings in the language that is spoken.

    The language is the one the options name; else the one a manifest names; else, for a model with language tags and
    a CTC head, the tag that the head hears best; else the one the model says first by itself.

    Args:
        options: what to do.
        report: told of progress and warnings.

    Yields:
        What became of each input, in order: a transcript, or a failure.

    Raises:
        InputError: no input is there.
        ModelError: the model cannot be loaded, or cannot write text.
        UsageError: something asked for is not possible.
    """
    yield from listen_to_inputs(options, report)
