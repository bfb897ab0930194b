"""Verbs that use a model: `nas predict`, `evaluate`, `export`, `explain`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from nas.cli.door import app
from nas.cli.options import DataDir, Debug, Plugin, say
from nas.errors import InputError

Model = Annotated[str, typer.Argument(help="Run folder (its best model so far), an export, or a model file of any format.")]


@app.command()
def predict(
    model: Model,
    pictures: Annotated[list[str], typer.Argument(help="Picture files, and folders of them.")],
    csv: Annotated[str | None, typer.Option(help="Write a CSV with a row for each picture, and print none.")] = None,
    top: Annotated[int, typer.Option(help="How many classes, the likeliest first.", min=1)] = 3,
    debug: Debug = False,
) -> None:
    """Say what is in pictures, with one probability for each class."""
    from nas.errors import counted
    from nas.paths import target_of
    from nas.predict import COLUMN, predictions, write_csv
    from nas.printing import printable
    from nas.run import disk_told

    failed = 0
    with disk_told():
        if csv is not None:
            file = target_of(csv, "--csv", f"{COLUMN},")
            count, failed = write_csv(predictions(model, pictures), file, top)
            say(f"{counted(count, 'picture')}, {failed:,} of them unreadable: {csv}")
        for prediction in predictions(model, pictures) if csv is None else ():
            if prediction.reason:
                failed += 1
                print(f"error: {printable(prediction.file)}: {prediction.reason}", file=sys.stderr)  # noqa: T201
                continue
            shown = [(printable(name), share) for name, share in list(prediction.probabilities.items())[:top]]
            say(f"{printable(prediction.file)}: {shown[0][0]}   " + "  ".join(f"{name} {share:.1%}" for name, share in shown))
    if failed:
        raise typer.Exit(InputError.exit_code)


@app.command()
def evaluate(
    model: Model,
    dataset: Annotated[str, typer.Argument(help="A name ('nas datasets') or a folder of pictures.")],
    part: Annotated[str, typer.Option(help="test (what a search never sees) or all.")] = "test",
    out: Annotated[str | None, typer.Option("--out", "-o", help="A folder for the figures as CSV and picture.")] = None,
    data_dir: DataDir = None,
    plugin: Plugin = None,
    debug: Debug = False,
) -> None:
    """Score a model on a data set: accuracy, figures of each class, confusion matrix."""
    from nas.evaluate import evaluate as look
    from nas.evaluate import evaluation_lines
    from nas.view import make_view

    score = look(model, dataset, part=part, data_dir=data_dir, out=out, plugin=plugin or (), view=make_view())
    for line in evaluation_lines(score, dataset, part):
        say(line)


@app.command()
def export(
    run: Annotated[str | None, typer.Argument(help="Run folder (default: the newest in results/).")] = None,
    format: Annotated[str, typer.Option(help="keras, savedmodel, onnx, tflite or python.")] = "keras",
    rank: Annotated[int | None, typer.Option(help="The candidate of this place in the leaderboard.")] = None,
    number: Annotated[int | None, typer.Option(help="The candidate of this number.")] = None,
    final: Annotated[bool, typer.Option("--final", help="The retrained model.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Whole numbers of 8 bits (tflite): a quarter of the size.")] = False,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="A new folder (default export/FORMAT in the run's; FORMAT-int8).")
    ] = None,
    data_dir: DataDir = None,
    debug: Debug = False,
) -> None:
    """Write a model for other programs, checked on pictures against the original."""
    from nas.export.exporting import export as write
    from nas.view import make_view

    write(run, format, rank=rank, number=number, final=final, int8=int8, out=out, data_dir=data_dir, view=make_view())


@app.command()
def explain(
    model: Annotated[str, typer.Argument(help="Run folder (its best model so far), or a .keras file.")],
    picture: Annotated[str, typer.Argument(help="A picture file.")],
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="The sheet, .html or .png (default PICTURE-seen.html here).")
    ] = None,
    debug: Debug = False,
) -> None:
    """Show what the network sees in a picture: where it finds its class, its filters, every layer."""
    from nas.explain import explain as write
    from nas.view import make_view

    write(model, picture, out, make_view())
