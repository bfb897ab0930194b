"""The report in a real browser: it opens without an error and asks for nothing, its table and tree work, and names of classes
that are HTML do nothing."""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.changes import gene_changes
from nas.errors import RunError
from nas.explain import data_url
from nas.leaderboard import read_csv
from nas.messages import Record
from nas.report.page import Section, picture
from nas.report.reporting import report
from nas.retraining import retrain
from nas.run import Run
from nas.searching import search
from nas.space import read_space
from nas.view import Silent
from tests.helpers import class_folder, nas

pytestmark = pytest.mark.slow
HOSTILE = ("<img src=x onerror='window.pwned=1'>", "<script>window.pwned=1<script>", "&quot;\"'")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole small search with children, retrained, on classes whose names are HTML."""
    folder = tmp_path_factory.mktemp("hostile")
    class_folder(folder / "<b>pictures", dict.fromkeys(HOSTILE, 30))
    few: dict[str, Any] = {"space": "connected", "max_flops": "2M", "epochs": 1, "seed": 2, "pruner": "none", "threads": 1}
    search(
        dataset=folder / "<b>pictures",
        budget=4,
        genetic={"assist": False, "population": 3},
        out=folder / "run",
        view=Silent(),
        **few,
    )
    retrain(folder / "run", Silent(), top=1, seeds=1, epochs=1)
    done = nas("report", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["laptop", "telephone"])
def page(browser: Any, hostile: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The report, opened; whatever went wrong or left the page is in `page.trouble`."""
    width, height = request.param
    opened = browser.new_page(viewport={"width": width, "height": height})
    trouble: list[str] = []
    opened.on("console", lambda message: trouble.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("pageerror", lambda problem: trouble.append(str(problem)))
    opened.on("dialog", lambda dialog: trouble.append(dialog.message))
    opened.on(
        "request", lambda asked: trouble.append(asked.url) if not asked.url.startswith(("file:", "data:", "blob:")) else None
    )
    opened.goto((hostile / "report.html").as_uri())
    opened.wait_for_selector("#plot-family .plotly")
    opened.trouble = trouble
    yield opened
    assert trouble == []
    opened.close()


def test_page_opens_quietly_and_fits(page: Any, hostile: Path) -> None:
    assert (hostile / "report.html").stat().st_size < 6_000_000
    for name in ("progress", "costs", "curves", "family", "confusion"):
        assert page.locator(f"#plot-{name} .main-svg").count() > 0, name
    assert page.locator("#best svg rect").count() > 3
    assert page.locator("#wrong img, #sees img").count() > 3
    wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1], "nothing sticks out on the side"


def test_names_from_data_are_text(page: Any) -> None:
    page.wait_for_timeout(300)
    assert page.evaluate("window.pwned") is None
    words = page.inner_text("#final")
    for name in HOSTILE:
        assert re.sub(r"\s+", " ", name) in re.sub(r"\s+", " ", words)
    assert page.locator("img[src='x']").count() == 0


def test_table_sorts_and_filters(page: Any, hostile: Path) -> None:
    rows = read_csv(hostile / "leaderboard.csv")
    numbers = "#candidates tbody tr td:nth-child(2)"
    assert page.locator(numbers).all_inner_texts() == [str(row["number"]) for row in rows]
    page.click("#candidates th[data-column=parameters]")
    by_size = sorted(rows, key=lambda row: (row["parameters"], row["rank"]))
    assert page.locator(numbers).all_inner_texts() == [str(row["number"]) for row in by_size]
    assert page.get_attribute("#candidates th[data-column=parameters]", "aria-sort") == "ascending"
    page.click("#candidates th[data-column=parameters]")
    assert page.get_attribute("#candidates th[data-column=parameters]", "aria-sort") == "descending"
    page.fill("#words", "random")
    drawn = [row for row in rows if "random" in row["operator"]]
    assert page.locator(numbers).count() == len(drawn) < len(rows)
    assert page.inner_text("#count") == f"{len(drawn)} of {len(rows)}"
    parent = next(str(row["parents"]).split()[0] for row in rows if row["parents"] != "")
    page.fill("#words", f"#{parent}")
    children = [row for row in rows if any(f"#{each}".startswith(f"#{parent}") for each in str(row["parents"]).split())]
    assert page.locator(numbers).count() == len(children) > 0
    page.select_option("#state", "trained")
    page.fill("#words", "no such words")
    assert page.locator(numbers).count() == 0


