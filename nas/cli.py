"""The command line: `nas search`, `resume`, `leaderboard`, `show`, `predict`, `spaces`, `datasets`.

Each verb imports what it needs inside itself, so that `nas --help` and `nas leaderboard` answer at once. Bad input ends with
one message on standard error and exit code 2, a failed run with 1; tracebacks are shown with `--debug` only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import os
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer

from nas import interrupts
from nas.errors import InputError, NasError
from nas.run import disk_trouble

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # halves the time that --help takes
    pretty_exceptions_enable=False,
    help="Find the best small network for your pictures.",
)
spaces_app = typer.Typer(no_args_is_help=False, rich_markup_mode=None, help="Search spaces: list, show, check, sample.")
app.add_typer(spaces_app, name="spaces")


def main() -> NoReturn:
    """Run the command line and turn errors of ours into messages."""
    debug = "--debug" in sys.argv
    interrupts.second = interrupts.leave
    for number in interrupts.SIGNALS:  # a polite request to end, or a terminal that is closed, is treated like Ctrl-C
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupts.raise_interrupt)
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
        words = (str(problem).strip().splitlines() or [""])[0]
        _end(disk_trouble(problem) or f"{type(problem).__name__}: {words}; --debug shows where", 1)
    sys.exit(0)


def _end(words: str, code: int) -> NoReturn:
    with contextlib.suppress(OSError):
        print(f"error: {words}", file=sys.stderr)  # noqa: T201
    sys.exit(code)


def say(text: str = "") -> None:
    """The command line's voice. When who listened (`head`, a terminal) has gone, it falls silent; nothing fails by that."""
    try:
        print(text, flush=True)  # noqa: T201
    except OSError as problem:
        if problem.errno not in (errno.EPIPE, errno.EIO):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
Workers = Annotated[int | None, typer.Option(help="Candidates trained at the same time (1: the same result every time).")]
Time = Annotated[str | None, typer.Option(help="End after this time, such as 30m or 2h.")]
Threads = Annotated[int | None, typer.Option(help="Threads of one candidate (default: cores / workers).")]
MaxParams = Annotated[str | None, typer.Option(help="Most parameters of a network, such as 500k; none for no limit.")]
MaxFlops = Annotated[str | None, typer.Option(help="Most FLOPs for one picture, such as 100M or none (default 40M).")]
MaxMemory = Annotated[str | None, typer.Option(help="Most bytes in training by the blueprint, such as 2G (default 4G).")]
TrialTime = Annotated[str | None, typer.Option(help="Most time of one candidate, such as 10m (default none).")]
TrialMemory = Annotated[
    str | None, typer.Option(help="Most memory of one candidate's worker, such as 2G or none (default: nine tenths / workers).")
]
HangTime = Annotated[str | None, typer.Option(help="A worker without a sign of life for so long is ended (default 10m).")]
Keep = Annotated[int | None, typer.Option(help="Models kept, the best ones (default 5).")]
DataDir = Annotated[str | None, typer.Option(help="Folder of downloaded data sets (or NAS_DATA_DIR).")]


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
    plugin: Annotated[list[str] | None, typer.Option(help="A Python file that registers parts of your own.")] = None,
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
    folder = result.folder
    rows = read_csv(Run(folder).leaderboard)
    say(table(rows[:10]))
    if len(rows) > 10:
        say(f"all {len(rows)}:   nas leaderboard {folder} --top 0")
    if result.best is None and not Run(folder).best.exists():
        say("no candidate was trained to the end, so there is no model yet")
    say(f"go on:    nas resume {folder} --budget {len(result.records) + 50}")
    if result.best is not None:
        say(f"look:     nas show {folder} {result.best.number}")
    if Run(folder).best.exists():
        say(f"predict:  nas predict {folder} PICTURE")


@app.command()
def leaderboard(
    run: Annotated[str | None, typer.Argument(help="Run folder (default: the newest in results/).")] = None,
    top: Annotated[int, typer.Option(help="How many rows; 0 for all.", min=0)] = 10,
    where: Annotated[str | None, typer.Option(help="Such as 'parameters < 200000 and state = trained'.")] = None,
    sort: Annotated[
        str | None, typer.Option(help="A column of the CSV; accuracies highest first, the rest lowest first.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON, all columns.")] = False,
    debug: Debug = False,
) -> None:
    """Print a run's leaderboard, best first."""
    from nas import leaderboard as board
    from nas.printing import table
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
        say(json_module.dumps(filled, indent=1, ensure_ascii=False))
    else:
        say(table(rows))
        if len(rows) < found:
            say(f"and {found - len(rows)} more: --top 0 shows all")


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="Run folder.")],
    number: Annotated[int, typer.Argument(help="Number of the candidate, as in the leaderboard.")],
    debug: Debug = False,
) -> None:
    """Show one candidate: layers with shapes and parameters, recipe, curve, parents."""
    from nas.ledger import Ledger
    from nas.printing import candidate_lines
    from nas.run import Run
    from nas.space import read_space

    opened = Run.open(run)
    facts = opened.read_settings()
    ledger = Ledger(opened.study, read_space(facts["space"]), facts["settings"]["strategy"], reading=True)
    record = ledger.record(number)
    if record.state == "running" and not opened.driven():
        record = dataclasses.replace(record, state="interrupted")
    say("\n".join(candidate_lines(record, ledger.candidate(number), ledger.epochs(number))))


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="Run folder (its best model so far) or a .keras file.")],
    pictures: Annotated[list[str], typer.Argument(help="Picture files.")],
    debug: Debug = False,
) -> None:
    """Say what is in a picture, with one probability for each class."""
    from nas.predict import predict as look

    failed = False
    for prediction in look(model, pictures):
        if prediction.reason:
            failed = True
            print(f"error: {prediction.file}: {prediction.reason}", file=sys.stderr)  # noqa: T201
            continue
        shown = list(prediction.probabilities.items())[:5]
        say(f"{prediction.file}: {shown[0][0]}   " + "  ".join(f"{name} {share:.1%}" for name, share in shown))
    if failed:
        raise typer.Exit(InputError.exit_code)


