"""What there is to search and to learn from: `nas spaces` and `nas datasets`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nas.cli.door import app
from nas.cli.options import DataDir, Debug, Plugin, say
from nas.errors import counted

spaces_app = typer.Typer(no_args_is_help=False, rich_markup_mode=None, help="Search spaces: list, show, check, sample.")
app.add_typer(spaces_app, name="spaces")


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
    say(f"{file}: fine: {counted(genes, 'gene')}, {counted(len(space.groups), 'group')}, {count}; {kind}")


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

    from nas.blueprint import express, summary, usual_pictures

    space = _checked_space(file, plugin)
    pictures = usual_pictures(space)
    rng = random.Random(seed)
    for _ in range(n):
        genotype = space.sample(rng)
        say(json.dumps(genotype, ensure_ascii=False))
        if space.describes_networks:
            blueprint, _recipe = express(genotype, pictures)
            shape, classes = "×".join(map(str, pictures.shape)), pictures.classes
            size = f"{blueprint.parameters:,} parameters, {blueprint.flops / 1e6:,.1f} MFLOPs for {shape} and {classes} classes"
            say(f"  {summary(blueprint)}: {size}")


def _checked_space(file: str, plugin: list[str] | None) -> Any:
    from nas import plugins
    from nas.config import Settings
    from nas.preparing import check_space
    from nas.space import read_space
    from nas.view import Plain

    for each in plugin or []:
        plugins.load(each)
    space = read_space(file)
    if space.describes_networks:
        check_space(space, Settings(), Plain())
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
