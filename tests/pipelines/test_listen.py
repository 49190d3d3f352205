import json
from contextlib import contextmanager
from pathlib import Path, PurePath

import numpy as np
import pytest
import soundfile
import torch

from speechcli.audio.activity import make_detector
from speechcli.audio.url import Url
from speechcli.errors import InputError
from speechcli.pipelines.decoding_options import DecodingOptions
from speechcli.pipelines.files.inputs import Source
from speechcli.pipelines.outcome import Outcome, Progress, Warned, in_order
from speechcli.pipelines.recognition import pieces
from speechcli.pipelines.recognition.assemble import join
from speechcli.pipelines.recognition.listen import Listener, open_listener
from speechcli.pipelines.recognition.recognizer import Decoded
from speechcli.pipelines.speech_options import InputOptions, ModelOptions, TranscribeOptions

from .tiny_model import save_model

RATE = 100
RATE_OF_CALL = 16_000


class Ears:
    """Writes the length of each clip in samples; remembers its batches."""

    sample_rate = RATE
    max_seconds = 40.0
    device = torch.device("cpu")
    targets = 1

    def __init__(self, memory=10**9):
        self.batches = []
        self.memory = memory

    def padded(self, samples):
        return samples

    def decode(self, clips):
        lengths = [len(clip.samples) for clip in clips]
        if sum(lengths) > self.memory:
            raise MemoryError
        self.batches.append(lengths)
        return [(Decoded(f"{n}" if n else "", tuple(range(n)), (-0.5,) * n, "de", "en"),) for n in lengths]


class Sounds:
    """Recordings of these lengths, in blocks of one second; None is broken, a list breaks after its seconds."""

    def __init__(self, seconds, truncated):
        self.lengths, self.truncated = seconds, truncated
        self.opened = []

    @contextmanager
    def open(self, source, options, rate):
        length = self.lengths[int(source.name)]
        self.opened.append(source.name)
        if length is None:
            raise InputError("It is broken.", hint="mend it")
        yield self
        assert self.opened[-1] == source.name

    @property
    def seconds(self):
        return self.lengths[int(self.opened[-1])]

    @property
    def expected_seconds(self):
        return None if isinstance(self.seconds, list) else self.seconds

    channels = 1

    def blocks(self, channel):
        seconds = self.seconds[0] if isinstance(self.seconds, list) else self.seconds
        samples = np.ones(round(seconds * RATE), dtype=np.float32)
        yield from (samples[first : first + RATE] for first in range(0, len(samples), RATE))
        if isinstance(self.seconds, list):
            raise InputError("It breaks in the middle.")


@pytest.fixture
def job(monkeypatch):
    """Return a function that listens to `Sounds`."""

    def run(*seconds, ears=None, events=None, truncated=False, stop=lambda: False, **decoding):
        monkeypatch.setattr(pieces, "open_source", Sounds(seconds, truncated).open)
        options = TranscribeOptions(model=ModelOptions("m"), decoding=DecodingOptions(**decoding))
        report = (lambda event: None) if events is None else events.append
        sources = [Source(Path(str(i)), str(i), PurePath(str(i))) for i in range(len(seconds))]
        return list(Listener(ears or Ears(), options, report).listen(sources, stop))

    return run


def texts(outcomes):
    return [
        outcome.transcripts[0].text if outcome.transcripts else outcome.failure for outcome in in_order(iter(outcomes))
    ]


def test_clips_of_many_files_share_a_batch_by_length(job):
    ears = Ears()
    outcomes = job(1.0, 3.0, 1.1, 2.9, ears=ears, batch_seconds=6.0)
    assert ears.batches == [[300, 290], [110, 100]]
    assert texts(outcomes) == ["100", "300", "110", "290"]


def test_long_recordings_are_cut_and_put_together_with_exact_times(job):
    (outcome,) = job(7.0, max_segment=3.0)
    (transcript,) = outcome.transcripts
    assert transcript.segments[0].start == 0.0 and transcript.segments[-1].end == 7.0
    ends = [segment.end for segment in transcript.segments]
    assert [segment.start for segment in transcript.segments[1:]] == ends[:-1]
    assert [segment.id for segment in transcript.segments] == list(range(len(ends)))
    assert transcript.text == " ".join(segment.text for segment in transcript.segments)
    assert sum(int(segment.text) for segment in transcript.segments) == 700


def test_no_piece_is_longer_than_the_window_of_the_model(job):
    ears = Ears()
    job(100.0, max_segment=60.0, ears=ears)
    assert all(length <= 40 * RATE for batch in ears.batches for length in batch)


def test_a_transcript_describes_its_recording_completely(job):
    (outcome,) = job(1.0, beam_size=2)
    (transcript,) = outcome.transcripts
    assert transcript.to_dict() == {
        "schema": 1,
        "path": "0",
        "text": "100",
        "language": "de",
        "target_language": "en",
        "duration": 1.0,
        "segments": [
            {
                "id": 0,
                "start": 0.0,
                "end": 1.0,
                "text": "100",
                "tokens": list(range(100)),
                "avg_logprob": -0.5,
                "compression_ratio": round(3 / 11, 4),
            }
        ],
        "model": "m",
        "options": {"task": "transcribe", "beam_size": 2},
    }


