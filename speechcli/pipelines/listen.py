"""Recordings to transcripts: read, cut, batch across files, decode, put together again."""

import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from speechcli.audio.inside import AudioFile
from speechcli.audio.read import Audio, RawFormat, read_audio
from speechcli.audio.segments import Stretch, cut
from speechcli.errors import OutOfMemory, SpeechCliError
from speechcli.pipelines.backoff import BackOff
from speechcli.pipelines.batches import batches
from speechcli.pipelines.inputs import Source
from speechcli.pipelines.options import InputOptions, SpeechOptions
from speechcli.pipelines.outcome import Failure, Outcome, Progress, Report, Warned, silent
from speechcli.pipelines.recognizer import Clip, Decoded, Recognizer
from speechcli.transcript import Segment, Transcript

# Audio decoded at once: what keeps the device busy and leaves room for the weights and the beams.
BATCH_SECONDS = {"cpu": 60.0, "mps": 120.0, "cuda": 480.0}
# Batches read ahead, so that clips of like length meet; bounds the audio in memory.
WINDOW_BATCHES = 4
WINDOW_RECORDINGS = 512

_UNSPACED = frozenset(("zh", "ja", "yue", "th", "lo", "my", "km", "bo"))


@dataclass(frozen=True)
class _Recording:
    index: int
    source: Source
    audio: Audio
    stretches: list[Stretch]
    results: dict[int, tuple[Decoded, ...]]
    """Stretch -> one result for each target language."""


class _Piece(NamedTuple):
    recording: _Recording
    number: int

    @property
    def samples(self) -> int:
        start, end = self.recording.stretches[self.number]
        return end - start


