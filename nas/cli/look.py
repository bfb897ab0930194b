"""Verbs that look at runs: `nas leaderboard`, `show`, `report`, `compare`, `dashboard`."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from nas.cli.door import app
from nas.cli.options import DataDir, Debug, say


@app.command()
def leaderboard(
    run: Annotated[str | None, typer.Argument(help="Run folder (default: the newest in results/).")] = None,
    top: Annotated[int, typer.Option(help="How many rows; 0 for all.", min=0)] = 10,
    where: Annotated[str | None, typer.Option(help="Such as 'parameters < 200000 and state = trained'.")] = None,
    sort: Annotated[
        str | None, typer.Option(help="A column of the CSV; score and accuracies highest first, others lowest.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON, all columns.")] = False,
    debug: Debug = False,
) -> None:
    """Print a run's leaderboard, best first."""
    from nas import leaderboard as board
    from nas.printing import finite, table
    from nas.run import Run

    opened = Run.open(run)
    if run is None:
        print(f"the newest run: {opened.folder}", file=sys.stderr)  # noqa: T201  not part of the table
    rows = board.read_csv(opened.leaderboard)
    if any(row["state"] == "running" for row in rows) and not opened.driven():
        rows = [{**row, "state": "interrupted"} if row["state"] == "running" else row for row in rows]  # its driver was killed
    rows = board.where(rows, where) if where else rows
    rows = board.sort(rows, sort) if sort else rows
    found = len(rows)
    rows = rows[:top] if top else rows
    if json:
        import json as json_module

        filled = [{name: None if value == "" else value for name, value in row.items()} for row in rows]
        say(json_module.dumps(finite(filled), indent=1, ensure_ascii=False))
    else:
        say(table(rows))
        if len(rows) < found:
            say(f"and {found - len(rows)} more: --top 0 shows all")


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="Run folder.")],
    number: Annotated[int, typer.Argument(help="Number of the candidate, as in the leaderboard.")],
    save: Annotated[str | None, typer.Option(help="Write it to a file, for `nas train` and `--start-from`.")] = None,
    debug: Debug = False,
) -> None:
    """Show one candidate: layers with shapes and parameters, recipe, curve, parents; or save it as a file."""
    from nas.printing import candidate_lines
    from nas.provenance import alone
    from nas.result import at_rest
    from nas.run import Run
    from nas.shared import reader_of

    opened = Run.open(run)
    if save is not None:
        from nas.known import HEAD, written
        from nas.paths import target_of
        from nas.run import disk_told, write_whole

        with disk_told():
            write_whole(target_of(save, "--save", HEAD), written(opened, number))
        say(f"train it:  nas train {shlex.quote(save)}")
        return
    facts = opened.read_settings()
    ledger = reader_of(opened, facts)
    record = ledger.record(number)
    (record,) = [record] if opened.driven() else at_rest([record])
    record = alone(record, facts)
    parents = [ledger.record(parent) for parent in record.parents]
    say("\n".join(candidate_lines(record, ledger.candidate(number), ledger.epochs(number), parents)))


@app.command()
def report(
    run: Annotated[str | None, typer.Argument(help="Run folder (default: the newest in results/).")] = None,
    out: Annotated[str | None, typer.Option("--out", "-o", help="The file (default report.html in the run folder).")] = None,
    pictures: Annotated[bool, typer.Option(help="With validation pictures, and where the network looks.")] = True,
    data_dir: DataDir = None,
    debug: Debug = False,
) -> None:
    """Write one page about a run that opens anywhere, offline."""
    from nas.report.reporting import report as write
    from nas.view import make_view

    write(run, out, pictures, data_dir, make_view())


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(help="Run folders.")],
    out: Annotated[str | None, typer.Option("--out", "-o", help="A folder for compare.csv and compare.png.")] = None,
    debug: Debug = False,
) -> None:
    """Set several runs side by side: what each found, and how fast."""
    from nas.compare import compare as look
    from nas.compare import lines

    for line in lines(look(runs, out)):
        say(line)
    if out is not None:
        say(f"written: compare.csv and compare.png in {out}")


@app.command()
def dashboard(
    run: Annotated[str | None, typer.Argument(help="Run folder (default: the newest in results/).")] = None,
    port: Annotated[int, typer.Option(help="On this machine alone.", min=1, max=65535)] = 8080,
    debug: Debug = False,
) -> None:
    """Open optuna-dashboard on a run's study, for reading."""
    from nas.dashboard import dashboard as serve
    from nas.view import make_view

    serve(run, port, make_view())
