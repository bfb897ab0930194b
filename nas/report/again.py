"""How a search is done again: the command, with its settings as they were resolved."""

from __future__ import annotations

import html
import json
import shlex
from typing import Any

from nas.config import Settings, settings
from nas.final import Final
from nas.provenance import SEARCH


def again(about: dict[str, Any], final: Final | None) -> str:
    """How to begin the same search, as HTML. `about` are the facts of `run.yaml`."""
    kind = about.get("kind", SEARCH)
    if kind != SEARCH:
        return f"<p>This is a {html.escape(kind)}, not a search: what was trained, and how, stands in run.yaml.</p>"
    if about.get("evaluator"):
        words = f"Scored by the Python function {about['evaluator']!r}: call nas.search with it, its space and these settings."
        own = {name: about["settings"].get(name) for name in ("strategy", "sampler", "budget", "time", "seed", "genetic")}
        return f"<p>{html.escape(words)}</p><pre>{html.escape(json.dumps(own, indent=1))}</pre>"
    chosen, usual = settings(None, about["settings"]), Settings()
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
    after = ""
    if final is not None and final.winner is not None and not chosen.retrain:
        words = "Then the best at full length, by 'nas retrain' with this folder; what was asked for stands in retrain.yaml."
        after = f"<p>{html.escape(words)}</p>"
    return f"<pre>{html.escape(shlex.join(command(chosen)))}</pre>{extra}<p>{note}</p>{after}"


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
