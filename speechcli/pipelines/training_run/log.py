"""The log of a training run, and its model folders `best` and `last`."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechcli.checkpoints.folder import CONFIG, read_optional_json
from speechcli.errors import InputError, OutputError
from speechcli.pipelines.training_run.history import read_history
from speechcli.pipelines.training_run.model_card import CARD, model_card
from speechcli.training.events import Evaluated, Event, Report, Saved, event_to_dict
from speechcli.training.state import checkpoint_folder, checkpoint_step, checkpoints, publish
from speechcli.training.train_options import TrainOptions


class RunLog:
    """Writes every event to `log.jsonl`, publishes checkpoints as models with a card, and passes events on.

    Args:
        folder: the run's folder.
        options: options of the run, for the card.
        report: receives every event afterwards.
        best_step: step of the best evaluation so far, if the run is resumed; -1: none.
    """

    def __init__(self, folder: Path, options: TrainOptions, report: Report, *, best_step: int = -1) -> None:
        self._folder, self._options, self._report = folder, options, report
        self._best_step = best_step

    def catch_up(self) -> None:
        """Publish the checkpoints that an interrupted run has written but not published.

        Raises:
            OutputError: if the folder cannot be written.
        """
        written = checkpoints(self._folder)
        best = checkpoint_folder(self._folder, self._best_step)
        for folder in [folder for folder in written if folder in (best, written[-1])]:
            self._publish(folder)

    def __call__(self, event: Event) -> None:
        """Take one event.

        Raises:
            OutputError: if the folder cannot be written.
        """
        try:
            _append(self._folder / "log.jsonl", json.dumps(event_to_dict(event), ensure_ascii=False) + "\n")
        except OSError as error:
            raise OutputError(f"{self._folder}/log.jsonl cannot be written: {error.strerror or error}.") from error
        if isinstance(event, Evaluated) and event.best:
            self._best_step = event.step
        if isinstance(event, Saved):
            self._publish(event.folder)
        self._report(event)

    def _publish(self, checkpoint: Path) -> None:
        step = checkpoint_step(checkpoint)
        card = self._card(step, read_optional_json(checkpoint / CONFIG) or {})
        publish(checkpoint, self._folder / "last", card)
        if step == self._best_step:
            publish(checkpoint, self._folder / "best", card)

    def _card(self, step: int, config: Mapping[str, Any]) -> dict[str, str]:
        try:
            history = read_history(self._folder)
        except InputError:  # the log was deleted during the run; the model is still published, without a card
            return {}
        return {CARD: model_card(self._folder.resolve().name, history, self._options, step, config)}


def _append(path: Path, line: str) -> None:
    with path.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":  # the process was killed, or the disk was full, in the middle of a line
                file.write(b"\n")
        file.write(line.encode("utf-8", "replace"))
