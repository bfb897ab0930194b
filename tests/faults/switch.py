"""The fault switch: a plugin that makes chosen candidates fail in their workers, at a chosen epoch, for real.

`plugin(folder, {number: fault})` writes it; in the driver it does nothing. A fault is a line of Python in which `self` is the
trainer's callback and `job` the job; `once` faults happen in the first try only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SEGFAULT = "os.kill(os.getpid(), signal.SIGSEGV)"
KILLED = "os.kill(os.getpid(), signal.SIGKILL)"
NOT_A_NUMBER = "[each.assign(each * float('nan')) for each in self.network.trainable_variables]"
HANGS = "time.sleep(100_000)"
HANGS_DEEP = "ctypes.PyDLL(None).sleep(100_000)"  # in C, holding the lock that every thread of Python needs
ENDLESS = "[(time.sleep(0.1), self.report(Pulse(job.number, epoch))) for _ in range(1_000_000)]"
HUNGRY = "hog = [bytearray(os.urandom(1 << 20) * 64) for _ in range(64)]"  # 4 GiB, by and by
HUNGRY_IF_LARGE = "hog = [bytearray(os.urandom(1 << 20) * 64) for _ in range(64 if job.recipe.batch_size > 16 else 0)]"
RAISES = "raise ValueError('a layer that cannot be')"

_HEAD = """
import ctypes, multiprocessing, os, pathlib, signal, time
from nas.messages import Pulse
"""
_BODY = """
if multiprocessing.parent_process() is not None:
    from nas.training import epochs
    begin = epochs.Epochs.on_epoch_begin
    def faulty(self, epoch, logs=None):
        job = self.job
{faults}
        begin(self, epoch, logs)
    epochs.Epochs.on_epoch_begin = faulty
"""


@dataclass(frozen=True)
class Fault:
    what: str
    epoch: int = 0  # counted from 0
    once: bool = False


def plugin(folder: Path, faults: dict[int, Fault]) -> str:
    """A plugin file in `folder` that does this; what was done `once` is noted there."""
    lines = []
    for number, fault in faults.items():
        lines += [
            f"        if job.number == {number} and epoch == {fault.epoch}:",
            f"            mark = pathlib.Path({str(folder)!r}) / 'fault-{number}'",
            f"            if not {fault.once} or not mark.exists():",
            "                mark.touch()",
            f"                {fault.what}",
        ]
    file = folder / "faults.py"
    file.write_text(_HEAD + _BODY.format(faults="\n".join(lines)))
    return str(file)


def builder(folder: Path, number: int) -> str:
    """A plugin with which the network of one candidate cannot be built."""
    file = folder / "builder.py"
    file.write_text(
        _HEAD
        + f"""
if multiprocessing.parent_process() is not None:
    from nas.training import trainer
    train, build = trainer.train, trainer.build
    def faulty(job, report):
        def refuse(*arguments, **named):
            raise ValueError("Negative dimension size")
        trainer.build = refuse if job.number == {number} else build
        return train(job, report)
    trainer.train = faulty
"""
    )
    return str(file)


def counter(folder: Path) -> tuple[str, Path]:
    """A plugin that notes every epoch when it begins, and the file in which it does."""
    notes = folder / "epochs.txt"
    file = folder / "counter.py"
    file.write_text(
        _HEAD
        + f"""
if multiprocessing.parent_process() is not None:
    from nas.training import epochs
    begin = epochs.Epochs.on_epoch_begin
    def noted(self, epoch, logs=None):
        with open({str(notes)!r}, "a") as stream:
            stream.write(f"{{self.job.number}}/{{epoch}}\\n")
        begin(self, epoch, logs)
    epochs.Epochs.on_epoch_begin = noted
"""
    )
    return str(file), notes
