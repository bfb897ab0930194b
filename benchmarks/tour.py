"""Runs every command of docs/tour.md, in their order, and makes its pictures and its notebook.

    NAS_DATA_DIR=… python benchmarks/tour.py --folder tour [--pictures]
    python benchmarks/tour.py --notebook

Pictures and photographs are those of `cats_dogs` in NAS_DATA_DIR. With `--pictures` the pictures of the page are made anew (for
which it needs Chromium); `--notebook` writes docs/tour.ipynb from the page, and runs nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "tour.md"
WIDE = 1_000  # pixels of a page's picture
OTHER = (
    "The same is in a notebook:\n[tour.ipynb](tour.ipynb).",
    "The same as a page: [tour.md](tour.md). Start it where `pictures` and `photos` lie, not in `docs`.",
)


def main() -> None:
    """Do what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("tour"), help="where it is run; a new one")
    parser.add_argument("--pictures", action="store_true")
    parser.add_argument("--notebook", action="store_true")
    options = parser.parse_args()
    if options.notebook:
        (DOCS / "tour.ipynb").write_text(notebook(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return
    data = Path(os.environ["NAS_DATA_DIR"]) / "cats_dogs"
    options.folder.mkdir(parents=True)
    (options.folder / "pictures").symlink_to(data.resolve())
    (options.folder / "photos").symlink_to((data / "single_prediction").resolve())
    for command in commands(PAGE.read_text(encoding="utf-8")):
        began = time.monotonic()
        print(f"\n$ {command}", flush=True)
        subprocess.run(f"{sys.executable} -m {command}", shell=True, check=True, cwd=options.folder)
        print(f"({time.monotonic() - began:.0f} s)", flush=True)
    if options.pictures:
        make_pictures(options.folder)


def commands(page: str) -> list[str]:
    """Every line of its `sh` blocks."""
    return [line for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines() if line]


def make_pictures(folder: Path) -> None:
    """What the page shows: parts of the report as a browser draws them, the sheet's first rows, the confusion matrix."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1_200, "height": 900})
        page.goto((folder / "results/pets/report.html").resolve().as_uri())
        page.wait_for_selector("#plot-family .plotly")
        for name, parts in (("report", ("progress", "costs")), ("wrong", ("wrong",))):
            shots = []
            for part in parts:
                page.locator(f"#{part}").screenshot(path=folder / f"{part}.png")
                shots.append(Image.open(folder / f"{part}.png").convert("RGB"))
            below(shots).save(DOCS / "pictures" / f"tour-{name}.png", optimize=True)
        browser.close()
    sheet = Image.open(folder / "seen.png").convert("RGB")
    sheet.crop((0, 0, sheet.width, min(sheet.height, 900))).save(DOCS / "pictures" / "tour-seen.png", optimize=True)
    matrix = Image.open(folder / "results/pets/confusion.png").convert("RGB")
    matrix.thumbnail((480, 480))
    matrix.save(DOCS / "pictures" / "tour-confusion.png", optimize=True)


def below(pictures: list[Image.Image]) -> Image.Image:
    """Pictures below each other, in the width of a page."""
    whole = Image.new("RGB", (max(each.width for each in pictures), sum(each.height for each in pictures)), "white")
    top = 0
    for each in pictures:
        whole.paste(each, (0, top))
        top += each.height
    whole.thumbnail((WIDE, 10_000))
    return whole.quantize(128).convert("P")


def notebook(page: str) -> str:
    """The page as a Jupyter notebook: text and pictures as they are, commands to be run."""
    cells = []
    for place, part in enumerate(re.split(r"```sh\n(.*?)```\n", page, flags=re.DOTALL)):
        text = part.strip()
        if not text:
            continue
        if place % 2:
            lines = "\n".join(f"!{line}" for line in text.splitlines())
            cells.append({"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": lines})
        else:
            text = text.replace(*OTHER)
            cells.append({"cell_type": "markdown", "metadata": {}, "source": text})
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    for place, cell in enumerate(cells):
        cell["id"] = f"cell-{place}"
    whole = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
