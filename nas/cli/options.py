"""Options that several verbs share, and the voice of the command line."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Workers = Annotated[
    str | None,
    typer.Option(help="Candidates trained at once (default 1: the same result every time), or auto: as many as have room."),
]
Executor = Annotated[str | None, typer.Option(help="Where candidates are trained: processes (default), ray or inline.")]
RayAddress = Annotated[
    str | None,
    typer.Option(
        help="Of --executor ray: auto (this machine's cluster), host:port or ray://host:port (default RAY_ADDRESS, or its own)."
    ),
]
CpusPerTrial = Annotated[float | None, typer.Option(help="Of --executor ray: CPUs of one candidate (default 1).")]
GpusPerTrial = Annotated[float | None, typer.Option(help="Of --executor ray: GPUs of one, such as 0.25 (default 0).")]
Storage = Annotated[
    str | None, typer.Option(help="Search along with other drivers by a PostgreSQL server: postgresql://user@host/database.")
]
Study = Annotated[str | None, typer.Option(help="Of --storage: the name of the search there (default nas).")]
Time = Annotated[str | None, typer.Option(help="End after this time, such as 30m or 2h.")]
Threads = Annotated[int | None, typer.Option(help="Threads of one candidate (default: cores / workers).")]
MaxParams = Annotated[str | None, typer.Option(help="Most parameters of a network, such as 500k; none for no limit.")]
MaxFlops = Annotated[str | None, typer.Option(help="Most FLOPs for one picture, such as 100M or none (default 60M).")]
MaxMemory = Annotated[str | None, typer.Option(help="Most bytes in training by the blueprint, such as 2G (default 4G).")]
TrialTime = Annotated[str | None, typer.Option(help="Most time of one candidate, such as 10m (default none).")]
TrialMemory = Annotated[
    str | None, typer.Option(help="Most memory of one candidate's worker, such as 2G or none (default: nine tenths / workers).")
]
HangTime = Annotated[str | None, typer.Option(help="A worker without a sign of life for so long is ended (default 10m).")]
Objective = Annotated[
    str | None, typer.Option(help="What is maximised: accuracy (default), balanced_accuracy, f1, auc, or loss (minimised).")
]
ClassWeight = Annotated[str | None, typer.Option(help="balanced: rare classes weigh as much as common ones (default none).")]
Keep = Annotated[int | None, typer.Option(help="Models kept, the best ones (default 5).")]
DataDir = Annotated[str | None, typer.Option(help="Folder of downloaded data sets (or NAS_DATA_DIR).")]
Plugin = Annotated[list[str] | None, typer.Option(help="A Python file that registers parts of your own.")]


def say(text: str = "") -> None:
    """The command line's voice. When who listened (`head`, a terminal) has gone, it falls silent; nothing fails by that."""
    try:
        print(text, flush=True)  # noqa: T201
    except OSError as problem:
        if problem.errno not in (errno.EPIPE, errno.EIO):
            problem.filename = "standard output"
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
