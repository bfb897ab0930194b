"""The plots of a report, by plotly: each function answers a figure as plain data, which the page draws.

Points that are candidates carry their numbers (`customdata`); the page labels them from its one table, so that no text stands
twice. Text from data is escaped here, since plotly reads a little HTML in labels.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from nas.errors import as_score
from nas.messages import Record
from nas.report import facts

INK, GREY, PALE, ACCENT, WARM = "#1f2933", "#9aa5b1", "#cbd2d9", "#0b69a3", "#de911d"
COSTS = {"parameters": "parameters", "flops": "FLOPs of a picture", "seconds": "seconds of training"}
SCORE = {"title": {"text": "score (validation)"}}
OF_TRAINING = {"title": {"text": "score (in training)"}}
SHOWN_GENES, COLUMNS = 6, 3
DISTINCT = 8  # values of a number, above which they are not shown one beside the other

Numbers = Sequence[float | None]
Drawing = dict[str, Any]
"""A figure for plotly.js: `data` and `layout`."""


def figure(traces: Sequence[Any], **layout: Any) -> Drawing:
    """A figure in the report's style."""
    import plotly.graph_objects as go

    style = {
        "template": "none",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
        "margin": {"l": 60, "r": 20, "t": 30, "b": 50},
        "legend": {"orientation": "h", "y": 1.12, "x": 0},
        "hoverlabel": {"align": "left"},
        "hovermode": "closest",
    }
    return dict(go.Figure(list(traces), {**style, **layout}).to_plotly_json())


def of_training(drawing: Drawing) -> Drawing:
    """The same, where the scores are of training pictures, since none were held out."""
    axes = {name: {**axis, **OF_TRAINING} for name, axis in drawing["layout"].items() if _is_score(axis)}
    return {**drawing, "layout": {**drawing["layout"], **axes}}


def _is_score(axis: object) -> bool:
    return isinstance(axis, dict) and axis.get("title") == SCORE["title"]


def dots(records: Sequence[Record], x: Numbers, y: Numbers, marker: Drawing | None = None, **more: Any) -> Any:
    """Candidates as points that the page labels, and that can be clicked."""
    import plotly.graph_objects as go

    look = {"color": GREY, "size": 8, **(marker or {})}
    numbers = [record.number for record in records]
    shared: Drawing = {"mode": "markers", "hoverinfo": "text", "showlegend": False, **more}
    return go.Scatter(x=list(x), y=list(y), customdata=numbers, marker=look, **shared)


def line(x: Numbers, y: Numbers, look: Drawing, **more: Any) -> Any:
    """A line without labels."""
    import plotly.graph_objects as go

    return go.Scatter(x=list(x), y=list(y), line=look, **{"mode": "lines", "hoverinfo": "skip", "showlegend": False, **more})


def values(records: Sequence[Record]) -> list[float]:
    """The scores of candidates that have one."""
    return [round(float(record.value or 0), 5) for record in records]


def progress(records: Sequence[Record], spans: dict[int, tuple[float, float | None]]) -> Drawing:
    """Scores over candidates, the best so far, what random draws would have reached; and the same over the time."""
    known, ended = facts.scored(records), facts.moments(spans)
    expected = facts.expected_best(values(facts.drawn(records)), len(records))
    timed = sorted((record for record in known if record.number in ended), key=lambda record: ended[record.number])
    minutes = [ended[record.number] / 60 for record in timed]
    step: Drawing = {"color": ACCENT, "shape": "hv"}
    right: Drawing = {"xaxis": "x2", "yaxis": "y2"}
    dotted: Drawing = {"color": WARM, "dash": "dot"}
    return figure(
        [
            dots(known, [record.number + 1 for record in known], values(known), name="candidate", showlegend=True),
            line(
                [record.number + 1 for record in known],
                facts.best_so_far(values(known)),
                step,
                name="best so far",
                showlegend=True,
            ),
            line(range(1, len(expected) + 1), expected, dotted, name="of random draws", showlegend=True),
            dots(timed, minutes, values(timed), **right),
            line(minutes, facts.best_so_far(values(timed)), step, **right),
            line(minutes[: len(expected)], expected[: len(minutes)], dotted, **right),
        ],
        xaxis={"domain": [0, 0.47], "title": {"text": "candidates, by number"}},
        yaxis=SCORE,
        xaxis2={"domain": [0.55, 1], "title": {"text": "minutes, pauses left out"}, "anchor": "y2"},
        yaxis2={"anchor": "x2", "matches": "y"},
    )


