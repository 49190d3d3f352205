"""Learning from the classes that a larger encoder sees in the same recordings."""

import csv

import numpy as np
import pytest
import torch
from tiny_speech import save_tiny_model, save_tones

from speechcli.checkpoints.bundle import load
from speechcli.data.collate import read_teacher
from speechcli.data.manifest import Utterance, read_manifest
from speechcli.errors import InputError
from speechcli.pipelines.train import train
from speechcli.training.events import Stepped
from speechcli.training.merge import merge_options
from speechcli.training.objective import Counts, Objective, teacher_part


@pytest.fixture
def places(tmp_path):
    save_tiny_model(tmp_path / "model")
    return tmp_path / "model", save_tones(tmp_path / "tones")


def add_teacher(manifest):
    """Give every row of a manifest a teacher file; return the new manifest."""
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for number, row in enumerate(rows):
        np.save(manifest.parent / f"{number}.npy", np.full(7, number, np.int16))
        row["teacher"] = f"{number}.npy"
    taught = manifest.with_name("taught.tsv")
    with taught.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
    return taught


def run(model, manifest, folder, *, steps, resume=False, events=None):
    values = {
        "model.path": str(model),
        "data.train": str(manifest),
        "batch.workers": 0,
        "objective.teacher_weight": 1.0,
        "optimizer.learning_rate": 1e-2,
        "optimizer.warmup_steps": 0,
        "optimizer.schedule": "constant",
        "run.max_steps": steps,
        "run.log_every": 1,
        "run.save_every": 2,
        "run.device": "cpu",
        "run.dtype": "float32",
        "run.seed": 3,
    }
    events = [] if events is None else events
    result = train(merge_options(explicit=values), folder, resume=resume, report=events.append)
    return result, [event.losses["teacher"] for event in events if isinstance(event, Stepped)]


def test_classes_are_stretched_to_the_frames_and_padding_does_not_count():
    sure = torch.eye(3)[torch.tensor([[0, 0, 1, 1, 2, 2], [2, 2, 2, 0, 0, 0]])] * 100.0
    part = teacher_part(sure, torch.tensor([6, 3]), torch.tensor([[0, 1, 2], [2, -100, -100]]))
    assert (float(part.total), part.terms) == (0.0, 9)


def test_rows_without_a_teacher_do_not_count():
    part = teacher_part(torch.zeros(2, 4, 5), torch.tensor([4, 4]), torch.tensor([[1, 1], [-100, -100]]))
    torch.testing.assert_close(part.total, 4 * torch.tensor(5.0).log())
    assert part.terms == 4


def test_its_weight_adds_it_to_the_rest():
    labels, logits = torch.tensor([[1, 2]]), torch.randn(1, 2, 5)
    lengths, said, teacher = torch.tensor([4]), torch.randn(1, 4, 3), torch.tensor([[0, 1, 1, 2]])
    plain, taught = Objective(), Objective(teacher_weight=0.5)
    losses = taught.losses(logits, labels, None, lengths, None, teacher_logits=said, teacher_labels=teacher)
    counts = Counts(*taught.counts(labels, None, teacher))
    theirs = torch.nn.functional.cross_entropy(said[0], teacher[0])
    expected = plain.total(plain.losses(logits, labels, None, lengths, None), counts) + 0.5 * theirs
    torch.testing.assert_close(taught.total(losses, counts), expected)


def test_its_loss_is_summed_over_the_frames_and_divided_by_the_number_of_those_of_the_teacher():
    labels, logits, lengths = torch.tensor([[1, 2]]), torch.randn(1, 2, 5), torch.tensor([4])
    objective = Objective(teacher_weight=1.0)
    for frames in (2, 4, 8):
        teacher = torch.full((1, frames), 3)
        losses = objective.losses(
            logits, labels, None, lengths, None, teacher_logits=torch.zeros(1, 4, 7), teacher_labels=teacher
        )
        added = (
            objective.total(losses, Counts(*objective.counts(labels, None, teacher))) - losses.cross_entropy.total / 2
        )
        torch.testing.assert_close(added, 4 / frames * torch.tensor(7.0).log())


def test_utterances_with_and_without_a_teacher_stand_in_one_batch(tmp_path):
    np.save(tmp_path / "a.npy", np.array([4, 5], np.int16))
    audio = tmp_path / "none.wav"
    taught, free = Utterance("a", audio, 1.0, teacher=tmp_path / "a.npy"), Utterance("b", audio, 1.0)
    classes = read_teacher([taught, free])
    assert classes is not None and classes.tolist() == [[4, 5], [-100, -100]]
    assert read_teacher([free]) is None


def test_the_teacher_head_is_trained_but_not_saved_with_the_model(places, tmp_path):
    model, manifest = places
    taught = add_teacher(manifest)
    assert all(utterance.teacher is not None for utterance in read_manifest(taught).utterances)
    result, distances = run(model, taught, tmp_path / "run", steps=12)
    assert distances[-1] < distances[0]
    assert load(result.last).model.teacher_head is None


def test_a_resumed_run_continues_with_the_same_head(places, tmp_path):
    model, manifest = places
    taught = add_teacher(manifest)
    _, straight = run(model, taught, tmp_path / "straight", steps=4)
    run(model, taught, tmp_path / "parts", steps=2)
    _, rest = run(model, taught, tmp_path / "parts", steps=4, resume=True)
    assert rest == straight[2:]


def test_a_weight_without_a_teacher_is_refused(places, tmp_path):
    model, manifest = places
    with pytest.raises(InputError, match="needs a column `teacher`"):
        run(model, manifest, tmp_path / "run", steps=1)


@pytest.mark.parametrize("content", [np.zeros((2, 2), np.int16), np.zeros(3), np.array([1, -1])])
def test_invalid_teacher_classes_are_refused(places, tmp_path, content):
    model, manifest = places
    taught = add_teacher(manifest)
    np.save(taught.parent / "0.npy", content)
    with pytest.raises(InputError, match="must be integers"):
        run(model, taught, tmp_path / "run", steps=1)