def test_the_transcript_of_a_part_of_a_recording_knows_where_it_starts(monkeypatch):
    monkeypatch.setattr(pieces, "open_source", Sounds([1.0], False).open)
    listener = Listener(Ears(), TranscribeOptions(model=ModelOptions("m")))
    (outcome,) = listener.listen([Source(Path("0"), "0", PurePath("0"), start=60.0)])
    (transcript,) = outcome.transcripts
    assert (transcript.start, transcript.duration, transcript.segments[0].start) == (60.0, 1.0, 60.0)


def test_an_empty_recording_has_an_empty_text_and_no_segment(job):
    (outcome,) = job(0.0)
    (transcript,) = outcome.transcripts
    assert (transcript.text, transcript.segments, transcript.target_language) == ("", (), "en")


def test_a_broken_recording_is_a_failure_and_the_others_are_transcribed(job):
    outcomes = job(1.0, None, 2.0)
    failure = texts(outcomes)[1]
    assert texts(outcomes)[::2] == ["100", "200"]
    assert failure == ("1", "It is broken.", "mend it", 4)


def test_when_memory_runs_out_the_batch_shrinks_and_the_text_stays(job):
    ears = Ears(memory=250)
    assert texts(job(1.0, 1.1, 1.2, 2.4, ears=ears)) == ["100", "110", "120", "240"]


def test_a_piece_that_does_not_fit_into_memory_is_a_failure_with_its_own_exit_code(job):
    outcomes = job(1.0, 5.0, max_segment=3.0, ears=Ears(memory=150))
    assert [outcome.failure and outcome.failure.exit_code for outcome in in_order(iter(outcomes))] == [None, 7]


def test_audio_in_memory_is_bounded(job):
    ears = Ears()
    job(*[1.0] * 20, ears=ears, batch_seconds=2.0)
    assert [len(batch) for batch in ears.batches] == [2] * 10


def test_progress_counts_inputs_and_seconds(job):
    events = []
    job(1.0, None, 2.0, events=events)
    assert events[-1] == Progress(3, 3, 3.0, None)  # from files without a size, the others cannot be estimated


def test_length_of_all_recordings_is_guessed_from_headers_and_sizes(job, monkeypatch):
    monkeypatch.setattr(pieces, "_size", lambda source: 1000 * (1 + int(source.name)))
    events = []
    job(2.0, 3.0, events=events, batch_seconds=0.5)
    assert {event.expected_seconds for event in events} == {2.0 * 3000 / 1000, 5.0}


def test_a_long_recording_is_decoded_while_it_is_read(job):
    ears = Ears()
    (outcome,) = job(500.0, ears=ears, batch_seconds=10.0, max_segment=5.0)
    assert sum(map(sum, ears.batches)) == 50_000 == sum(int(s.text) for s in outcome.transcripts[0].segments)
    assert max(map(sum, ears.batches)) <= 1000


def test_a_recording_that_breaks_in_the_middle_is_one_failure(job):
    outcomes = job(1.0, [60.0], 2.0, batch_seconds=2.0, max_segment=1.0)
    assert [outcome.failure and outcome.failure.message for outcome in in_order(iter(outcomes))] == [
        None,
        "It breaks in the middle.",
        None,
    ]


def test_a_job_can_be_stopped_between_batches(job):
    ears = Ears()
    outcomes = job(1.0, 1.0, 1.0, ears=ears, batch_seconds=1.0, stop=lambda: len(ears.batches) == 2)
    assert [outcome.index for outcome in outcomes] == [0, 1]


def test_a_recording_that_was_cut_short_is_a_warning(job):
    events = []
    job(1.0, events=events, truncated=True)
    assert events[0] == Warned("0 is truncated: only the first 1.0 s can be read.")


