"""The command line itself: verbs enter themselves in `app`, `main` runs one and turns errors into messages.

Each verb imports what it needs inside itself, so that `nas --help` and `nas leaderboard` answer at once. Bad input ends with
one message on standard error and exit code 2, a failed run with 1; tracebacks are shown with `--debug` only.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from typing import Annotated, NoReturn

import typer

from nas import __version__, interrupts
from nas.errors import NasError, first_line
from nas.run import disk_trouble

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # halves the time that --help takes
    pretty_exceptions_enable=False,
    help="Find the best small network for your pictures.",
)


def _tell(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _whole(
    version: Annotated[bool, typer.Option("--version", callback=_tell, is_eager=True, help="Say which this is.")] = False,
) -> None:
    """What stands before a verb."""


def main() -> NoReturn:
    """Run the command line and turn errors of ours into messages."""
    try:
        _run("--debug" in sys.argv)
    except KeyboardInterrupt:  # in a moment in which nothing is to be told
        sys.exit(interrupts.EXIT_CODE)


def _run(debug: bool) -> NoReturn:
    interrupts.second = interrupts.leave
    for number in interrupts.SIGNALS:  # a polite request to end, or a terminal that is closed, is treated like Ctrl-C
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupts.raise_interrupt)
    if sys.stdout is None or sys.stderr is None:  # a shell may have closed them
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  it stays open to the end
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may not know every character
    try:
        app()
    except NasError as problem:
        if debug:
            raise
        _end(str(problem), problem.exit_code)
    except Exception as problem:  # a full disk, or a fault of ours: still one message
        if debug:
            raise
        _end(disk_trouble(problem) or f"{type(problem).__name__}: {first_line(str(problem))}; --debug shows where", 1)
    sys.exit(0)


def _end(words: str, code: int) -> NoReturn:
    with contextlib.suppress(OSError):
        print(f"error: {words}", file=sys.stderr)  # noqa: T201
    sys.exit(code)
