import os
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from tiny_run import TinyModel, make_feed
from tiny_speech import save_tiny_model, save_tones

from speechcli.training.loop import Trainer
from speechcli.training.objective import Objective


@pytest.fixture(scope="session")
def places(tmp_path_factory):
    """Return the folder of a tiny model, and a manifest of eight tones; tests only read them."""
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_model(folder / "model")
    return folder / "model", save_tones(folder / "tones")


@pytest.fixture
def copied(monkeypatch):
    """For tests that copy their process.

    A copy has none of its threads, and waits for them forever where an operation is shared out. A process that is
    killed loses nothing that it wrote, flushed or not, and flushing takes long.
    """
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def start_run(tmp_path):
    """Return a function that makes a trainer for options; events gather in `.events`."""

    def start(options, *, feed=None, model=None, validate=None, folder=tmp_path / "run", events=None):
        model = model or TinyModel()
        events = [] if events is None else events
        trainer = Trainer(
            model=model,
            feed=feed or make_feed(),
            objective=Objective(options.objective.label_smoothing, options.objective.ctc_weight, blank_id=1),
            options=options,
            accelerator=Accelerator(cpu=True),
            folder=folder,
            save=lambda target: torch.save(model.state_dict(), target / "model.pt"),
            validate=validate,
            report=events.append,
        )
        return SimpleNamespace(trainer=trainer, model=model, events=events, folder=folder)

    return start
