"""The log of a training run, and the model folders `best` and `last` that follow its checkpoints."""

import json
from pathlib import Path

from speechcli.errors import OutputError
from speechcli.training.events import Evaluated, Event, Report, Saved, event_to_dict
from speechcli.training.state import checkpoint_folder, checkpoints, publish


class RunLog:
    """Write every event to `log.jsonl`, publish checkpoints, and hand events on.

    Args:
        folder: the run's.
        report: gets every event afterwards.
        best_step: step of the best evaluation so far, where the run goes on; -1: there is none.
    """

    def __init__(self, folder: Path, report: Report, *, best_step: int = -1) -> None:
        self._folder = folder
        self._report = report
        self._best_step = best_step

    def catch_up(self) -> None:
        """Publish the checkpoints that an interrupted run has written, but not yet published.

        Raises:
            OutputError: if the folder cannot be written.
        """
        written = checkpoints(self._folder)
        best = checkpoint_folder(self._folder, self._best_step)
        for folder in [folder for folder in written if folder in (best, written[-1])]:
            self._publish(folder)

    def _publish(self, checkpoint: Path) -> None:
        publish(checkpoint, self._folder / "last")
        if checkpoint == checkpoint_folder(self._folder, self._best_step):
            publish(checkpoint, self._folder / "best")

    def __call__(self, event: Event) -> None:
        """Take one event.

        Raises:
            OutputError: if the folder cannot be written.
        """
        try:
            with (self._folder / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(event_to_dict(event), ensure_ascii=False) + "\n")
        except OSError as error:
            raise OutputError(f"{self._folder}/log.jsonl cannot be written: {error.strerror or error}.") from error
        if isinstance(event, Evaluated) and event.best:
            self._best_step = event.step
        if isinstance(event, Saved):
            self._publish(event.folder)
        self._report(event)
