"""The page of a report: one HTML file with everything in it. Text from data is escaped; what the script reads is packed."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Any

from nas.printing import finite

MADE = '<meta name="generator" content="nas">'  # stands in every page of nas's


@dataclass(frozen=True)
class Section:
    """A part of the page: its anchor, its title, a sentence on how to read it, and HTML."""

    name: str
    title: str
    about: str
    body: str


@dataclass(frozen=True)
class Tile:
    """A figure at the top of the page."""

    name: str
    value: str
    more: str = ""


def page(
    title: str, about: str, tiles: Sequence[Tile], sections: Sequence[Section], foot: str, data: dict[str, Any], script: str
) -> str:
    """The whole file. `data` is what `page.js` reads, `script` the plotting library."""
    safe = html.escape
    own = {name: _part(name) for name in ("page.html", "page.css", "page.js")}
    return Template(own["page.html"]).substitute(
        title=safe(title),
        about=safe(about),
        tiles="".join(
            f"<div><dt>{safe(tile.name)}</dt><dd>{safe(tile.value)}<small>{safe(tile.more)}</small></dd></div>"
            for tile in tiles
        ),
        links=" ".join(f'<a href="#{section.name}">{safe(section.title)}</a>' for section in sections),
        sections="\n".join(
            f'<section id="{one.name}"><h2>{safe(one.title)}</h2><p>{safe(one.about)}</p>{one.body}</section>'
            for one in sections
        ),
        foot=safe(foot),
        style=own["page.css"],
        facts=packed(data),
        plotly=script.replace("</script", "<\\/script"),
        script=own["page.js"],
    )


def _part(name: str) -> str:
    return resources.files("nas.report").joinpath(name).read_text(encoding="utf-8")


def packed(data: Any) -> str:
    """JSON, compressed to a fifth or less, as base64: `page.js` unpacks it."""
    text = json.dumps(finite(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii")


def plot(name: str, least: int = 320) -> str:
    """Where the script draws the plot of that name."""
    return f'<div class="plot" id="plot-{name}" style="min-height:{least}px"></div>'


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A plain table."""
    titles = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def picture(data: str, words: str) -> str:
    """A picture with a line below it; `data` is its data URL."""
    return f'<figure><img src="{html.escape(data)}" alt=""><figcaption>{html.escape(words)}</figcaption></figure>'
