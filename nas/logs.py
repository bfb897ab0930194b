"""Logs for TensorBoard (`--tensorboard`): for each candidate its curves, and its recipe for the table of hyperparameters.

A view that writes what it hears and passes it on, so nothing else knows of it. TensorBoard's own writer and messages are used,
without TensorFlow: the driver never loads that.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, first_line, to_install
from nas.messages import Candidate, Progress, Pulse, Record
from nas.space.space import flatten
from nas.view import View

FOLDER = "tensorboard"  # in the run folder


def check_tensorboard() -> None:
    """Raise ConfigError if the package is not installed."""
    _without_tensorflow()
    try:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter  # noqa: F401
    except ImportError:
        raise ConfigError(f"needs tensorboard, not installed here: {to_install('tensorboard')}", "--tensorboard") from None


def _without_tensorflow() -> None:
    """Have tensorboard use its own few functions in place of TensorFlow: it looks for this module, and asks for no more."""
    sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))


class Logged:
    """Passes everything to `view`, and writes a folder of logs for each candidate."""

    def __init__(self, view: View, folder: Path) -> None:
        self.view, self.folder = view, folder
        self._writers: dict[int, Any] = {}
        self._failed = False
        _without_tensorflow()

    def note(self, text: str) -> None:
        self.view.note(text)

    def preparing(self, done: int, total: int) -> None:
        self.view.preparing(done, total)

    def begin(self, budget: int, records: Sequence[Record], deadline: float = math.inf) -> None:
        self.view.begin(budget, records, deadline)

    def started(self, candidate: Candidate, label: str) -> None:
        self.view.started(candidate, label)
        recipe = candidate.recipe.to_dict() if candidate.recipe is not None else {}
        costs: dict[str, Any] = {}
        if candidate.blueprint is not None:
            costs = {"parameters": candidate.blueprint.parameters, "flops": candidate.blueprint.flops}
        known = {**costs, **recipe, **flatten(candidate.genotype)}
        self._write(candidate.number, 0, lambda: [_beginning(known, str(candidate.number))])

    def pulse(self, pulse: Pulse) -> None:
        self.view.pulse(pulse)

    def progress(self, progress: Progress, curve: Sequence[float]) -> None:
        self.view.progress(progress, curve)
        shown = {"score": progress.value, **progress.metrics}
        self._write(progress.number, progress.epoch, lambda: [_scalar(name, value) for name, value in shown.items()])

    def finished(self, record: Record, best: Record | None) -> None:
        self.view.finished(record, best)
        self._write(record.number, record.epochs, lambda: [_end(record.state == "trained")])
        self._close(record.number)

    def end(self) -> None:
        self.view.end()
        for number in list(self._writers):
            self._close(number)

    def _close(self, number: int) -> None:
        with contextlib.suppress(Exception):  # what it had still to write is lost with the rest
            self._writers.pop(number).close()

    def _write(self, number: int, step: int, values: Callable[[], Sequence[Any]]) -> None:
        """Write some values. When the disk takes them no more, one cannot be written down, or tensorboard is gone, that is told
        once, and the search goes on without."""
        if self._failed:
            return
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.event_file_writer import EventFileWriter

            if number not in self._writers:
                self._writers[number] = EventFileWriter(str(self.folder / str(number)))
            self._writers[number].add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values())))
            self._writers[number].flush()
        except Exception as problem:
            self._failed = True
            self.view.note(f"no more logs for TensorBoard: {first_line(problem)}")


def _scalar(name: str, value: float) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary.Value(tag=name, simple_value=value)


def _beginning(values: dict[str, Any], group: str) -> Any:
    """What the hyperparameters' dashboard reads of a candidate (`tensorboard.plugins.hparams`, SessionStartInfo)."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    info = SessionStartInfo(group_name=group, start_time_secs=time.time())
    for name, value in values.items():
        if isinstance(value, bool):
            info.hparams[name].bool_value = value
        elif isinstance(value, int | float):
            info.hparams[name].number_value = value
        else:
            info.hparams[name].string_value = str(value)
    return _plugin("session_start_info", HParamsPluginData(version=0, session_start_info=info))


def _end(well: bool) -> Any:
    from tensorboard.plugins.hparams.api_pb2 import Status
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    status = Status.STATUS_SUCCESS if well else Status.STATUS_FAILURE
    info = SessionEndInfo(status=status, end_time_secs=time.time())
    return _plugin("session_end_info", HParamsPluginData(version=0, session_end_info=info))


def _plugin(name: str, content: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_FLOAT

    about = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="hparams", content=content.SerializeToString()))
    nothing = TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto())
    return Summary.Value(tag=f"_hparams_/{name}", metadata=about, tensor=nothing)