def test_candidates_are_shown_when_they_are_clicked(page: Any, hostile: Path) -> None:
    rows = read_csv(hostile / "leaderboard.csv")
    child = next(row for row in rows if row["parents"])
    page.click(f"#candidates tr[data-number='{child['number']}']")
    words = page.inner_text("#chosen")
    assert words.startswith(f"#{child['number']}: {child['state']}")
    assert child["operator"] in words
    parent = str(child["parents"]).split()[0]
    genotypes = {str(row["number"]): json.loads(row["genotype"]) for row in rows}
    others = [Record(int(each), genotypes[each], "trained") for each in str(child["parents"]).split()[1:]]
    changes = gene_changes(genotypes[parent], json.loads(child["genotype"]), *others)
    assert f"from #{parent}" in words
    assert changes
    assert changes in words
    page.click(f"#chosen a:text-is('#{parent}')")
    assert page.inner_text("#chosen").startswith(f"#{parent}: ")


def test_nodes_of_the_tree_can_be_clicked(page: Any, hostile: Path) -> None:
    page.locator("#plot-family").scroll_into_view_if_needed()
    number = page.evaluate("document.getElementById('plot-family').data[1].customdata[0]")
    point = page.locator("#plot-family .scatterlayer .trace:nth-child(2) .points path").first.bounding_box()
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    page.wait_for_timeout(200)
    page.mouse.click(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    page.wait_for_function(f"document.getElementById('chosen').innerText.startsWith('#{number}:')")


def unpacked(text: str) -> str:
    """The JSON that the script of a page reads."""
    (found,) = re.findall(r'<script type="text/plain" id="facts">(.*?)</script>', text, re.DOTALL)
    return gzip.decompress(base64.b64decode(found)).decode()


def test_what_is_in_the_page_is_what_the_run_says(hostile: Path) -> None:
    text = (hostile / "report.html").read_text(encoding="utf-8")
    told = json.loads(unpacked(text))
    rows = read_csv(hostile / "leaderboard.csv")
    assert [row["number"] for row in told["candidates"]] == [row["number"] for row in rows]
    edges = [x for x in told["plots"]["family"]["data"][0]["x"] if x is not None]
    assert len(edges) == 2 * sum(len(str(row["parents"]).split()) for row in rows)
    assert "nas search " in text
    assert "--seed=2" in text


def test_report_without_the_data_says_why_it_has_no_pictures(hostile: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(hostile, tmp_path / "run"))
    settings = (moved / "run.yaml").read_text(encoding="utf-8").replace("<b>pictures", "<b>gone")
    (moved / "run.yaml").write_text(settings, encoding="utf-8")
    found = nas("report", moved, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "without pictures: there is no data set and no folder" in found.stdout
    assert 'id="wrong"' not in (moved / "report.html").read_text(encoding="utf-8")


def test_report_of_somebodys_own_evaluator(tmp_path: Path) -> None:
    from nas.searching import search

    space = {"name": "toy", "genes": {"x": {"range": [0.0, 1.0]}, "kind": {"choice": ["<i>a", "b"]}}}
    search(space=space, evaluate=lambda genes, _: genes["x"], budget=15, out=tmp_path / "run", view=Silent())
    text = report(tmp_path / "run", view=Silent()).read_text(encoding="utf-8")
    assert "Scored by the Python function" in text
    assert "<i>a" not in text
    assert 'id="costs"' not in text, "nothing is known of what these cost"
    assert 'id="curves"' not in text
    assert "max_flops" not in text


def test_pages_are_replaced_by_pages_alone(hostile: Path, tmp_path: Path) -> None:
    from nas.errors import InputError

    run = Path(shutil.copytree(hostile, tmp_path / "run"))
    before = (run / "study.db").read_bytes()
    with pytest.raises(InputError, match=r"study\.db: is there already, and nothing that this would make"):
        report(run, run / "study.db", pictures=False, view=Silent())
    assert (run / "study.db").read_bytes() == before
    assert report(run, run / "report.html", pictures=False, view=Silent()) == run / "report.html"


def test_card_of_the_retrained_model_has_the_figures_of_the_test_part(hostile: Path, tmp_path: Path) -> None:
    from nas.export.exporting import export
    from nas.final import read_final

    found = export(hostile, "onnx", final=True, out=tmp_path / "model", view=Silent())
    card, final = (found.folder / "MODEL_CARD.md").read_text(encoding="utf-8"), read_final(Run(hostile))
    assert final is not None
    assert f"On the {final.pictures:,} pictures of the test part" in card
    value, low, high = (float(final.accuracy[name]) for name in ("value", "low", "high"))
    assert f"| accuracy |  | {value:.4f} | {low:.4f} to {high:.4f} |" in card
    assert "- at full length, on all 78 training pictures, for 1 epoch" in card
    assert found.parity.what == "training pictures, which its last fit has seen"
    assert "<script>" not in card


def test_folders_that_are_no_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is no run folder"):
        report(tmp_path, view=Silent())


def test_command_to_do_it_again_means_the_same_search(small_run: Path) -> None:
    """Read as the command line reads it."""
    import typer.main

    from nas.cli import app
    from nas.config import settings
    from nas.report.again import command
    from nas.run import Run

    chosen = settings(None, Run(small_run).read_settings()["settings"], workers=2, tensorboard=True, start_from=("a b", "c"))
    _, verb, *words = command(chosen)
    parsed = typer.main.get_command(app).commands[verb].make_context(verb, list(words)).params  # type: ignore[attr-defined]
    given = {
        name: value
        for name, value in parsed.items()
        if name not in ("out", "config", "debug") and value not in (None, False, [])
    }
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    again = settings(None, **given)
    kept = {"train_pictures", "seen_pictures"}
    assert again.model_dump(exclude=kept) == chosen.model_dump(exclude=kept)


def test_scores_that_are_no_numbers_do_not_break_the_page(tmp_path: Path) -> None:
    from nas.searching import search

    def evaluator(genes: dict[str, float], told: object) -> float:
        told(1, float("nan"))  # type: ignore[operator]
        return genes["x"]

    space = {"name": "toy", "genes": {"x": {"range": [0.0, 1.0]}}}
    search(space=space, evaluate=evaluator, budget=4, out=tmp_path / "run", view=Silent())
    text = report(tmp_path / "run", view=Silent()).read_text(encoding="utf-8")
    json.loads(unpacked(text), parse_constant=pytest.fail)  # of NaN and Infinity


@pytest.mark.parametrize("kept", [0, 40, 300])
def test_damaged_figures_are_told(kept: int, hostile: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(hostile, tmp_path / "run"))
    (moved / "final.csv").write_bytes((moved / "final.csv").read_bytes()[:kept])
    with pytest.raises(RunError, match=r"final\.csv: is damaged"):
        report(moved, pictures=False, view=Silent())


@pytest.mark.parametrize("target", ["", ".", "gone/x.html"])
def test_targets_that_cannot_be_are_told_at_once(target: str, hostile: Path) -> None:
    from nas.errors import InputError

    with pytest.raises(InputError, match=r"^--out"):
        report(hostile, out=target, view=Silent())


def test_page_of_a_large_run_is_small_enough_to_be_sent(hostile: Path) -> None:
    """Of thousands of candidates the best are in it, with the generation that they really have."""
    from nas.report.reporting import MOST, Told, whole

    noise = np.random.default_rng(0)
    tiles = [data_url(Image.fromarray(noise.integers(0, 256, (160, 160, 3), dtype=np.uint8)), 160) for _ in range(20)]
    looks = [Section("wrong", "Most wrong", "", "".join(picture(tile, "noise") for tile in tiles))]
    rng, space, records = random.Random(0), read_space("modern"), []
    for number in range(3_000):
        genotype, score = space.sample(rng), number / 3_000
        parents = (number - 1,) if number else ()
        curve = tuple(score * rng.random() for _ in range(30))
        records.append(Record(number, genotype, "trained", score, parents=parents, curve=curve, digest=f"{number:012d}"))
    facts = Run(hostile).read_settings()
    text = whole(Told(Run(hostile), facts, space, tuple(records), {}, None, None), looks)
    assert len(text.encode()) < 6_000_000
    told = json.loads(unpacked(text))
    assert len(told["candidates"]) == MOST
    tree = told["plots"]["family"]["data"][1]
    assert dict(zip(tree["x"], tree["y"], strict=True)) == {number: number for number in range(3_000 - MOST, 3_000)}
    assert f"only the best {MOST:,} candidates" in text
