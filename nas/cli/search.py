"""Verbs that train: `nas search`, `plan`, `resume`, `retrain`, `train`."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from nas.cli.door import app
from nas.cli.options import (
    ClassWeight,
    CpusPerTrial,
    DataDir,
    Debug,
    Executor,
    GpusPerTrial,
    HangTime,
    Keep,
    MaxFlops,
    MaxMemory,
    MaxParams,
    Objective,
    Plugin,
    RayAddress,
    Storage,
    Study,
    Threads,
    Time,
    TrialMemory,
    TrialTime,
    Workers,
    say,
)
from nas.run import Run


@app.command()
def search(
    strategy: Annotated[str | None, typer.Option(help="genetic (default), optuna or random.")] = None,
    budget: Annotated[int | None, typer.Option(help="How many candidates (default 50).")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="A name ('nas datasets') or a folder of pictures (default cifar10).")
    ] = None,
    space: Annotated[str | None, typer.Option(help="A name ('nas spaces') or a YAML file (default modern).")] = None,
    epochs: Annotated[int | None, typer.Option(help="Most epochs of a candidate (default: by --seen-pictures).")] = None,
    seed: Annotated[int | None, typer.Option(help="Everything random follows from it (default 0).")] = None,
    time: Time = None,
    out: Annotated[str | None, typer.Option(help="Run folder (default results/<dataset>-<strategy>-<n>).")] = None,
    preset: Annotated[
        str | None, typer.Option(help="How long each candidate is trained: quick, standard (default) or thorough.")
    ] = None,
    config: Annotated[str | None, typer.Option(help="A configuration: shipped name or YAML file; beats the preset.")] = None,
    workers: Workers = None,
    threads: Threads = None,
    sampler: Annotated[str | None, typer.Option(help="Of Optuna: tpe (default), qmc, random; gp as an extra.")] = None,
    pruner: Annotated[str | None, typer.Option(help="none (default), asha or median.")] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Scale pictures to this square (default: the data's, at most 64).")
    ] = None,
    data_dir: DataDir = None,
    train_pictures: Annotated[int | None, typer.Option(help="Training pictures of an epoch, at most (default 30000).")] = None,
    seen_pictures: Annotated[
        int | None, typer.Option(help="Pictures that a candidate sees in all its epochs (default 30000).")
    ] = None,
    train_part: Annotated[float | None, typer.Option(help="The same as --train-pictures, as a part of all, 0 to 1.")] = None,
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
    executor: Executor = None,
    ray_address: RayAddress = None,
    cpus_per_trial: CpusPerTrial = None,
    gpus_per_trial: GpusPerTrial = None,
    storage: Storage = None,
    study: Study = None,
    objective: Objective = None,
    class_weight: ClassWeight = None,
    start_from: Annotated[
        list[str] | None, typer.Option(help="Known networks first: a file, a folder of them, or a run (its best).")
    ] = None,
    inherit: Annotated[
        bool, typer.Option("--inherit", help="Children begin with their parents' weights, where they fit.")
    ] = False,
    retrain: Annotated[bool, typer.Option("--retrain", help="Then retrain the best and score it on the test part.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write logs for it, of every candidate.")] = False,
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """Search for the best network and keep every result."""
    given = _given(locals())
    from nas.searching import search as run_search
    from nas.view import make_view

    _finish(lambda: run_search(out=out, config=config, view=make_view(), **given))


def plan(**given: Any) -> None:
    """Say what such a search would take here: time, memory, disk. It takes a minute or two itself."""
    from nas.planning import plan as foretell
    from nas.planning import plan_lines
    from nas.view import make_view

    for line in plan_lines(foretell(config=given["config"], view=make_view(), **_given(given))):
        say(line)


# The options of `search`, but for that of its folder.
_shown = inspect.signature(search, eval_str=True)
plan.__signature__ = _shown.replace(  # type: ignore[attr-defined]
    parameters=[each for name, each in _shown.parameters.items() if name != "out"]
)
plan.__annotations__ = {name: each.annotation for name, each in _shown.parameters.items()}
app.command()(plan)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The settings among a verb's options; what was not given is None."""
    kept = {name: value for name, value in options.items() if name not in ("out", "config", "debug")}
    return {
        name: tuple(value) if isinstance(value, list) else None if value is False else value for name, value in kept.items()
    }


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
    executor: Executor = None,
    ray_address: RayAddress = None,
    cpus_per_trial: CpusPerTrial = None,
    gpus_per_trial: GpusPerTrial = None,
    data_dir: DataDir = None,
    debug: Debug = False,
) -> None:
    """Go on with a run where it stopped, or extend it."""
    changes = {name: value for name, value in _given(locals()).items() if name != "run"}
    from nas.resuming import resume as resume_search
    from nas.view import make_view

    _finish(lambda: resume_search(run, view=make_view(), **changes))


