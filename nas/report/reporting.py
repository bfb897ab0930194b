"""From a run to one page that opens anywhere, offline: what `nas report` does.

It reads what the run left behind and trains nothing; its best network looks at validation pictures, if they are there. The test
part stays closed: what is shown of it stands in `final.csv` and `confusion.csv`.
"""

from __future__ import annotations

import html
import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas import plugins
from nas.config import Settings, settings
from nas.errors import NasError, RunError, first_line
from nas.final import Final, read_final
from nas.leaderboard import rows as ranked
from nas.messages import Candidate, Record
from nas.preparing import interrupts_told
from nas.provenance import SEARCH
from nas.report import facts, plots
from nas.report.drawing import drawing
from nas.report.looks import picture_sections
from nas.report.page import Section, Tile, page, plot, table
from nas.result import at_rest, best_of
from nas.run import Run, disk_told, target_of, write_whole
from nas.shared import reader_of
from nas.space import Genotype, SearchSpace, read_space
from nas.space.space import flatten
from nas.view import Plain, View

REPORT = "report.html"
MOST = 2_000  # candidates in the page, the best ones: it has to stay small enough to be sent by mail


@dataclass(frozen=True)
class Told:
    """A run as it was found: what the sections of the page are made of."""

    run: Run
    facts: dict[str, Any]  # of run.yaml
    space: SearchSpace
    records: tuple[Record, ...]
    spans: dict[int, tuple[float, float | None]]
    best: Candidate | None
    final: Final | None

    @property
    def best_record(self) -> Record | None:
        return self.records[self.best.number] if self.best is not None else None


def report(
    run: str | Path | None,
    out: str | Path | None = None,
    pictures: bool = True,
    data_dir: str | None = None,
    view: View | None = None,
) -> Path:
    """Write the page of a run (the newest in `results/` if None), by default `report.html` in its folder. With `pictures` it
    has some of the validation part, if the data are there.

    Raises RunError if the folder is no run, or has no candidate yet.
    """
    view, opened = view or Plain(), Run.open(run)
    target = target_of(out, "--out") if out is not None else opened.folder / REPORT
    with disk_told(), interrupts_told(view, "interrupted; no report was written"):
        told = read(opened)
        looks = _looks(told, settings(None, told.facts["settings"], data_dir=data_dir), view) if pictures else []
        write_whole(target, whole(told, looks))
    view.note(f"report: {target}")
    return target


def read(run: Run) -> Told:
    """All that a report needs. Raises RunError."""
    found = run.read_settings()
    space = read_space(found["space"])
    with closing(reader_of(run, found)) as ledger:
        records = tuple(ledger.records() if run.driven() else at_rest(ledger.records()))
        if not records:
            raise RunError("has no candidate yet", str(run.folder))
        final = read_final(run)
        retrained = final.winner if final is not None else None
        best = records[retrained] if retrained is not None and retrained < len(records) else best_of(records)
        chosen = ledger.candidate(best.number) if best is not None else None
        return Told(run, found, space, records, ledger.spans(), chosen, final)


def _looks(told: Told, chosen: Settings, view: View) -> list[Section]:
    """The sections with pictures; a note where there can be none."""
    if told.best_record is None or told.facts.get("evaluator"):
        return []
    try:
        plugins.load_of_run(chosen.plugin, told.run.folder)
        return list(picture_sections(told.run, chosen, told.facts.get("data") or {}, told.best_record, view))
    except Exception as problem:  # the page is worth having without them, whatever the data have become
        view.note(f"without pictures: {problem if isinstance(problem, NasError) else first_line(problem)}")
        return []


def whole(told: Told, looks: Sequence[Section]) -> str:
    """The page as text, with the sections `looks` among the others."""
    from plotly.offline import get_plotlyjs

    shares = facts.importance(told.space, told.records)
    best = {row["number"] for row in ranked(told.records)[:MOST]}
    shown = [record for record in told.records if record.number in best]
    drawn = {
        "progress": plots.progress(told.records, told.spans),
        "costs": plots.costs(told.records, best),
        "curves": plots.curves(shown, told.best.number if told.best is not None else None),
        "family": plots.family(shown, facts.generations(told.records)),
    }
    if shares:
        drawn |= {"genes": plots.genes(shares), "where": plots.where(shown, shares)}
    if told.final is not None:
        drawn["confusion"] = plots.confusion(told.final.classes, told.final.confusion)
    sections = [section for section in _sections(told, shares, looks) if section.body]
    own = told.facts["settings"]
    about = f"{own['strategy']} in the space {told.space.name}, begun {told.facts.get('created', '')}"
    versions = ", ".join(f"{name} {version}" for name, version in (told.facts.get("versions") or {}).items())
    title = f"{(told.facts.get('data') or {}).get('name') or told.space.name}: {told.run.folder.resolve().name}"
    data = {"candidates": _rows(told), "plots": drawn, "best": told.best.number if told.best is not None else None}
    return page(title, about, _tiles(told), sections, versions, data, get_plotlyjs())


