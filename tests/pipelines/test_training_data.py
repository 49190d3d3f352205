import json
import math
from pathlib import Path

import pytest

from speechcli.data.batching import DurationBatches
from speechcli.data.manifest import Target, read_manifest
from speechcli.errors import InputError, UsageError
from speechcli.pipelines.training_run.data import draw_weights, read_manifests, warn_of_leaks
from speechcli.training.events import Warned
from speechcli.training.merge import merge_options
from speechcli.transcript import Segment, Transcript
from speechcli.writers import make_writers


def options(**values):
    return merge_options(explicit={key.replace("__", "."): value for key, value in values.items()}).options


def heard(path, *texts, languages=("en", "en")):
    """Write pseudo-labels of a recording, with one segment per second."""
    segments = tuple(Segment(i, float(i), i + 1.0, text, (), math.log(sure)) for i, (text, sure) in enumerate(texts))
    return make_writers()["manifest"].write(Transcript(str(path), "", *languages, len(texts), segments, "m"))


@pytest.fixture
def pseudo(tmp_path):
    (tmp_path / "a.wav").touch()
    path = tmp_path / "pseudo.jsonl"
    path.write_bytes(heard(tmp_path / "a.wav", ("good day", 0.9), ("", 1.0), ("and\tnow?", 0.25)))
    return path


@pytest.fixture
def people(tmp_path):
    for name in "bcd":
        (tmp_path / f"{name}.wav").touch()
    path = tmp_path / "people.tsv"
    path.write_text("audio\tseconds\tsrc_lang\ttext\n" + "".join(f"{name}.wav\t1\tit\tsì\n" for name in "bcd"))
    return path


def test_pseudo_labels_are_a_manifest_with_confidence(pseudo):
    first, second = read_manifest(pseudo).utterances
    assert (first.audio, first.start, first.end, first.seconds) == (pseudo.parent / "a.wav", 0.0, 1.0, 1.0)
    assert (first.targets, first.transcript, first.confidence) == ((Target("good day", "en"),), "good day", 0.9)
    assert (second.start, second.transcript, second.confidence) == (2.0, "and\tnow?", 0.25)


def test_translations_by_a_model_are_joined_and_the_least_sure_counts(pseudo, tmp_path):
    both = heard(tmp_path / "a.wav", ("ja", 0.9), languages=("en", "de"))
    both += heard(tmp_path / "a.wav", ("sì", 0.5), languages=("en", "it"))
    pseudo.write_bytes(both)
    (utterance,) = read_manifest(pseudo).utterances
    assert (utterance.targets, utterance.confidence) == ((Target("ja", "de"), Target("sì", "it")), 0.5)


def test_json_lines_are_recognized_under_any_file_name(pseudo):
    assert len(read_manifest(pseudo.rename(pseudo.with_name("talk.manifest"))).utterances) == 2


def test_a_confidence_is_a_probability(pseudo):
    row = json.loads(pseudo.read_text().splitlines()[0])
    pseudo.write_text(json.dumps(row | {"confidence": 1.5}) + "\n" + json.dumps(row) + "\n")
    (row,) = read_manifest(pseudo).bad_rows
    assert row.reason == "`confidence` must be a number from 0 to 1, but is '1.5'"


def test_uncertain_texts_are_left_out_of_training_and_reported(pseudo, people):
    told = []
    paths = (str(pseudo), str(people))
    chosen = options(data__train=paths, data__min_confidence=0.5)
    read = read_manifests(paths, chosen, told.append, learn=True)
    assert [utterance.transcript for _, utterance in read] == ["good day", "sì", "sì", "sì"]
    assert told == [Warned(f"1 texts of {pseudo} have a confidence below 0.5.")]
    assert len(read_manifests(paths, chosen, told.append, learn=False)) == 5


def test_errors_in_a_manifest_are_reported_and_too_many_end_the_run(people):
    people.write_text(people.read_text() + "b.wav\t1\tit\t" + "ahi " * 30 + "\nnowhere.wav\t1\tit\tno\n")
    paths, told = (str(people),), []
    assert len(read_manifests(paths, options(data__train=paths, data__max_bad=0.5), told.append, learn=True)) == 3
    assert [event.message.split(" (")[0] for event in told] == [
        "missing-audio: the recording does not exist",
        "duplicate-row: an earlier row is the same",
    ]
    with pytest.raises(InputError, match="2 rows of .* have errors, the first line 5: the row must have") as caught:
        read_manifests(paths, options(data__train=paths, data__max_bad=0.3), told.append, learn=True)
    assert caught.value.hint.startswith("speechcli data check ")
    assert caught.value.hint.endswith("--max-bad 0.4")


def test_leaks_between_training_and_dev_are_reported(pseudo, people):
    train, dev = (read_manifests((str(path),), options(), lambda event: None, learn=False) for path in (people, pseudo))
    told = []
    warn_of_leaks(train, [*dev, train[0]], told.append)
    assert [event.message.split(":")[0] for event in told] == ["leak-audio", "leak-text"]
    assert "(1)" in told[0].message and "(3)" in told[1].message


def test_weights_of_manifests_and_pseudo_labels_multiply(pseudo, people):
    paths = (str(people), str(pseudo))
    values = {"data__train": paths, "data__weights": (2.0, 3.0), "data__pseudo_weight": 0.5}
    read = read_manifests(paths, options(**values), lambda event: None, learn=True)
    assert draw_weights(read, options(**values)) == [2.0, 2.0, 2.0, 1.5, 1.5]
    assert draw_weights(read, options(data__train=paths)) is None
    balanced = draw_weights(read, options(data__train=paths, data__balance="language", data__temperature=1e9))
    assert sum(balanced[:3]) == pytest.approx(sum(balanced[3:]))


def test_an_epoch_draws_by_the_weights_of_the_manifests(pseudo, people):
    paths = (str(people), str(pseudo))
    values = options(data__train=paths, data__weights=(0.0, 4.0))
    read = read_manifests(paths, values, lambda event: None, learn=True)
    plan = DurationBatches([u for _, u in read], max_seconds=9.0, weights=draw_weights(read, values))
    assert [utterance.audio.stem for batch in plan for utterance in batch] == ["a"] * len(read)


def test_manifests_with_weight_0_are_not_learned_where_no_recording_of_the_others_is_usable(pseudo, people):
    paths = (str(people), str(pseudo))
    values = options(data__train=paths, data__weights=(0.0, 4.0), data__min_confidence=0.95)
    read = read_manifests(paths, values, lambda event: None, learn=True)
    assert {path for path, _ in read} == {str(people)}
    with pytest.raises(InputError, match="a weight above 0, but `data.weights` is \\[0.0, 4.0\\] for .*people.tsv"):
        draw_weights(read, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data__weights": (1.0,), "data__train": ("a", "b")}, "one for each of the 2 manifests"),
        ({"data__weights": (0.0,), "data__train": ("a",)}, "not all 0"),
        ({"data__pseudo_weight": 0.0}, "`data.pseudo_weight` must be above 0"),
        ({"data__min_confidence": 1.5}, "`data.min_confidence` must be in"),
    ],
)
def test_weights_are_checked(values, message):
    with pytest.raises(UsageError, match=message):
        options(**values)


def test_the_path_of_a_recording_is_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert json.loads(heard(Path("a.wav"), ("x", 1.0)))["audio"] == str(tmp_path / "a.wav")
