"""From a run to one page that opens anywhere, offline: what `nas report` does.

It reads what the run left behind and trains nothing; its best network looks at validation pictures, if they are there. The test
part stays closed: what is shown of it stands in `final.csv` and `confusion.csv`.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas import plugins
from nas.changes import gene_changes
from nas.config import Settings, settings
from nas.errors import NasError, RunError, first_line
from nas.final import ABOUT, Final, read_final
from nas.leaderboard import rows as ranked
from nas.messages import Candidate, Record
from nas.paths import target_of
from nas.preparing import interrupts_told
from nas.provenance import TRAINING, alone
from nas.report import facts, plots
from nas.report.again import again
from nas.report.drawing import drawing
from nas.report.looks import picture_sections
from nas.report.page import MADE, Section, Tile, page, plot, table
from nas.result import at_rest, best_of
from nas.run import Run, disk_told, write_whole
from nas.shared import reader_of
from nas.space import Genotype, SearchSpace, read_space
from nas.space.space import flatten
from nas.view import Plain, View

REPORT = "report.html"
MOST = 2_000  # candidates in the page, the best ones: it has to stay small enough to be sent by mail
POINTS = 40_000  # of all learning curves together: of the best candidates so many are in the page


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

    @property
    def held_out(self) -> bool:
        """Whether scores are of what was not learned from."""
        return bool(self.facts.get("evaluator")) or self.facts["settings"].get("validation_part") != 0


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
    target = target_of(out, "--out", MADE) if out is not None else opened.folder / REPORT
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
        records = tuple(alone(each, found) for each in (ledger.records() if run.driven() else at_rest(ledger.records())))
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
        "curves": plots.curves(_few(shown), told.best.number if told.best is not None else None),
        "family": plots.family(shown, facts.generations(told.records)),
    }
    if shares:
        drawn |= {"genes": plots.genes(shares), "where": plots.where(shown, shares, facts.logarithmic(told.space))}
    if not told.held_out:
        drawn = {name: plots.of_training(drawing) for name, drawing in drawn.items()}
    if told.final is not None:
        drawn["confusion"] = plots.confusion(told.final.classes, told.final.confusion)
    sections = [section for section in _sections(told, shares, looks) if section.body]
    own = told.facts["settings"]
    what = "a training of one network" if told.facts.get("kind") == TRAINING else own["strategy"]
    about = f"{what} in the space {told.space.name}, begun {told.facts.get('created', '')}"
    versions = ", ".join(f"{name} {version}" for name, version in (told.facts.get("versions") or {}).items())
    title = f"{(told.facts.get('data') or {}).get('name') or told.space.name}: {told.run.folder.resolve().name}"
    data = {"candidates": _rows(told), "plots": drawn, "best": told.best.number if told.best is not None else None}
    return page(title, about, _tiles(told), sections, versions, data, get_plotlyjs())


def _few(records: Sequence[Record]) -> list[Record]:
    """So many of the best that their curves have no more than `POINTS` points."""
    ranked_, left, found = sorted(records, key=lambda record: -(record.value or 0.0)), POINTS, []
    for record in ranked_:
        left -= len(record.curve)
        if left >= 0:
            found.append(record)
    return found


def _tiles(told: Told) -> list[Tile]:
    states = Counter(record.state for record in told.records)
    best, final = told.best_record, told.final
    tiles = []
    if final is not None:
        row = final.accuracy
        interval = f"{float(row['low']):.4f} to {float(row['high']):.4f}, {final.pictures:,} pictures"
        tiles.append(Tile("test accuracy", f"{float(row['value']):.4f}", interval))
    if best is not None:
        top = best_of(told.records)
        other = f"; #{top.number} had {top.value:.4f}" if top is not None and top.number != best.number else ""
        score = f"{best.value:.4f}" if best.value is not None else "–"
        name = "its score in the search" if final is not None and final.winner is not None else "best score"
        tiles.append(Tile(name if told.held_out else "its score in training", score, f"#{best.number}, {best.operator}{other}"))
        if best.parameters is not None:
            tiles.append(Tile("its parameters", f"{best.parameters:,}", f"{(best.flops or 0) / 1e6:,.1f} MFLOPs a picture"))
    words = ", ".join(f"{count} {state}" for state, count in states.most_common())
    tiles.append(Tile("candidates", f"{len(told.records):,}", words))
    tiles.append(
        Tile("seconds of training", f"{sum(record.seconds for record in told.records):,.0f}", "of all workers in the search")
    )
    return tiles


def _sections(told: Told, shares: Sequence[tuple[str, float]], looks: Sequence[Section]) -> Iterator[Section]:
    networks = any(record.parameters is not None for record in told.records)
    words = "Its layers, the size of what each gives, its genes, and the recipe that it was trained by."
    yield Section(
        "best", "The best network" if networks else "The best candidate", words if networks else "Its genes.", _best(told)
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
    if networks:
        words = "Trained candidates. On the line are those that nothing beats in both."
        yield Section("costs", "What accuracy costs", words, plot("costs"))
    if any(record.curve for record in told.records):
        words = "The best one is thick, those that were stopped are dotted."
        yield Section("curves", "Learning curves", words, plot("curves"))
    if shares:
        words = "What a random forest on the genes loses without each: a hint, no proof, and with few candidates a weak one."
        yield Section("genes", "Genes", words, plot("genes", 200) + plot("where"))
    words = "Each line leads from a parent to its child; the colour is the score. Click a candidate to see it."
    if not any(record.parents for record in told.records):
        words = "None of these candidates has parents: all were drawn, or given. Click one to see it."
    if len(told.records) > MOST:
        words += f" Of this plot, the curves and the values of the genes only the best {MOST:,} candidates are in the page."
    family = plot("family") + '<div id="chosen" aria-live="polite"></div>'
    yield Section("family", "Family tree", words, family)
    if told.final is not None:
        words = "Pictures by which neither this network nor any other was chosen."
        yield Section("final", "On the test part", words, _figures(told.final))
    yield from looks
    yield Section("all", "All candidates", "Click a title to sort, a row to see it above.", _table(told))
    reasons = Counter(record.reason for record in told.records if record.state == "infeasible")
    body = table(("reason", "candidates"), reasons.most_common()) if reasons else ""
    yield Section(
        "infeasible", "What could not be trained", "They count in the budget, and the strategy learns from them.", body
    )
    words = "With the settings as they were resolved."
    yield Section("again", "To do it again", words, again(told.facts, told.final))


def _best(told: Told) -> str:
    if told.best is None:
        return "<p>No candidate was trained to the end.</p>"
    genes = table(("gene", "value"), _free(told.space, told.best.genotype))
    if told.best.blueprint is None or told.best.recipe is None:
        return genes
    made, idle = told.best.recipe.to_dict(), told.best.recipe.idle()
    used = {name: value for name, value in made.items() if value not in (0, "none", False) and name not in idle}
    genes += table(("recipe", "value"), [(name.replace("_", " "), _short(value)) for name, value in used.items()])
    return f'<div class="two"><div class="wide">{drawing(told.best.blueprint)}</div><div>{genes}</div></div>'


def _free(space: SearchSpace, genotype: Genotype) -> list[tuple[str, str]]:
    """Path and value of the genes that the space leaves open."""
    groups = {f"{name}.{key}": gene for name, group in space.groups.items() for key, gene in group.genes.items()}
    fixed = {name for name, gene in {**space.genes, **groups}.items() if gene.count() == 1}
    return [(path, _short(value)) for path, value in flatten(genotype).items() if facts.gene_of(path) not in fixed]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _figures(final: Final) -> str:
    shown, facts_of_it = [], []
    for (name, of), row in final.rows.items():
        value, title = row["value"], name.replace("_", " ")
        if name in ABOUT:
            if value != "":
                facts_of_it.append((ABOUT[name], _number(value)))
            continue
        interval = f"{float(row['low']):.4f} to {float(row['high']):.4f}" if row["low"] else ""
        shown.append((title, of, _number(value), interval))
    tables = table(("figure", "class", "value", "95% interval"), shown) + table(("of the training", ""), facts_of_it)
    return f'<div class="two"><div class="wide">{tables}</div>{plot("confusion")}</div>'


def _number(text: str) -> str:
    """A number of a CSV for a reader; any other text as it is."""
    if text.isdecimal():
        return f"{int(text):,}"
    return f"{float(text):.4f}" if text.replace(".", "", 1).isdecimal() else text


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
        parents = [told.records[parent] for parent in record.parents]
        changed = gene_changes(parents[0].genotype, record.genotype, *parents[1:2]) if parents else ""
        found.append({**shared, **costs, "score": score, "parents": record.parents, "changed": changed, "genes": genes})
    return found
