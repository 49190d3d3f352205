"""Write transcripts to one stream, such as standard output."""

from collections.abc import Callable, Sequence

from speechcli.errors import UsageError
from speechcli.pipelines.speech_options import target_labels
from speechcli.subtitles import DEFAULT_SHAPE, CueShape
from speechcli.transcript import Transcript, one_line
from speechcli.writers import encode, indented, make_writers

Sink = Callable[[bytes], None]


class Stream:
    """Writes transcripts as they arrive.

    | format | one recording, one language | more |
    |---|---|---|
    | txt | the text | path, language (if there are several) and text, tab-separated |
    | json | an object | an array of objects |
    | jsonl | an object on one line | one object per line |
    | manifest | one object per segment and line | the same |
    | srt, vtt, tsv | the file | not possible |

    Args:
        sink: receives bytes.
        kind: the format.
        several_inputs: whether there are several recordings, so that paths are shown.
        targets: the target languages.
        shape: the shape of subtitles.

    Raises:
        UsageError: the format cannot contain several transcripts.
    """

    def __init__(
        self,
        sink: Sink,
        kind: str,
        *,
        several_inputs: bool,
        targets: Sequence[str],
        shape: CueShape = DEFAULT_SHAPE,
    ) -> None:
        self._sink = sink
        self._writers = make_writers(shape)
        self._kind = kind
        self._several_inputs = several_inputs
        self._targets = target_labels(targets) if len(targets) > 1 else [""]
        self._several = several_inputs or len(targets) > 1
        self._count = 0
        if self._several and kind in ("srt", "vtt", "tsv"):
            raise UsageError(
                f"Standard output takes {kind} of one recording in one language, but there are several.",
                hint="Write files with -o DIR.",
            )

    def write(self, transcripts: Sequence[Transcript]) -> None:
        """Write the transcripts of one recording, one for each language."""
        for target, transcript in zip(self._targets, transcripts, strict=True):
            if self._kind == "txt":
                self._sink(encode(self._line(target, transcript)))
            elif self._kind == "json" and self._several:
                self._sink(encode(("," if self._count else "[") + "\n" + _indented(transcript)))
            else:
                self._sink(self._writers[self._kind].write(transcript))
            self._count += 1

    def finish(self) -> None:
        """Write what comes after the last transcript."""
        if self._kind == "json" and self._several:
            self._sink(b"\n]\n" if self._count else b"[]\n")

    def _line(self, target: str, transcript: Transcript) -> str:
        cells = [one_line(transcript.path)] if self._several_inputs else []
        cells += [target] if target else []
        return "\t".join([*cells, one_line(transcript.text)]) + "\n"


def _indented(transcript: Transcript) -> str:
    return "\n".join(f"  {line}" for line in indented(transcript.to_dict()).split("\n"))
