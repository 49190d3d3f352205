"""Speech to text in other languages: one pass of the encoder, any number of languages."""

from collections.abc import Iterator

from speechcli.pipelines.options import TranslateOptions
from speechcli.pipelines.outcome import Outcome, Report, silent
from speechcli.pipelines.speech import listen_to_inputs


def translate(options: TranslateOptions, *, report: Report = silent) -> Iterator[Outcome]:
    """Translate recordings into one or more languages.

    A model without language tags writes only one language, which is not named.

    Args:
        options: what to do.
        report: told of progress and warnings.

    Yields:
        What became of each input, in order: a transcript for each target language, or a failure.

    Raises:
        InputError: no input is there.
        ModelError: the model cannot be loaded, or cannot write text.
        UsageError: something asked for is not possible.
    """
    yield from listen_to_inputs(options, report)
