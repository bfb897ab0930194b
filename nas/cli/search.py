"""`nas search` and `nas resume`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nas.cli.door import app
from nas.cli.options import (
    DataDir,
    Debug,
    HangTime,
    Keep,
    MaxFlops,
    MaxMemory,
    MaxParams,
    Plugin,
    Threads,
    Time,
    TrialMemory,
    TrialTime,
    Workers,
    say,
)


@app.command()
def search(
    strategy: Annotated[str | None, typer.Option(help="genetic (default), optuna or random.")] = None,
    budget: Annotated[int | None, typer.Option(help="How many candidates (default 50).")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="A name ('nas datasets') or a folder of pictures (default cifar10).")
    ] = None,
    space: Annotated[str | None, typer.Option(help="A name ('nas spaces') or a YAML file (default cnn).")] = None,
    epochs: Annotated[int | None, typer.Option(help="Most epochs of a candidate (default 9).")] = None,
    seed: Annotated[int | None, typer.Option(help="Everything random follows from it (default 0).")] = None,
    time: Time = None,
    out: Annotated[str | None, typer.Option(help="Run folder (default results/<dataset>-<strategy>-<n>).")] = None,
    config: Annotated[str | None, typer.Option(help="A configuration: shipped name or YAML file.")] = None,
    workers: Workers = None,
    threads: Threads = None,
    sampler: Annotated[str | None, typer.Option(help="Of Optuna: tpe (default), qmc, random; gp as an extra.")] = None,
    pruner: Annotated[str | None, typer.Option(help="none, asha (default) or median.")] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Scale pictures to this square (default: the data's, at most 64).")
    ] = None,
    data_dir: DataDir = None,
    train_part: Annotated[
        float | None, typer.Option(help="Part of the training pictures used (default: about 10,000).")
    ] = None,
    validation_part: Annotated[
        float | None, typer.Option(help="Part held out to compare candidates (default: a tenth or more).")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Epochs without improvement that end a training (default 0: never).")
    ] = None,
    max_params: MaxParams = None,
    max_flops: MaxFlops = None,
    max_memory: MaxMemory = None,
    trial_time: TrialTime = None,
    trial_memory: TrialMemory = None,
    hang_time: HangTime = None,
    keep: Keep = None,
    precision: Annotated[str | None, typer.Option(help="auto (default), float32 or bfloat16.")] = None,
    executor: Annotated[str | None, typer.Option(help="processes (default) or inline.")] = None,
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """Search for the best network and keep every result."""
    from nas.searching import search as run_search
    from nas.view import make_view

    options: dict[str, Any] = {
        "sampler": sampler,
        "epochs": epochs,
        "seed": seed,
        "time": time,
        "workers": workers,
        "threads": threads,
        "pruner": pruner,
        "image_size": image_size,
        "data_dir": data_dir,
        "train_part": train_part,
        "validation_part": validation_part,
        "patience": patience,
        "max_params": max_params,
        "max_flops": max_flops,
        "max_memory": max_memory,
        "trial_time": trial_time,
        "trial_memory": trial_memory,
        "hang_time": hang_time,
        "keep": keep,
        "precision": precision,
        "executor": executor,
        "plugin": tuple(plugin) if plugin else None,
    }
    _finish(lambda: run_search(space, dataset, strategy, budget, out=out, config=config, view=make_view(), **options))


@app.command()
def resume(
    run: Annotated[str, typer.Argument(help="Run folder.")],
    budget: Annotated[int | None, typer.Option(help="Candidates in all, those before included.")] = None,
    time: Time = None,
    workers: Workers = None,
    threads: Threads = None,
    keep: Keep = None,
    max_params: MaxParams = None,
    max_flops: MaxFlops = None,
    max_memory: MaxMemory = None,
    trial_time: TrialTime = None,
    trial_memory: TrialMemory = None,
    hang_time: HangTime = None,
    data_dir: DataDir = None,
    debug: Debug = False,
) -> None:
    """Go on with a run where it stopped, or extend it."""
    from nas.resuming import resume as resume_search
    from nas.view import make_view

    changes = {
        "budget": budget,
        "time": time,
        "workers": workers,
        "threads": threads,
        "keep": keep,
        "max_params": max_params,
        "max_flops": max_flops,
        "max_memory": max_memory,
        "trial_time": trial_time,
        "trial_memory": trial_memory,
        "hang_time": hang_time,
        "data_dir": data_dir,
    }
    _finish(lambda: resume_search(run, view=make_view(), **changes))


def _finish(work: Any) -> None:
    """Run a search, then print its leaderboard and what to do next."""
    from nas.leaderboard import read_csv
    from nas.printing import table
    from nas.run import Run

    result = work()
    run = Run(result.folder)
    rows = read_csv(run.leaderboard)
    say(table(rows[:10]))
    if len(rows) > 10:
        say(f"all {len(rows)}:   nas leaderboard {run.name} --top 0")
    if result.best is None and not run.best.exists():
        say("no candidate was trained to the end, so there is no model yet")
    if result.ended == "time":
        say(f"go on:    nas resume {run.name} --time none, or another time")
    elif result.ended == "budget":
        say(f"go on:    nas resume {run.name} --budget {len(result.records) + 50}")
    if result.best is not None:
        say(f"look:     nas show {run.name} {result.best.number}")
    if run.best.exists():
        say(f"predict:  nas predict {run.name} PICTURE")
