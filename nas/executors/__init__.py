"""Executors: `base.py` (what one is), `inline.py`, `processes.py` (with `server.py` and, in the worker, `child.py`), `ray.py`
(with `cluster.py`, how it is reached, `slot.py`, which runs on its machines, and `parcel.py`, what travels there and back)."""

from nas.executors import inline, processes, ray  # noqa: F401  importing them enters them in the table
from nas.executors.base import EXECUTORS, Executor, Task, Work, register_executor

__all__ = ["EXECUTORS", "Executor", "Task", "Work", "register_executor"]