@spaces_app.callback(invoke_without_command=True)
def spaces(context: typer.Context) -> None:
    """List the search spaces that ship with nas."""
    if context.invoked_subcommand is not None:
        return
    from nas.shipped import shipped
    from nas.space import read_space

    for name, file in shipped("search_spaces").items():
        say(f"{name:<12} {read_space(str(file)).about}")
    say("\nnas spaces show NAME prints one; copy it to a file of your own and search it with --space FILE")


@spaces_app.command("show")
def spaces_show(name: Annotated[str, typer.Argument(help="Shipped name or YAML file.")], debug: Debug = False) -> None:
    """Print the file of a space."""
    from nas.errors import SpaceError
    from nas.shipped import shipped_file
    from nas.space import read_space

    read_space(name)
    say(shipped_file("search_spaces", name, "search space", SpaceError).read_text(encoding="utf-8").rstrip())


Plugin = Annotated[list[str] | None, typer.Option(help="A Python file that registers parts of your own.")]


@spaces_app.command("check")
def spaces_check(
    file: Annotated[str, typer.Argument(help="YAML file or shipped name.")], plugin: Plugin = None, debug: Debug = False
) -> None:
    """Check a space; for networks, every gene at its extremes."""
    space = _checked_space(file, plugin)
    size = space.size()
    genes = len(space.genes) + sum(len(group.genes) for group in space.groups.values())
    kind = "networks" if space.describes_networks else "genotypes for an evaluator of your own"
    count = f"{size:,} genotypes" if size is not None else "more than 10,000 genotypes"
    say(f"{file}: fine: {genes} genes, {len(space.groups)} groups, {count}; {kind}")


@spaces_app.command("sample")
def spaces_sample(
    file: Annotated[str, typer.Argument(help="YAML file or shipped name.")],
    n: Annotated[int, typer.Option("-n", min=1, max=10_000, help="How many.")] = 3,
    seed: Annotated[int, typer.Option(help="For other ones.")] = 0,
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """Draw genotypes at random; of networks also the layers and their size."""
    import json
    import random

    from nas.blueprint import Pictures, express, summary

    space = _checked_space(file, plugin)
    rng = random.Random(seed)
    for _ in range(n):
        genotype = space.sample(rng)
        say(json.dumps(genotype, ensure_ascii=False))
        if space.describes_networks:
            blueprint, _recipe = express(genotype, Pictures((32, 32, 3), 10, (127.0,) * 3, (64.0,) * 3))
            size = f"{blueprint.parameters:,} parameters, {blueprint.flops / 1e6:,.1f} MFLOPs for 32×32×3 and 10 classes"
            say(f"  {summary(blueprint)}: {size}")


def _checked_space(file: str, plugin: list[str] | None) -> Any:
    from nas import plugins
    from nas.blueprint import check_networks
    from nas.space import read_space

    for each in plugin or []:
        plugins.load(each)
    space = read_space(file)
    if space.describes_networks:
        check_networks(space)
    return space


@app.command()
def datasets(data_dir: DataDir = None, plugin: Plugin = None, debug: Debug = False) -> None:
    """List the data sets that are known, which are on this machine, and how to get the rest."""
    from nas import plugins
    from nas.datasets import DATASETS
    from nas.datasets.base import data_dir as data_folder

    for each in plugin or []:
        plugins.load(each)
    folder = data_folder(data_dir)
    for name in DATASETS.names():
        dataset = DATASETS[name]
        place = dataset.present(folder)
        say(f"{name:<10} {dataset.about}")
        say(f"{'':<10} {'on this machine: ' + place if place else 'not on this machine: ' + dataset.get}")
    say(f"{'FOLDER':<10} any folder of pictures: FOLDER/class/*.jpg, or FOLDER/train/class/*.jpg with FOLDER/test/class/*.jpg")
    say(f"\ndata directory: {folder or 'none (--data-dir or NAS_DATA_DIR)'}")
