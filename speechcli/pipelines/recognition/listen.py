"""Transcribe recordings: decode their pieces in batches, and join the texts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from speechcli.checkpoints.bundle import Bundle
from speechcli.checkpoints.ctc import CtcBundle
from speechcli.decoding.option_rules import keys_without_effect
from speechcli.errors import OutOfMemory
from speechcli.pipelines.files.inputs import Source
from speechcli.pipelines.files.unfinished import Unfinished
from speechcli.pipelines.load import load_bundle
from speechcli.pipelines.outcome import Failure, Loaded, Outcome, Progress, Report, Warned, silent
from speechcli.pipelines.recognition.assemble import DecodedPiece, join, most_common_language, segments_of
from speechcli.pipelines.recognition.attention import AttentionRecognizer
from speechcli.pipelines.recognition.backoff import BackOff
from speechcli.pipelines.recognition.batches import batches
from speechcli.pipelines.recognition.ctc import CtcRecognizer
from speechcli.pipelines.recognition.pieces import End, Piece, Reader, stretch
from speechcli.pipelines.recognition.read_ahead import read_ahead
from speechcli.pipelines.recognition.recognizer import Clip, Decoded, Recognizer
from speechcli.pipelines.speech_options import SpeechOptions
from speechcli.transcript import Transcript

# Audio decoded at once: enough to keep the device busy, with room for the weights and the beams.
BATCH_SECONDS = {"cpu": 60.0, "mps": 120.0, "cuda": 480.0}
# Audio read ahead, so that pieces of similar length can be batched; limits the audio in memory (64 kB per second).
MAX_AHEAD_BATCHES, MAX_AHEAD_SECONDS = 4, 900.0
MAX_AHEAD_ITEMS = 512

NOTHING = np.zeros(0, dtype=np.float32)


class _Group(NamedTuple):
    """Pieces that are batched together."""

    items: list[Piece | End]
    expected_seconds: float | None


@dataclass
class _Recording:
    """A recording that is not finished yet."""

    pieces: dict[int, DecodedPiece] = field(default_factory=dict)
    """The decoded pieces by their numbers."""
    end: End | None = None


class Listener:
    """Transcribes many recordings with one model.

    Args:
        recognizer: the model.
        options: the options of the command.
        report: receives progress and warnings.

    Raises:
        UsageError: the voice activity detector is not possible with this model.
    """

    def __init__(self, recognizer: Recognizer, options: SpeechOptions, report: Report = silent) -> None:
        self._recognizer = recognizer
        self._options = options
        self._report = report
        self._reader = Reader(options, recognizer.sample_rate, recognizer.max_seconds)
        self._back_off = BackOff()
        self._batch_seconds = options.decoding.batch_seconds or BATCH_SECONDS[recognizer.device.type]
        self._chosen = options.chosen()
        self._sources: Sequence[Source] = ()
        self._open: dict[int, _Recording] = {}
        self._failed: set[int] = set()
        self._unfinished: Unfinished | None = None
        self._done = 0
        self._audio_seconds = 0.0
        self._expected_seconds: float | None = None

    def listen(
        self,
        sources: Sequence[Source],
        stop: Callable[[], bool] = lambda: False,
        unfinished: Unfinished | None = None,
    ) -> Iterator[Outcome]:
        """Yield the outcome of each recording as soon as it is known, not necessarily in order.

        A recording that cannot be read or does not fit into memory is a failure, and does not stop the others.

        Args:
            sources: the recordings.
            stop: called between batches; returns whether to stop early.
            unfinished: keeps the results of pieces until the outcome of their recording has been written.
        """
        self._sources, self._open, self._failed, self._unfinished = sources, {}, set(), unfinished
        self._done, self._audio_seconds = 0, 0.0
        with closing(read_ahead(self._groups)) as groups:
            for group in groups:
                self._expected_seconds = group.expected_seconds
                for outcome in self._decode(group.items, stop):
                    self._done += 1
                    self._report_progress()
                    yield outcome
                if stop():
                    return

    def _report_progress(self) -> None:
        self._report(Progress(self._done, len(self._sources), self._audio_seconds, self._expected_seconds))

    def _groups(self, stopped: Callable[[], bool]) -> Iterator[_Group]:
        """Read pieces ahead, in groups large enough to batch by length."""
        limit = min(MAX_AHEAD_BATCHES * self._batch_seconds, MAX_AHEAD_SECONDS)
        items: list[Piece | End] = []
        samples = 0
        for item in self._reader.read(self._sources, stopped):
            items.append(item)
            samples += len(item.samples) if isinstance(item, Piece) else 0
            if samples >= limit * self._recognizer.sample_rate or len(items) >= MAX_AHEAD_ITEMS:
                yield _Group(items, self._reader.expected_seconds)
                items, samples = [], 0
        if items:
            yield _Group(items, self._reader.expected_seconds)

    def _decode(self, items: Sequence[Piece | End], stop: Callable[[], bool]) -> Iterator[Outcome]:
        for item in items:
            if isinstance(item, End):
                yield from self._ended(item)
        pieces = [item for item in items if isinstance(item, Piece) and item.index not in self._failed]
        groups = batches(
            [self._recognizer.padded(len(piece.samples)) for piece in pieces],
            max_padded=self._batch_seconds * self._recognizer.sample_rate,
            max_items=self._options.decoding.batch_size,
        )
        for group in groups:
            if stop():
                return
            for part, results in self._back_off.run(self._decode_pieces, [pieces[index] for index in group]):
                yield from self._taken(part, results)

    def _decode_pieces(self, pieces: Sequence[Piece]) -> list[tuple[Decoded, ...]]:
        known = [self._known(piece) for piece in pieces]
        unknown = [piece for piece, each in zip(pieces, known, strict=True) if each is None]
        clips = [Clip(piece.samples, self._sources[piece.index].language) for piece in unknown]
        decoded = iter(self._recognizer.decode(clips) if clips else ())
        return [next(decoded) if each is None else each for each in known]

    def _known(self, piece: Piece) -> tuple[Decoded, ...] | None:
        """Return the result of an earlier run, if there is one."""
        if self._unfinished is None:
            return None
        language = self._sources[piece.index].language
        found = self._unfinished.find(piece.index, piece.number, piece.samples.tobytes(), language)
        return found and tuple(map(Decoded.from_json, found))

    def _taken(self, part: Sequence[Piece], results: Sequence[tuple[Decoded, ...]] | OutOfMemory) -> Iterator[Outcome]:
        """Assign results to their recordings, and yield those that are complete."""
        self._audio_seconds += sum(piece.covers for piece in part)
        self._report_progress()
        if isinstance(results, OutOfMemory):
            yield from self._fails(part[0].index, Failure.of(self._sources[part[0].index].name, results))
            return
        for piece, decoded in zip(part, results, strict=True):
            if piece.index not in self._failed:
                end = piece.start + len(piece.samples) / self._recognizer.sample_rate
                finished = DecodedPiece(piece.start, end, piece.channel, decoded)
                self._recording(piece.index).pieces[piece.number] = finished
                yield from self._completed(piece.index)
        if self._unfinished is not None:
            pairs = zip(part, results, strict=True)
            self._unfinished.add(
                {(each.index, each.number): texts for each, texts in pairs if each.index in self._open}
            )

    def _ended(self, end: End) -> Iterator[Outcome]:
        self._audio_seconds += end.covers
        if end.failure is not None:
            yield from self._fails(end.index, end.failure)
        elif end.index not in self._failed:
            if end.truncated:
                name = self._sources[end.index].name
                self._report(Warned(f"{name} is truncated: only the first {end.seconds:.1f} s can be read."))
            if end.no_speech:
                name = self._sources[end.index].name
                self._report(Warned(f"No speech was found in {name}; `--vad none` transcribes all of it."))
            self._recording(end.index).end = end
            yield from self._completed(end.index)

    def _recording(self, index: int) -> _Recording:
        return self._open.setdefault(index, _Recording())

    def _fails(self, index: int, failure: Failure) -> Iterator[Outcome]:
        if index not in self._failed:
            self._failed.add(index)
            self._open.pop(index, None)
            yield Outcome(index, (), failure)

    def _completed(self, index: int) -> Iterator[Outcome]:
        recording = self._open[index]
        if recording.end is not None and len(recording.pieces) == recording.end.pieces:
            del self._open[index]
            pieces = [piece for _, piece in sorted(recording.pieces.items())]
            targets = range(self._recognizer.targets)
            seconds = recording.end.seconds
            yield Outcome(index, tuple(self._transcript(index, pieces, seconds, target) for target in targets))
            if self._unfinished is not None:
                self._unfinished.drop(index)

    def _transcript(self, index: int, pieces: Sequence[DecodedPiece], seconds: float, target: int) -> Transcript:
        source = self._sources[index]
        start = stretch(source, self._options.inputs)[0] or 0.0
        segments = segments_of(pieces, target, start)
        # A recording without speech has the languages of an empty clip.
        decoded = [piece.decoded for piece in pieces] or self._recognizer.decode([Clip(NOTHING, source.language)])
        texts = [each[target] for each in decoded]
        target_language = most_common_language((text.target_language, len(text.tokens)) for text in texts)
        return Transcript(
            path=source.name,
            text=join([segment.text for segment in segments], target_language),
            language=most_common_language((text.language, len(text.tokens)) for text in texts),
            target_language=target_language,
            start=start,
            duration=seconds,
            segments=segments,
            model=self._options.model.shown,
            options=self._chosen,
        )


def open_recognizer(bundle: Bundle | CtcBundle, options: SpeechOptions) -> Recognizer:
    """Make the recognizer for a model.

    Raises:
        ModelError: the model cannot write text.
        UsageError: an option is not possible with this model.
    """
    return CtcRecognizer(bundle, options) if isinstance(bundle, CtcBundle) else AttentionRecognizer(bundle, options)


def open_listener(options: SpeechOptions, report: Report = silent) -> Listener:
    """Load a model, and make a listener for it.

    Raises:
        ModelError: the model cannot be loaded, or cannot write text.
        UsageError: an option is not possible with this model.
    """
    bundle = load_bundle(options.model, options.language)
    weight = next(bundle.model.parameters())
    report(Loaded(bundle.name, str(weight.device), str(weight.dtype).removeprefix("torch.")))
    for name in keys_without_effect(bundle.generation.extra) if isinstance(bundle, Bundle) else ():
        report(Warned(f"`{name}` in the model's generation_config.json has no effect on audio input."))
    return Listener(open_recognizer(bundle, options), options, report)