class Listener:
    """Listens to many recordings with one model.

    Args:
        recognizer: the model.
        options: what was asked for.
        report: told of progress and warnings.
    """

    def __init__(self, recognizer: Recognizer, options: SpeechOptions, report: Report = silent) -> None:
        self._recognizer = recognizer
        self._options = options
        self._report = report
        self._back_off = BackOff()
        self._batch_seconds = options.decoding.batch_seconds or BATCH_SECONDS[recognizer.device.type]
        self._chosen = options.chosen()
        self._done = self._total = 0
        self._audio_seconds = 0.0

    def listen(self, sources: Sequence[Source]) -> Iterator[Outcome]:
        """Yield what became of each recording, as soon as it is known and not always in order.

        A recording that cannot be read or does not fit into memory is a failure; the others go on.
        """
        self._total = len(sources)
        for item in self._windows(sources):
            for outcome in [item] if isinstance(item, Outcome) else self._decode(item):
                self._done += 1
                self._tell()
                yield outcome

    def _tell(self) -> None:
        self._report(Progress(self._done, self._total, self._audio_seconds))

    def _windows(self, sources: Sequence[Source]) -> Iterator[Outcome | list[_Recording]]:
        """Read recordings until there is enough to do; failures at once."""
        window: list[_Recording] = []
        seconds = 0.0
        for index, source in enumerate(sources):
            read = self._read(index, source)
            if isinstance(read, Failure):
                yield Outcome(index, (), read)
                continue
            window.append(read)
            seconds += read.audio.seconds
            if seconds >= WINDOW_BATCHES * self._batch_seconds or len(window) >= WINDOW_RECORDINGS:
                yield window
                window, seconds = [], 0.0
        if window:
            yield window

    def _read(self, index: int, source: Source) -> _Recording | Failure:
        try:
            audio = read_source(source, self._options.inputs, self._recognizer.sample_rate)
        except SpeechCliError as error:
            return Failure.of(source.name, error)
        except MemoryError:
            return Failure(source.name, "The recording does not fit into memory.", None, OutOfMemory.exit_code)
        if audio.truncated:
            self._report(Warned(f"{source.name} is cut short: only the first {audio.seconds:.1f} s can be read."))
        stretches = cut(audio.samples, audio.sample_rate, max_seconds=self._options.decoding.max_segment)
        return _Recording(index, source, audio, stretches, {})

    def _decode(self, window: Sequence[_Recording]) -> Iterator[Outcome]:
        yield from (self._empty(recording) for recording in window if not recording.stretches)
        pieces = [_Piece(recording, number) for recording in window for number in range(len(recording.stretches))]
        groups = batches(
            [piece.samples for piece in pieces],
            max_padded=self._batch_seconds * self._recognizer.sample_rate,
            max_items=self._options.decoding.batch_size,
            equal=not self._recognizer.pads,
        )
        failed: set[int] = set()
        for group in groups:
            for part, results in self._back_off.run(self._decode_pieces, [pieces[index] for index in group]):
                yield from self._taken(part, results, failed)

    def _taken(
        self, part: Sequence[_Piece], results: Sequence[tuple[Decoded, ...]] | OutOfMemory, failed: set[int]
    ) -> Iterator[Outcome]:
        """Hand results to their recordings, and yield the recordings that are complete."""
        self._audio_seconds += sum(piece.samples for piece in part) / self._recognizer.sample_rate
        self._tell()
        if isinstance(results, OutOfMemory):
            recording = part[0].recording
            if recording.index not in failed:
                failed.add(recording.index)
                yield Outcome(recording.index, (), Failure.of(recording.source.name, results))
            return
        for piece, result in zip(part, results, strict=True):
            recording = piece.recording
            recording.results[piece.number] = result
            if len(recording.results) == len(recording.stretches) and recording.index not in failed:
                yield self._finished(recording)

    def _decode_pieces(self, pieces: Sequence[_Piece]) -> list[tuple[Decoded, ...]]:
        return self._recognizer.decode(
            [
                Clip(
                    piece.recording.audio.samples[slice(*piece.recording.stretches[piece.number])],
                    piece.recording.source.language,
                )
                for piece in pieces
            ]
        )

    def _empty(self, recording: _Recording) -> Outcome:
        clip = Clip(recording.audio.samples, recording.source.language)
        recording.results[0] = self._recognizer.decode([clip])[0]
        return self._finished(recording)

    def _finished(self, recording: _Recording) -> Outcome:
        targets = range(len(self._recognizer.languages.targets))
        return Outcome(recording.index, tuple(self._transcript(recording, target) for target in targets))

    def _transcript(self, recording: _Recording, target: int) -> Transcript:
        rate = self._recognizer.sample_rate
        offset = recording.source.start or self._options.inputs.start or 0.0
        decoded = [results[target] for _, results in sorted(recording.results.items())]
        segments = tuple(
            Segment(
                id=number,
                start=offset + start / rate,
                end=offset + end / rate,
                text=each.text,
                tokens=each.tokens,
                avg_logprob=each.avg_logprob,
                compression_ratio=each.compression_ratio,
                alternatives=each.alternatives,
            )
            # an empty recording has a result that says the language, and no stretch
            for number, ((start, end), each) in enumerate(zip(recording.stretches, decoded, strict=False))
        )
        written = _commonest([(each.target_language, len(each.tokens)) for each in decoded])
        return Transcript(
            path=recording.source.name,
            text=join([segment.text for segment in segments], written),
            language=_commonest([(each.language, len(each.tokens)) for each in decoded]),
            target_language=written,
            duration=recording.audio.seconds,
            segments=segments,
            model=self._options.model.shown,
            options=self._chosen,
        )


def read_source(source: Source, options: InputOptions, sample_rate: int) -> Audio:
    """Read a recording as the options say.

    Raises:
        InputError: it cannot be read.
    """
    raw = None if options.raw is None else RawFormat(options.raw, options.rate, options.channels)
    start, end = options.start, options.end
    if source.start is not None or source.end is not None:
        start, end = source.start, source.end
    # Standard input that is a file can be sought, but its start is where the caller left it.
    stream: AudioFile | BinaryIO = io.BytesIO(sys.stdin.buffer.read()) if source.path is None else source.path
    return read_audio(
        stream,
        sample_rate=sample_rate,
        channel=options.channel,
        start=start,
        end=end,
        backend=options.audio_backend,
        raw=raw,
    )


def join(texts: Sequence[str], language: str | None) -> str:
    """Join the texts of segments as their language does."""
    between = "" if language in _UNSPACED else " "
    return between.join(text for text in texts if text)


def _commonest(languages: Sequence[tuple[str | None, int]]) -> str | None:
    """Return the language in which most was said; silence has no language of its own."""
    totals: dict[str, int] = {}
    for language, tokens in languages:
        if language is not None:
            totals[language] = totals.get(language, 0) + tokens
    return max(totals, key=lambda language: totals[language], default=None)
