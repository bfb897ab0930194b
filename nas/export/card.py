"""`MODEL_CARD.md`, beside each export: where the model comes from, how good it is, what it is not for, how to load it (after
Mitchell et al. 2019, "Model Cards for Model Reporting")."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any

from nas import leaderboard
from nas.blueprint import Blueprint
from nas.blueprint.summary import summary
from nas.export.formats import FORMATS
from nas.run import Run

MOST_NAMED = 20  # classes


def model_card(run: Run, facts: dict[str, Any], about: dict[str, Any], checked: Sequence[str]) -> str:
    """The text. `facts` are those of `run.yaml`, `about` those that go with the model."""
    lines = [f"# {about['data']['name']}: a model that nas found", ""]
    for title, part in (
        ("What it does", _purpose(about)),
        ("How good it is", _figures(run, about)),
        ("Data", _data(facts, about)),
        ("How it was found", _search(run, facts, about)),
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
    yield "Output: one probability for each class, in this order; of two classes, one output is that of the second."


def _figures(run: Run, about: dict[str, Any]) -> Iterator[str]:
    if run.final.exists() and _is_final(run, about):
        with run.final.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        pictures = next(row["value"] for row in rows if row["figure"] == "pictures")
        yield f"On the {int(pictures):,} pictures of the test part, which it was not chosen by and which were looked at once:"
        yield ""
        yield "| figure | class | value | 95% interval |"
        yield "|---|---|---|---|"
        for row in rows:
            if row["figure"] in ("accuracy", "balanced_accuracy", "f1", "auc", "calibration_error"):
                interval = f"{float(row['low']):.4f} to {float(row['high']):.4f}" if row["low"] else ""
                yield f"| {row['figure']} | {_safe(row['class'])} | {float(row['value']):.4f} | {interval} |"
    else:
        found = [row for row in leaderboard.read_csv(run.leaderboard) if row["number"] == about.get("number")]
        value = f"{found[0]['val_accuracy']:.4f}" if found and found[0]["val_accuracy"] != "" else "not known"
        yield f"Accuracy on the validation pictures of the search: {value}, after a training as short as a search's. It was"
        yield "chosen by them, so this promises a little too much; `nas retrain` gives figures of pictures never looked at."


def _is_final(run: Run, about: dict[str, Any]) -> bool:
    """Whether the exported model is the one that `final.csv` is of."""
    from nas.export.opened import open_model

    return run.best.exists() and {**open_model(run.best).facts}.items() <= about.items()


def _data(facts: dict[str, Any], about: dict[str, Any]) -> Iterator[str]:
    data = facts.get("data") or {}
    counts = data.get("counts") or []
    yield f"- `{_safe(about['data']['name'])}`, {sum(counts):,} training pictures, digest `{about['data']['digest']}`"
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
    yield f"- strategy `{own['strategy']}`, budget {own['budget']}, {len(rows)} candidates, {trained} trained to the end"
    yield f"- space `{_safe((facts['space'] or {}).get('name', own['space']))}`, seed {own['seed']}, {facts.get('created', '')}"
    yield f"- the network: `{summary(blueprint)}`, {blueprint.parameters:,} parameters, {blueprint.flops / 1e6:,.1f} MFLOPs"
    yield f"- versions: {', '.join(f'{name} {version}' for name, version in (facts.get('versions') or {}).items())}"


def _limits(about: dict[str, Any]) -> Iterator[str]:
    yield "- It knows its classes and nothing else: a picture of something else gets one of these names all the same."
    yield "- It is as good as that on pictures like those of its data; on others (another camera, drawings) it was not tried."
    height, width, _ = about["shape"]
    yield f"- It sees {height}×{width} pixels; what is smaller than that in a picture is lost."


def _loading(about: dict[str, Any]) -> Iterator[str]:
    height, width, channels = about["shape"]
    mode, grey = ("RGB", "") if channels == 3 else ("L", ", :, :, None")
    yield "In this folder:"
    yield ""
    yield "```python"
    yield "import json"
    yield "import numpy as np"
    yield "from PIL import Image"
    yield f'image = Image.open("picture.jpg").convert("{mode}").resize(({width}, {height}), Image.Resampling.BILINEAR)'
    yield f"picture = np.asarray(image, np.float32)[None{grey}]"
    yield FORMATS[about["format"]].loading
    yield f'print(dict(zip(json.load(open("model.json"))["classes"], {_named(about)})))'
    yield "```"
    yield ""
    yield "`nas predict` does the same with any picture file, and obeys the camera's orientation."


def _named(about: dict[str, Any]) -> str:
    last = about["blueprint"]["nodes"][-2:]
    one = any(node.get("units") == 1 for node in last) and about["format"] in ("keras", "python")
    return "[1 - answers[0][0], answers[0][0]]" if one else "answers[0].tolist()"


def _safe(text: object) -> str:
    """Text from data (class names, paths) that Markdown shall not take for its own."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#+!|" else letter for letter in str(text) if letter.isprintable())