@pytest.mark.parametrize(("level", "warned"), [(0.01, True), (0.0, False)])
def test_sound_in_which_no_speech_is_found_is_a_warning(job, monkeypatch, level, warned):
    class Deaf:
        frame_samples = 2

        def __call__(self, samples):
            return np.zeros(len(samples) // 2, dtype=bool)

    monkeypatch.setattr(pieces, "make_detector", lambda vad, rate: Deaf())
    monkeypatch.setattr(np, "ones", lambda *shape, **rest: np.full(*shape, level, **rest))
    events = []
    (outcome,) = job(50.0, events=events)
    assert (outcome.transcripts[0].text, outcome.transcripts[0].duration) == ("", 50.0)
    sentence = "No speech was found in 0; `--vad none` transcribes all of it."
    assert (Warned(sentence) in events) is warned


def test_outcomes_are_ordered_as_early_as_possible():
    outcomes = iter([Outcome(1, ()), Outcome(0, ()), Outcome(2, ())])
    ordered = in_order(outcomes)
    assert next(ordered).index == 0 and next(ordered).index == 1
    assert next(outcomes).index == 2


def test_languages_without_spaces_are_joined_without():
    assert join(["日本", "", "語"], "ja") == "日本語"
    assert join(["a", "", "b"], "en") == join(["a", "b"], None) == "a b"


def test_options_reach_the_reader(monkeypatch):
    asked = {}
    monkeypatch.setattr(pieces, "open_audio", lambda source, **options: asked.update(source=source, **options))
    cut = {"start": 1.0, "end": 2.0}
    options = InputOptions(raw="s16le", rate=8000, channels=2, channel="1", **cut, audio_backend="soundfile")
    pieces.open_source(Source(Path("x"), "x", PurePath("x")), options, 16_000)
    assert asked.pop("raw").rate == 8000
    assert asked == {
        "source": Path("x"),
        "sample_rate": 16_000,
        "start": 1.0,
        "end": 2.0,
        "backend": "soundfile",
    }
    pieces.open_source(Source(Path("x"), "x", PurePath("x"), None, 5.0, 6.0), options, 16_000)
    assert (asked["start"], asked["end"]) == (5.0, 6.0)


@pytest.fixture
def call(tmp_path):
    """Two people on two channels: one speaks from 0 to 1 and from 6 to 8 s, the other from 3 to 4.5 s."""
    samples = np.zeros((8 * RATE_OF_CALL, 2), dtype=np.float32)
    for channel, start, end in ((0, 0.0, 1.0), (1, 3.0, 4.5), (0, 6.0, 8.0)):
        first, last = round(start * RATE_OF_CALL), round(end * RATE_OF_CALL)
        samples[first:last, channel] = 0.3 * np.sin(np.arange(last - first))
    soundfile.write(tmp_path / "call.wav", samples, RATE_OF_CALL)
    return tmp_path / "call.wav"


class EarsForCalls(Ears):
    sample_rate = RATE_OF_CALL

    def decode(self, clips):
        return [(Decoded(f"{len(clip.samples)}", (len(clip.samples),), (-0.5,), "de", "en"),) for clip in clips]


def heard_on(channel, path, events=None, **decoding):
    options = TranscribeOptions(inputs=InputOptions(channel=channel), decoding=DecodingOptions(**decoding))
    report = (lambda event: None) if events is None else events.append
    (outcome,) = Listener(EarsForCalls(), options, report).listen([Source(path, "call.wav", PurePath("call.wav"))])
    return outcome.transcripts[0]


def test_each_channel_is_transcribed_separately_and_merged_in_order_of_time(call):
    events = []
    split = heard_on("split", call, events, vad="energy")
    alone = [heard_on(channel, call, vad="energy") for channel in "01"]
    assert [segment.channel for segment in split.segments] == [0, 1, 0]
    assert [segment.id for segment in split.segments] == [0, 1, 2]
    assert sorted(segment.start for segment in split.segments) == [segment.start for segment in split.segments]
    for channel, transcript in enumerate(alone):
        mine = [segment for segment in split.segments if segment.channel == channel]
        assert [(s.start, s.end, s.text) for s in mine] == [(s.start, s.end, s.text) for s in transcript.segments]
        assert all(segment.channel is None for segment in transcript.segments)
    assert split.duration == 8.0 and split.text == " ".join(segment.text for segment in split.segments)
    assert split.to_dict()["segments"][1]["channel"] == 1
    assert "channel" not in alone[0].to_dict()["segments"][0]
    done = [event for event in events if isinstance(event, Progress)][-1]
    assert done.audio_seconds == pytest.approx(done.expected_seconds) == 16.0


def test_channels_take_turns_in_short_recordings_too(call, monkeypatch):
    monkeypatch.setattr(pieces, "make_detector", lambda _, rate: make_detector("energy", rate))
    assert [segment.channel for segment in heard_on("split", call).segments] == [0, 1, 0]
    assert len(heard_on("mix", call).segments) == 1


def test_offline_no_web_address_is_opened():
    source = Source(Url("https://example.org/a.wav"), "https://example.org/a.wav", PurePath("a.wav"))
    options = TranscribeOptions(model=ModelOptions(offline=True))
    (outcome,) = Listener(Ears(), options).listen([source])
    assert outcome.failure.message == "https://example.org/a.wav is on the web, but --offline forbids network access."


def test_ignored_generation_options_are_reported(tmp_path):
    folder, told = save_model(tmp_path / "model"), []
    path = folder / "generation_config.json"
    asked = {"encoder_no_repeat_ngram_size": 3, "encoder_repetition_penalty": 1.0, "diversity_penalty": None}
    path.write_text(json.dumps(json.loads(path.read_text()) | asked))
    open_listener(TranscribeOptions(ModelOptions(str(folder))), told.append)
    (warning,) = [event.message for event in told if isinstance(event, Warned)]
    assert warning.startswith("`encoder_no_repeat_ngram_size` in the model's generation_config.json has no effect")
