import pysubs2
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st

from speechcli.subtitles import Cue, CueShape, make_cues
from speechcli.transcript import Segment, Transcript, Word, one_line
from speechcli.writers import make_writers

SENTENCE = "When the sun had gone down, nobody was left in the long street that led to the harbour and its lights."


def cues(*segments, duration=0.0, **shape):
    numbered = [Segment(i, *segment) for i, segment in enumerate(segments)]
    return make_cues(Transcript("a", "", segments=tuple(numbered), duration=duration), CueShape(**shape))


def test_a_short_segment_is_one_subtitle_with_its_own_times():
    assert cues((1.0, 3.5, "Hello there.")) == [Cue(1000, 3500, ("Hello there.",))]


def test_a_long_segment_becomes_several_that_end_with_a_part_of_the_sentence_and_share_its_time_by_characters():
    assert cues((0.0, 10.0, SENTENCE), max_chars=20) == [
        Cue(0, 2680, ("When the sun", "had gone down,")),
        Cue(2680, 6598, ("nobody was left in", "the long street that")),
        Cue(6598, 10_000, ("led to the harbour", "and its lights.")),
    ]


def test_lines_are_of_like_length():
    (cue,) = cues((0.0, 9.0, "one two three four five six seven eight nine"), max_chars=42)
    assert cue.lines == ("one two three four five", "six seven eight nine")


def test_scripts_without_spaces_are_broken_too_and_rather_after_a_part_of_a_sentence():
    text = "日が沈むと、港へ続く長い通りには誰もいなくなった。そして夜が来て、灯りがともった。"
    assert [cue.lines for cue in cues((0.0, 20.0, text), max_chars=16)] == [
        ("日が沈むと、港へ続く長い通", "りには誰もいなくなった。"),
        ("そして夜が来て、灯りがともった。",),
    ]


def test_no_line_begins_with_the_end_of_a_sentence_or_within_a_latin_word():
    (cue,) = cues((0.0, 9.0, "我用了它。我喜欢Python编程"), max_chars=9)
    assert cue.lines == ("我用了它。我喜欢", "Python编程")
    (cue,) = cues((0.0, 9.0, "あいう。えお"), max_chars=3, max_lines=3)
    assert cue.lines == ("あい", "う。", "えお")


def test_a_character_stays_with_its_marks():
    for character in ("e\u0301", "का", "ที่", "👩\u200d👩"):
        lines = [line for cue in cues((0.0, 9.0, character * 30), max_chars=10) for line in cue.lines]
        assert "".join(lines) == character * 30
        assert all(len(line) <= 10 and len(line) % len(character) == 0 for line in lines)


def test_words_give_a_subtitle_its_times():
    texts = SENTENCE.split(" ")
    words = tuple(Word(text, 1.0 + i, 1.5 + i, 1.0) for i, text in enumerate(texts))
    segment = Segment(0, 0.0, 40.0, SENTENCE, words=words)
    made = make_cues(Transcript("a", SENTENCE, segments=(segment,), duration=40.0), CueShape(max_chars=20))
    assert (made[0].start, made[0].end) == (1000, 6500)
    assert made[1].start == 7000


def test_words_give_times_where_there_are_no_spaces_and_where_a_word_is_split():
    words = (Word("日が", 1.0, 2.0, 1.0), Word("沈むと", 3.0, 6.0, 1.0), Word("。", 6.0, 7.0, 1.0))
    segment = Segment(0, 0.0, 20.0, "日が沈むと。", words=words)
    made = make_cues(Transcript("a", "", segments=(segment,), duration=40.0), CueShape(max_chars=2, max_lines=2))
    assert made == [Cue(1000, 5000, ("日が", "沈む")), Cue(5000, 7000, ("と。",))]


