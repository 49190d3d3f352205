"""The log of a training run, and the model folders `best` and `last` that follow its checkpoints."""

import json
from pathlib import Path

from speechcli.errors import OutputError
from speechcli.training.events import Evaluated, Event, Report, Saved, event_to_dict
from speechcli.training.state import publish


class RunLog:
    """Write every event to `log.jsonl`, publish checkpoints, and hand events on.

    Args:
        folder: the run's.
        report: gets every event afterwards.
    """

    def __init__(self, folder: Path, report: Report) -> None:
        self._folder = folder
        self._report = report
        self._best_step = -1

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
            publish(event.folder, self._folder / "last")
            if event.step == self._best_step:
                publish(event.folder, self._folder / "best")
        self._report(event)