def costs(records: Sequence[Record], numbers: set[int]) -> Drawing:
    """Score against parameters, FLOPs and seconds, each with its front; of the others those with these `numbers`."""
    known = [record for record in facts.scored(records) if record.parameters is not None and record.state == "trained"]
    traces: list[Any] = []
    layout: Drawing = {}
    y = values(known)
    for place, (name, words) in enumerate(COSTS.items()):
        x = [float(getattr(record, name) or 0) for record in known]
        best = facts.front(x, y)
        axis, width = str(place + 1) if place else "", 0.88 / len(COSTS)
        here: Drawing = {"xaxis": f"x{axis}", "yaxis": f"y{axis}"}
        step: Drawing = {"color": ACCENT, "shape": "hv"}
        front = [x[each] for each in best], [y[each] for each in best]
        named = line(*front, step, name="nothing is both better and cheaper", showlegend=not place, **here)
        drawn = [each for each, record in enumerate(known) if record.number in numbers]
        shown = [known[each] for each in drawn], [x[each] for each in drawn], [y[each] for each in drawn]
        traces += [named, dots(*shown, **here)]
        start = place * (width + 0.06)
        ticks = {"nticks": 5, "tickformat": ".3~s"}
        layout[f"xaxis{axis}"] = {"domain": [start, start + width], "title": {"text": words}, "anchor": f"y{axis}", **ticks}
        layout[f"yaxis{axis}"] = {"anchor": f"x{axis}", **({"matches": "y"} if place else SCORE)}
    return figure(traces, **layout)


def curves(records: Sequence[Record], best: int | None) -> Drawing:
    """The score after each epoch; stopped ones are dotted, the best one stands out."""
    traces = []
    for record in sorted(records, key=lambda each: (each.number == best, each.number)):
        if record.curve:
            chosen, dash = record.number == best, "solid" if record.state == "trained" else "dot"
            look: Drawing = {"color": ACCENT if chosen else GREY, "width": 3 if chosen else 1, "dash": dash}
            shared: Drawing = {"mode": "lines+markers", "line": look, "opacity": 1 if chosen else 0.6}
            marker = {"color": look["color"], "size": 6 if chosen or len(record.curve) == 1 else 2}
            curve = [round(value, 5) for value in record.curve]
            traces.append(dots([record] * len(curve), range(1, len(curve) + 1), curve, marker, **shared))
    longest = max((len(record.curve) for record in records), default=0)
    axis = {"title": {"text": "epoch"}, **({"dtick": 1} if longest <= 20 else {})}
    return figure(traces, xaxis=axis, yaxis=SCORE)


def genes(shares: Sequence[tuple[str, float]]) -> Drawing:
    """How much each gene decides."""
    import plotly.graph_objects as go

    shown = [item for item in shares if item[1] > 0.005][:12][::-1]
    names = [html.escape(name) for name, _ in shown]
    bar = go.Bar(x=[share for _, share in shown], y=names, orientation="h", marker={"color": ACCENT}, hoverinfo="x+y")
    axis = {"title": {"text": "share"}, "tickformat": ".0%"}
    return figure([bar], xaxis=axis, margin={"l": 150, "r": 20, "t": 40, "b": 50}, height=max(220, 26 * len(shown) + 80))