def _tiles(told: Told) -> list[Tile]:
    states = Counter(record.state for record in told.records)
    best, final = told.best_record, told.final
    tiles = []
    if final is not None:
        row = final.accuracy
        interval = f"{float(row['low']):.4f} to {float(row['high']):.4f}, {final.pictures:,} pictures"
        tiles.append(Tile("test accuracy, looked at once", f"{float(row['value']):.4f}", interval))
    if best is not None:
        held = told.facts["settings"].get("validation_part") != 0 or told.facts.get("evaluator")
        top = best_of(told.records)
        other = f"; #{top.number} had {top.value:.4f}" if top is not None and top.number != best.number else ""
        score = f"{best.value:.4f}" if best.value is not None else "–"
        name = "its score in the search" if final is not None and final.winner is not None else "best score"
        tiles.append(Tile(name if held else "its score in training", score, f"#{best.number}, {best.operator}{other}"))
        if best.parameters is not None:
            tiles.append(Tile("its parameters", f"{best.parameters:,}", f"{(best.flops or 0) / 1e6:,.1f} MFLOPs a picture"))
    words = ", ".join(f"{count} {state}" for state, count in states.most_common())
    tiles.append(Tile("candidates", f"{len(told.records):,}", words))
    tiles.append(
        Tile("seconds of training", f"{sum(record.seconds for record in told.records):,.0f}", "of all workers together")
    )
    return tiles


def _sections(told: Told, shares: Sequence[tuple[str, float]], looks: Sequence[Section]) -> Iterator[Section]:
    yield Section(
        "best", "The best network", "Its layers, the size of what each gives, and what it was trained with.", _best(told)
    )
    count = len(facts.drawn(told.records))
    dotted = (
        f"The dotted line is what as many random draws would be expected to reach, by the {count} that are among them."
        if count
        else "There are too few independent random draws among them to say what such would reach."
    )
    yield Section(
        "progress",
        "Progress",
        f"Each point is a candidate. {dotted}",
        plot("progress"),
    )
    yield Section(
        "costs", "What accuracy costs", "Trained candidates. On the line are those that nothing beats in both.", plot("costs")
    )
    yield Section("curves", "Learning curves", "The best one is thick, those that were stopped are dotted.", plot("curves"))
    if shares:
        words = "What a random forest on the genes loses without each: a hint, no proof, and with few candidates a weak one."
        yield Section("genes", "Genes", words, plot("genes", 200) + plot("where"))
    words = "Each line leads from a parent to its child; the colour is the score. Click a candidate to see it."
    if len(told.records) > MOST:
        words += f" Of this plot, the curves and the values of the genes only the best {MOST:,} candidates are in the page."
    family = plot("family") + '<div id="chosen" aria-live="polite"></div>'
    yield Section("family", "Family tree", words, family)
    if told.final is not None:
        words = "Pictures that it was not chosen by, looked at once."
        yield Section("final", "On the test part", words, _figures(told.final))
    yield from looks
    yield Section("all", "All candidates", "Click a title to sort, a row to see it above.", _table(told))
    reasons = Counter(record.reason for record in told.records if record.state == "infeasible")
    body = table(("reason", "candidates"), reasons.most_common()) if reasons else ""
    yield Section(
        "infeasible", "What could not be trained", "They count in the budget, and the strategy learns from them.", body
    )
    yield Section("again", "To do it again", "The command, with the settings as they were resolved.", _again(told))


def _best(told: Told) -> str:
    if told.best is None:
        return "<p>No candidate was trained to the end.</p>"
    genes = table(("gene", "value"), _free(told.space, told.best.genotype))
    if told.best.blueprint is None:
        return genes
    return f'<div class="two"><div class="wide">{drawing(told.best.blueprint)}</div>{genes}</div>'