def test_channels_speak_at_the_same_time():
    made = make_cues(
        Transcript(
            "call",
            segments=(
                Segment(0, 0.0, 8.0, "a long story " * 6, channel=0),
                Segment(1, 5.0, 6.0, "yes", channel=1),
                Segment(2, 7.0, 7.5, "no", channel=1),
            ),
            text="",
            duration=9.0,
        ),
        CueShape(),
    )
    assert [(cue.start, cue.end) for cue in made if cue.channel] == [(5000, 6000), (7000, 7500)]
    assert [cue.start for cue in made] == sorted(cue.start for cue in made)


def test_a_subtitle_of_fast_speech_extends_into_the_pause_but_never_into_the_next():
    quick = "x" * 21
    assert cues((0.0, 0.5, quick), (5.0, 6.0, "y"))[0].end == 1000
    assert cues((0.0, 0.5, quick), (0.7, 6.0, "y"))[0].end == 700
    assert cues((0.0, 0.5, quick), duration=0.8)[0].end == 800
    assert cues((0.0, 0.5, quick), max_cps=42.0)[0].end == 500


def test_the_last_subtitle_of_a_part_of_a_recording_extends_to_the_end_of_that_part():
    segment = Segment(0, 60.0, 60.5, "x" * 21)
    (cue,) = make_cues(Transcript("a", "", start=59.0, duration=1.8, segments=(segment,)), CueShape())
    assert (cue.start, cue.end) == (60_000, 60_800)


texts = st.text(st.characters(codec="utf-8", exclude_characters="<>{}\\&"), max_size=120)
segments = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 9000), texts), max_size=4)


def timeline(drawn):
    now, made = 0.0, []
    for pause, length, text in drawn:
        now += pause / 1000
        made.append(Segment(len(made), now, now + length / 1000, text))
        now += length / 1000
    return Transcript("a", "", segments=tuple(made), duration=now)


@settings(max_examples=25, deadline=None)
@given(segments, st.integers(2, 50), st.integers(1, 3), st.floats(1.0, 40.0))
def test_subtitles_hold_every_character_within_their_shape_and_never_overlap(drawn, max_chars, max_lines, max_cps):
    transcript = timeline(drawn)
    made = make_cues(transcript, CueShape(max_chars, max_lines, max_cps))
    assert all(0 < len(cue.lines) <= max_lines for cue in made)
    assert all(0 < len(line) <= max_chars for cue in made for line in cue.lines)
    assert all(cue.start < cue.end for cue in made)
    assert all(cue.end <= following.start for cue, following in zip(made, made[1:], strict=False))
    whole = "".join(one_line(segment.text) for segment in transcript.segments)
    assert "".join(line for cue in made for line in cue.lines).replace(" ", "") == whole.replace(" ", "")


@settings(max_examples=25, deadline=None)
@given(segments)
def test_independent_readers_find_the_same_subtitles(drawn):
    transcript = timeline(drawn)
    expected = [(cue.start, cue.end, list(cue.lines)) for cue in make_cues(transcript, CueShape())]
    writers = make_writers()
    srt = pysubs2.SSAFile.from_string(writers["srt"].write(transcript).decode(), format_="srt", keep_html_tags=True)
    vtt_text = writers["vtt"].write(transcript).decode()
    vtt = webvtt.from_string(vtt_text)
    arrows = [(start, end, [line.replace("-->", "->") for line in lines]) for start, end, lines in expected]
    assert [(event.start, event.end, event.text.split("\\N")) for event in srt] == arrows
    assert [caption.lines for caption in vtt] == [lines for _, _, lines in expected]
    assert [round(caption.start_in_seconds * 1000) // 1000 for caption in vtt] == [
        start // 1000 for start, *_ in expected
    ]


def test_markup_in_a_text_is_text(drawn=(0, 2000, "a <b>bold</b> & <c.red>x --> y")):
    transcript = timeline([drawn])
    (caption,) = webvtt.from_string(make_writers()["vtt"].write(transcript).decode())
    assert caption.raw_text == "a &lt;b&gt;bold&lt;/b&gt; &amp; &lt;c.red&gt;x --&gt; y"
    srt = make_writers()["srt"].write(transcript).decode()
    assert srt.count("-->") == 1