def where(records: Sequence[Record], shares: Sequence[tuple[str, float]], logarithmic: set[str]) -> Drawing:
    """Where in the space the good ones lie: for the genes that decide most, each value with its scores."""
    import plotly.graph_objects as go

    traces: list[Any] = []
    layout: Drawing = {}
    names = [name for name, _ in shares[:SHOWN_GENES]]
    rows = max(1, -(-len(names) // COLUMNS))
    for place, name in enumerate(names):
        found, axis = facts.values_of(name, records), str(place + 1) if place else ""
        plain = [value for value, _ in found if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(plain) == len(found):
            found.sort(key=lambda item: float(str(item[0])))
        continuous = len(plain) == len(found) and len(set(plain)) > DISTINCT
        x = [value if continuous else html.escape(str(value)) for value, _ in found]
        look = {"color": ACCENT, "opacity": 0.45, "size": 7}
        y = [round(value, 5) for _, value in found]
        traces.append(go.Scatter(x=x, y=y, mode="markers", marker=look, hoverinfo="x+y", xaxis=f"x{axis}", yaxis=f"y{axis}"))
        left, top = (place % COLUMNS) / COLUMNS, 1 - (place // COLUMNS) / rows
        kind = {"type": "log" if name in logarithmic else "linear"} if continuous else {"type": "category"}
        span = [left + 0.02, left + 1 / COLUMNS - 0.03]
        layout[f"xaxis{axis}"] = {"domain": span, "anchor": f"y{axis}", "title": {"text": html.escape(name)}, **kind}
        span = [top - 1 / rows + (0.14 if rows > 1 else 0), top]
        layout[f"yaxis{axis}"] = {"domain": span, "anchor": f"x{axis}", **({"matches": "y"} if place else {})}
    return figure(traces, **layout, height=300 * rows, showlegend=False)


def family(records: Sequence[Record], rank: dict[int, int]) -> Drawing:
    """Who came from whom: candidates by number and generation (`rank`), coloured by score, with a line to each parent that is
    drawn as well."""
    drawn = {record.number for record in records}
    x: list[float | None] = []
    y: list[float | None] = []
    for record in records:
        for parent in record.parents:
            if parent in drawn:
                x += [parent, record.number, None]
                y += [rank[parent], rank[record.number], None]
    known = facts.scored(records)
    scored = {record.number for record in known}
    failed = [record for record in records if record.number not in scored]
    scores = sorted(values(known)) or [0.0]
    symbols = ["circle" if record.state == "trained" else "circle-open" for record in known]
    look: Drawing = {
        "color": values(known),
        "cmin": scores[len(scores) // 10],  # so that a few failures do not take all the colours
        "cmax": scores[-1],
        "colorscale": "Viridis",
        "size": 12,
        "showscale": True,
        "symbol": symbols,
    }
    cut = f"<br>darkest: {as_score(look['cmin'])}<br>and less" if look["cmin"] > scores[0] else ""
    look |= {"line": {"color": "white", "width": 1}, "colorbar": {"title": {"text": f"score{cut}"}}}
    return figure(
        [
            line(x, y, {"color": PALE, "width": 1}),
            dots(known, [record.number for record in known], [rank[record.number] for record in known], look),
            dots(
                failed, [each.number for each in failed], [rank[each.number] for each in failed], {"symbol": "x", "color": WARM}
            ),
        ],
        xaxis={"title": {"text": "candidate"}},
        yaxis={"title": {"text": "generation"}, "dtick": 1},
        height=420,
    )


def confusion(classes: Sequence[str], table: Sequence[Sequence[int]]) -> Drawing:
    """What was taken for what: rows are classes, columns answers, colours parts of the row."""
    import plotly.graph_objects as go

    names = [html.escape(name) for name in classes]
    parts = [[cell / max(1, sum(row)) for cell in row] for row in table]
    told = {"text": [list(row) for row in table], "texttemplate": "%{text}"} if len(classes) <= 25 else {}
    words = "%{y} taken for %{x}: %{z:.1%}<extra></extra>"
    heat = go.Heatmap(
        z=parts, x=names, y=names, colorscale="Blues", zmin=0, zmax=1, hovertemplate=words, showscale=False, **told
    )
    axis = {"title": {"text": "class"}, "type": "category", "autorange": "reversed"}
    answered = {"title": {"text": "answered"}, "type": "category"}
    side = min(900, 180 + 42 * len(classes))
    return figure([heat], yaxis=axis, xaxis=answered, height=side, margin={"l": 110, "r": 20, "t": 20, "b": 80})
