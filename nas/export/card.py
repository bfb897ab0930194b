"""`MODEL_CARD.md`, beside each export: where the model comes from, how good it is, what it is not for, how to load it (after
Mitchell et al. 2019, "Model Cards for Model Reporting")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nas import leaderboard
from nas.blueprint import Blueprint
from nas.blueprint.summary import summary
from nas.errors import counted
from nas.export.formats import FORMATS
from nas.final import read_final
from nas.provenance import SEARCH
from nas.run import Run

MOST_NAMED = 20  # classes


def model_card(run: Run, facts: dict[str, Any], about: dict[str, Any], checked: Sequence[str], last: bool) -> str:
    """The text. `facts` are those of `run.yaml`, `about` those that go with the model; `last`: it is the one that was scored on
    the test part."""
    made = "found" if facts.get("kind", SEARCH) == SEARCH else "trained"
    lines = [f"# {_safe(about['data']['name'])}: a model that nas {made}", ""]
    for title, part in (
        ("What it does", _purpose(about)),
        ("How good it is", _figures(run, about, last)),
        ("Data", _data(facts, about)),
        ("How it was found", _search(run, facts, about)),
        ("How it was trained", _training(run, facts, about, last)),
        ("This file", [f"- {line}" for line in checked]),
        ("Limits", _limits(about)),
        ("Loading it", _loading(about)),
    ):
        lines += [f"## {title}", "", *part, ""]
    return "\n".join(lines)


def _purpose(about: dict[str, Any]) -> Iterator[str]:
    classes = about["classes"]
    shown = ", ".join(_safe(name) for name in classes[:MOST_NAMED])
    height, width, channels = about["shape"]
    yield f"It tells {len(classes)} classes apart: {shown}{', …' if len(classes) > MOST_NAMED else ''}."
    yield f"Input: {about['input']}; here {height}×{width}, {'colour' if channels == 3 else 'grey'}."
    yield f"Resizing: {about['resizing']}."
    one = "1 - " in _named(about)
    yield f"Output: {'the probability of the second class' if one else 'one number for each class, in this order'}."


def _figures(run: Run, about: dict[str, Any], last: bool) -> Iterator[str]:
    final = read_final(run) if last else None
    if about["int8"]:
        yield "These are figures of the original in float32; how far this file of whole numbers differs from it stands under"
        yield "[This file](#this-file)."
        yield ""
    if final is not None:
        yield f"On the {final.pictures:,} pictures of the test part, which it was not chosen by:"
        yield ""
        yield "| figure | class | value | 95% interval |"
        yield "|---|---|---|---|"
        for (name, of), row in [each for each in final.rows.items() if not each[0][1]] + [
            each for each in final.rows.items() if each[0][1]
        ][:MOST_NAMED]:
            if name in ("accuracy", "balanced_accuracy", "f1", "auc", "calibration_error"):
                interval = f"{float(row['low']):.4f} to {float(row['high']):.4f}" if row["low"] else ""
                yield f"| {name.replace('_', ' ')} | {_safe(of)} | {float(row['value']):.4f} | {interval} |"
        return
    found = [row for row in leaderboard.read_csv(run.leaderboard) if row["number"] == about.get("number")]
    if found and found[0]["val_accuracy"] != "":
        score = f"{found[0]['val_accuracy']:.4f}"
        hint = "" if run.final.exists() else "; `nas retrain` gives figures of pictures never looked at"
        yield f"Accuracy on the validation pictures of the search: {score}, after a training as short as a search's. It was"
        yield f"chosen by them, so this promises a little too much{hint}."
    else:
        yield "Not known: no picture was held out when it was trained, and the test part was not looked at."


def _data(facts: dict[str, Any], about: dict[str, Any]) -> Iterator[str]:
    data = facts.get("data") or {}
    counts = data.get("counts") or []
    yield f"- `{_code(about['data']['name'])}`, {sum(counts):,} training pictures, digest `{about['data']['digest']}`"
    part = facts["settings"].get("validation_part")
    if part:
        yield f"- of them {part:.1%} validation pictures, by which candidates were compared (seed {facts['settings']['seed']})"
    yield f"- test part: {_safe(data.get('test', ''))}"
    if len(set(counts)) > 1:
        each = [f"{_safe(name)} {count:,}" for name, count in zip(about["classes"], counts, strict=False)]
        yield f"- pictures of each class: {', '.join(each[:MOST_NAMED])}"


def _search(run: Run, facts: dict[str, Any], about: dict[str, Any]) -> Iterator[str]:
    own, rows = facts["settings"], leaderboard.read_csv(run.leaderboard)
    blueprint = Blueprint.from_dict(about["blueprint"])
    trained = sum(row["state"] == "trained" for row in rows)
    if facts.get("kind", SEARCH) == SEARCH:
        yield f"- strategy `{own['strategy']}`, budget {own['budget']}, {len(rows)} candidates, {trained} trained to the end"
    else:
        yield f"- {facts['kind']}: the network was given, not searched for"
    yield f"- space `{_code((facts['space'] or {}).get('name', own['space']))}`, seed {own['seed']}, {facts.get('created', '')}"
    yield f"- the network: `{summary(blueprint)}`, {blueprint.parameters:,} parameters, {blueprint.flops / 1e6:,.1f} MFLOPs"
    yield f"- versions: {', '.join(f'{name} {version}' for name, version in (facts.get('versions') or {}).items())}"


def _training(run: Run, facts: dict[str, Any], about: dict[str, Any], last: bool) -> Iterator[str]:
    final = read_final(run) if last else None
    pictures, held = sum((facts.get("data") or {}).get("counts") or []), facts["settings"].get("validation_part") or 0.0
    number = final.winner if final is not None and final.winner is not None else about.get("number")
    row = next((row for row in leaderboard.read_csv(run.leaderboard) if row["number"] == number), None)
    if final is not None and final.winner is not None:
        yield f"- at full length, on all {pictures:,} training pictures, for {counted(final.epochs or 1, 'epoch')}"
    elif row is not None:
        part = facts["settings"].get("train_part") or 1.0
        shown = f"{pictures * (1 - held) * part:,.0f} training pictures, for {counted(row['epochs'], 'epoch')}"
        yield f"- {'as short as a search does, ' if facts.get('kind', SEARCH) == SEARCH else ''}on {shown}"
    if row is not None:
        idle = () if row["optimizer"] == "sgd" else ("momentum",)
        used = {n: row[n] for n in leaderboard.RECIPE if n not in idle and row[n] not in ("", 0, 0.0, "none", None)}
        yield f"- {', '.join(f'{name} {value}' for name, value in used.items())}"
    yield f"- precision {facts['settings'].get('precision')}"


def _limits(about: dict[str, Any]) -> Iterator[str]:
    yield "- It knows its classes and nothing else: a picture of something else gets one of these names all the same."
    yield "- It is as good as that on pictures like those of its data; on others (another camera, drawings) it was not tried."
    height, width, _ = about["shape"]
    yield f"- It sees {height}×{width} pixels; what is smaller than that in a picture is lost."


def _loading(about: dict[str, Any]) -> Iterator[str]:
    height, width, channels = about["shape"]
    mode, grey = ("RGB", "") if channels == 3 else ("L", ", :, :, None")
    own = FORMATS[about["format"]].loading.splitlines()
    kind = "uint8" if about["int8"] else "float32"
    yield "In this folder:"
    yield ""
    yield "```python"
    yield "import json"
    yield "import numpy as np"
    yield "from PIL import Image, ImageOps"
    yield from (line for line in own if line.startswith(("import ", "from ")))
    yield ""
    yield f'image = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("{mode}")'
    yield f"picture = np.asarray(image.resize(({width}, {height}), Image.Resampling.BILINEAR), np.{kind})[None{grey}]"
    yield from (line for line in own if not line.startswith(("import ", "from ")))
    yield f'print(dict(zip(json.load(open("model.json", encoding="utf-8"))["classes"], {_named(about)})))'
    yield "```"
    yield ""
    yield "`nas predict` does the same; it takes pictures of 16 bits too, and lays transparent ones on white, as in training."


def _named(about: dict[str, Any]) -> str:
    """What stands for the classes: as the network answers, where it does so with one probability for each."""
    nodes = about["blueprint"]["nodes"]
    if about["format"] not in ("keras", "python") or nodes[-1].get("type") != "sigmoid":
        return "answers[0].tolist()"
    one = any(node.get("units") == 1 for node in nodes[-2:])
    return "[float(1 - answers[0][0]), float(answers[0][0])]" if one else "(answers[0] / answers[0].sum()).tolist()"


def _code(text: object) -> str:
    """Text from data between backticks."""
    return "".join(letter for letter in str(text) if letter.isprintable() and letter != "`")


def _safe(text: object) -> str:
    """Text from data (class names, paths) that Markdown shall not take for its own."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+!|&" else letter for letter in str(text) if letter.isprintable())
