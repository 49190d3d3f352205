"""Curves and examples of a run for TensorBoard (extra `tensorboard`)."""

import importlib
from pathlib import Path
from types import ModuleType

from speechcli.errors import OutputError, UsageError
from speechcli.training.events import Evaluated, Event, Report, Stepped


class TensorBoard:
    """Writes numbers and examples to `tensorboard/` in the run's folder, and passes events on.

    Args:
        folder: the run's folder.
        report: receives every event afterwards.
        step: first step of the run or of its resumption; later steps of an interrupted run are no longer shown.

    Raises:
        UsageError: if TensorBoard is not installed.
    """

    def __init__(self, folder: Path, report: Report, step: int = 0) -> None:
        self._writer = _library().SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        self._report = report

    def __call__(self, event: Event) -> None:
        """Take one event.

        Raises:
            OutputError: if the folder cannot be written.
        """
        try:
            self._write(event)
        except OSError as error:
            raise OutputError(f"The curves for TensorBoard cannot be written: {error.strerror or error}.") from error
        self._report(event)

    def _write(self, event: Event) -> None:
        if isinstance(event, Stepped):
            self._scalars("training", event.losses, event.step)
            rates = {"learning_rate": event.learning_rate, "gradient_norm": event.gradient_norm}
            self._scalars("run", rates | {"audio_rate": event.audio_rate}, event.step)
        if isinstance(event, Evaluated):
            self._scalars("dev", event.losses, event.step)
            for pair, values in event.scores.items():
                self._scalars(pair.replace("->", "-"), values, event.step)
            for sample in event.samples:
                text = f"{sample.reference}\n\n{sample.hypothesis}"
                self._writer.add_text(f"{sample.id} {sample.language}", text, event.step)
        if isinstance(event, Stepped | Evaluated):
            self._writer.flush()

    def _scalars(self, group: str, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)


def _library() -> ModuleType:
    try:
        return importlib.import_module("torch.utils.tensorboard")
    except ImportError as error:
        raise UsageError(
            "`run.tensorboard` needs TensorBoard, but it is not installed.", hint="pip install 'speechcli[tensorboard]'"
        ) from error