def _finish(work: Any) -> None:
    """Run a search, then print its leaderboard and what to do next."""
    from nas.final import read_final
    from nas.leaderboard import read_csv
    from nas.printing import table

    result = work()
    run = Run(result.folder)
    final = read_final(run)
    rows = read_csv(run.leaderboard)
    say(table(rows[:10]))
    if len(rows) > 10:
        say(f"all {len(rows)}:   nas leaderboard {run.name} --top 0")
    if result.best is None and not run.best.exists():
        say("no candidate was trained to the end, so there is no model yet")
    if final is not None:
        say(f"figures:  {run.final}, {run.folder / 'confusion.png'}")
    elif result.ended == "time":
        say(f"go on:    nas resume {run.name} --time none, or another time")
    elif result.ended == "budget":
        say(f"go on:    nas resume {run.name} --budget {len(result.records) + 50}")
    if final is not None and final.winner is not None:  # often not the first of the table
        say(f"look:     nas show {run.name} {final.winner}   (the winner; the table has scores of the search alone)")
    elif result.best is not None:
        say(f"look:     nas show {run.name} {result.best.number}")
    if run.best.exists():
        say(f"predict:  nas predict {run.name} PICTURE")
    if result.best is not None and final is None:
        say(f"retrain:  nas retrain {run.name}   (the best at full length; their winner is scored on the test part)")


@app.command()
def retrain(
    run: Annotated[str, typer.Argument(help="Run folder.")],
    top: Annotated[int | None, typer.Option(help="How many of the best candidates are compared (default 3).", min=1)] = None,
    number: Annotated[int | None, typer.Option(help="This candidate alone.", min=0)] = None,
    seeds: Annotated[int | None, typer.Option(help="Trainings of each, with other random numbers (default 3).", min=1)] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of each (default at least 30, or what fits the time).", min=1)
    ] = None,
    time: Time = None,
    workers: Workers = None,
    threads: Threads = None,
    trial_memory: TrialMemory = None,
    hang_time: HangTime = None,
    data_dir: DataDir = None,
    debug: Debug = False,
) -> None:
    """Train the best candidates at full length, and score the winner on the test part, once."""
    given = {name: value for name, value in _given(locals()).items() if name != "run"}
    from nas.retraining import retrain as retrain_best
    from nas.view import make_view

    _handed_over(Run(retrain_best(run, make_view(), **given).folder))


@app.command()
def train(
    file: Annotated[str, typer.Argument(help="A YAML file with a genotype, or a shipped name ('baselines/three-blocks').")],
    epochs: Annotated[int | None, typer.Option(help="Epochs (default: what fits the time, or the file's, or 30).")] = None,
    seed: Annotated[int | None, typer.Option(help="Everything random follows from it (default 0).")] = None,
    time: Time = None,
    out: Annotated[str | None, typer.Option(help="Run folder (default results/<name>-<n>).")] = None,
    dataset: Annotated[str | None, typer.Option(help="A name or a folder of pictures (default: the file's).")] = None,
    image_size: Annotated[int | None, typer.Option(help="Scale pictures to this square.")] = None,
    data_dir: DataDir = None,
    threads: Threads = None,
    precision: Annotated[str | None, typer.Option(help="auto, float32 or bfloat16.")] = None,
    objective: Objective = None,
    class_weight: ClassWeight = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write logs for it.")] = False,
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """Train one known network, and score it on the test part."""
    options = {name: value for name, value in _given(locals()).items() if name != "file"}
    from nas.leaderboard import read_csv
    from nas.printing import table
    from nas.single import train as train_one
    from nas.view import make_view

    run = Run(train_one(file, make_view(), out, **options).folder)
    say(table(read_csv(run.leaderboard)))
    _handed_over(run)


def _handed_over(run: Run) -> None:
    say(f"figures:  {run.final}, {run.folder / 'confusion.png'}")
    say(f"predict:  nas predict {run.name} PICTURE")
