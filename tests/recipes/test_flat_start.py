"""Letters are found in recordings in which each has a pitch of its own."""

import csv
import itertools
import random

import numpy as np
import pytest
import soundfile
import torch

from speechcli.errors import InputError, UsageError
from speechcli.recipes.flat_start import SILENCE, best_path, main

RATE, FRAME = 16_000, 640
PITCHES = {"a": 300.0, "b": 900.0, "c": 2000.0, "d": 4000.0}


def write_recordings(folder, count, seed=0):
    """A manifest of words of letters that last 2 to 6 frames, with pauses; returns the true labels by id."""
    choice, noise = random.Random(seed), np.random.default_rng(seed)
    truth, lines = {}, ["id\tpath\tseconds\tsrc_lang\tsrc_text"]
    for number in range(count):
        words = ["".join(choice.choices("abcd", k=choice.randint(2, 4))) for _ in range(choice.randint(1, 3))]
        plan = [(" ", choice.randint(3, 25))]
        for word in words:
            plan += [(letter, choice.randint(2, 6)) for letter in word] + [(" ", choice.randint(1, 8))]
        labels = [letter for letter, frames in plan for _ in range(frames)]
        time = np.arange(FRAME) / RATE
        parts = [0.3 * np.sin(2 * np.pi * PITCHES[each] * time) if each != " " else 0 * time for each in labels]
        samples = np.concatenate(parts) + 0.001 * noise.standard_normal(len(labels) * FRAME)
        soundfile.write(folder / f"{number}.wav", samples, RATE)
        lines.append(f"{number}\t{number}.wav\t{len(samples) / RATE}\txx\t{' '.join(words).title()}!")
        truth[str(number)] = [" abcd".index(each) for each in labels]
    (folder / "train.tsv").write_text("\n".join(lines) + "\n")
    return truth


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_letters_are_found_where_they_are(tmp_path):
    truth = write_recordings(tmp_path, 60)
    assert main([str(tmp_path / "train.tsv"), "--out", str(tmp_path / "aligned"), "--rounds", "7"]) == 0
    right = total = 0
    for row in read(tmp_path / "aligned" / "train.tsv"):
        if not row["teacher"]:  # spoken too fast
            continue
        found = np.load(tmp_path / "aligned" / row["teacher"])
        said = truth[row["id"]]
        inner = [place for place in range(1, len(found) - 1) if len(set(said[place - 1 : place + 2])) == 1]
        right += sum(found[place] == said[place] for place in inner)
        total += len(inner)
    assert total > 1000 and right / total > 0.9


def test_every_letter_is_passed_in_its_order():
    torch.manual_seed(0)
    states = np.array([0, 1, 2, 0, 2, 1, 0])
    for _ in range(20):
        path = best_path(torch.randn(9, 3).numpy(), states)
        said = [label for label, _ in itertools.groupby(path)]
        without = [label for label in said if label != SILENCE]
        assert without in ([1, 2, 1], [1, 2, 2, 1])


def test_the_path_is_the_most_likely_of_all():
    generator = torch.Generator().manual_seed(1)
    states = np.array([0, 1, 0, 2, 0])
    for _ in range(20):
        scores = torch.randn(5, 3, generator=generator).numpy()
        likely = []
        # a path stays, goes on, or passes over a silence
        for steps in itertools.product((0, 1, 2), repeat=4):
            for first in (0, 1):
                places = np.cumsum([first, *steps])
                passed = [place - 1 for place, step in zip(places[1:], steps, strict=True) if step == 2]
                if places[-1] in (3, 4) and all(states[place] == SILENCE for place in passed):
                    likely.append((sum(scores[frame, states[place]] for frame, place in enumerate(places)), places))
        _, best = max(likely, key=lambda each: each[0])
        assert best_path(scores, states).tolist() == states[best].tolist()


def test_the_manifest_itself_is_not_replaced(tmp_path, capsys):
    write_recordings(tmp_path, 1)
    before = (tmp_path / "train.tsv").read_text()
    assert main([str(tmp_path / "train.tsv"), "--out", str(tmp_path)]) == UsageError.exit_code
    assert "train.tsv" in capsys.readouterr().err
    assert (tmp_path / "train.tsv").read_text() == before


def test_recordings_too_short_for_their_letters_get_no_labels_but_stay(tmp_path):
    write_recordings(tmp_path, 4)
    rows = (tmp_path / "train.tsv").read_text().splitlines()
    rows[2] = "\t".join([*rows[2].split("\t")[:-1], "abcd" * 60])
    rows[3] = "\t".join([*rows[3].split("\t")[:-1], "?!"])
    (tmp_path / "train.tsv").write_text("\n".join(rows) + "\n")
    assert main([str(tmp_path / "train.tsv"), "--out", str(tmp_path / "aligned"), "--rounds", "1"]) == 0
    found = read(tmp_path / "aligned" / "train.tsv")
    assert [bool(row["teacher"]) for row in found] == [True, False, False, True]


@pytest.mark.parametrize("text, words", [("!!", "must have transcripts with letters"), ("ab" * 500, "longer than")])
def test_manifests_without_usable_recordings_are_refused(tmp_path, capsys, text, words):
    soundfile.write(tmp_path / "0.wav", np.random.default_rng(0).standard_normal(RATE) * 0.1, RATE)
    (tmp_path / "train.tsv").write_text(f"id\tpath\tseconds\tsrc_lang\tsrc_text\n0\t0.wav\t1\txx\t{text}\n")
    assert main([str(tmp_path / "train.tsv"), "--out", str(tmp_path / "aligned")]) == InputError.exit_code
    assert words in capsys.readouterr().err