def _free(space: SearchSpace, genotype: Genotype) -> list[tuple[str, str]]:
    """Path and value of the genes that the space leaves open."""
    groups = {f"{name}.{key}": gene for name, group in space.groups.items() for key, gene in group.genes.items()}
    fixed = {name for name, gene in {**space.genes, **groups}.items() if gene.count() == 1}
    return [(path, _short(value)) for path, value in flatten(genotype).items() if facts.gene_of(path) not in fixed]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _figures(final: Final) -> str:
    shown = []
    for (name, of), row in final.rows.items():
        interval = f"{float(row['low']):.4f} to {float(row['high']):.4f}" if row["low"] else ""
        value = row["value"] if row["value"].isdecimal() or not _is_number(row["value"]) else f"{float(row['value']):.4f}"
        shown.append((name.replace("_", " "), of, value, interval))
    return f'<div class="two">{table(("figure", "class", "value", "95% interval"), shown)}{plot("confusion")}</div>'


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


def _table(told: Told) -> str:
    states = sorted({record.state for record in told.records})
    options = "".join(f'<option value="{html.escape(state)}">{html.escape(state)}</option>' for state in states)
    left = len(told.records) - MOST
    more = f"<p>The best {MOST:,} of {len(told.records):,}; leaderboard.csv has all.</p>" if left > 0 else ""
    return (
        '<div class="tools"><label>with the words <input id="words" type="search"></label>'
        f'<label>state <select id="state"><option value="">all</option>{options}</select></label><span id="count"></span></div>'
        f'{more}<div class="wide"><table id="candidates"><thead><tr></tr></thead><tbody></tbody></table></div>'
    )


def _rows(told: Told) -> list[dict[str, Any]]:
    """The candidates for the page's script."""
    found = []
    for row in ranked(told.records)[:MOST]:
        record = told.records[row["number"]]
        genes = ", ".join(f"{path} {value}" for path, value in _free(told.space, record.genotype))
        shared = {name: row[name] for name in ("rank", "number", "state", "reason", "epochs", "operator", "architecture")}
        costs = {"parameters": record.parameters, "flops": record.flops, "seconds": round(record.seconds, 1)}
        score = round(record.value, 5) if record.value is not None else None
        found.append({**shared, **costs, "score": score, "parents": list(record.parents), "genes": genes})
    return found


def _again(told: Told) -> str:
    """How to begin the same search."""
    kind = told.facts.get("kind", SEARCH)
    if kind != SEARCH:
        return f"<p>This is a {html.escape(kind)}, not a search: what was trained, and how, stands in run.yaml.</p>"
    if told.facts.get("evaluator"):
        words = f"scored by the Python function {told.facts['evaluator']!r}: call nas.search with it and these settings"
        return f"<p>{html.escape(words)}</p><pre>{html.escape(json.dumps(told.facts['settings'], indent=1))}</pre>"
    chosen, usual = settings(None, told.facts["settings"]), Settings()
    note = "The seed is the same; "
    if chosen.time is not None:
        note += "but how many candidates there are depends on the time."
    elif chosen.at_once > 1:
        note += "but with several workers, who is done first decides what is proposed next."
    else:
        note += "with one worker, on one machine, so is every result."
    extra = ""
    if chosen.genetic != usual.genetic:
        extra = f"<p>and in a file for --config: genetic: {html.escape(json.dumps(chosen.genetic.model_dump(mode='json')))}</p>"
    return f"<pre>{html.escape(shlex.join(command(chosen)))}</pre>{extra}<p>{note}</p>"


def command(chosen: Settings) -> list[str]:
    """The words that begin a search with these settings, which are resolved; but for what a file alone can say."""
    usual, found = Settings().model_dump(mode="json"), ["nas", "search"]
    for name, value in chosen.model_dump(mode="json").items():
        option = f"--{name.replace('_', '-')}"
        if name in ("genetic", "train_pictures", "seen_pictures") or value == usual[name]:
            continue  # the latter two have become `train_part` and `epochs`
        if value is True:
            found.append(option)
        elif isinstance(value, list):
            found += [f"{option}={each}" for each in value]
        else:
            found.append(f"{option}={'none' if value is None else value}")
    return found
