"""Known networks: genotypes that somebody has written down, or the best of an earlier run, to be trained first or alone.

A file holds a `genotype` and, beside it, settings as in a configuration; `configs/baselines/` has four. A folder stands for all
such files in it, a run folder for its best candidates.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from nas.errors import ConfigError, NasError, RunError
from nas.paths import expanded
from nas.printing import printable
from nas.result import best_first
from nas.run import Run
from nas.shared import reader_of
from nas.shipped import shipped, shipped_file
from nas.space import Genotype, SearchSpace, read_space
from nas.yamlfile import dumped, read

BEST = 5  # candidates of an earlier run
HEAD = "# Candidate "  # begins a file of one candidate


def known(sources: Iterable[str], space: SearchSpace) -> list[Genotype]:
    """The genotypes of all sources, in order. Raises ConfigError for one that is not there, or is no point of the space."""
    found: list[Genotype] = []
    for source in sources:
        for name, genotype in _of(source):
            try:
                found.append(space.check(genotype, name))
            except NasError as problem:
                raise ConfigError(f"{problem}; so it is not in the space '{space.name}'") from None
    return found


def read_genotype(file: str) -> tuple[Path, Genotype]:
    """The file meant by a shipped name or a path, and its genotype. Raises ConfigError."""
    path = shipped_file("configs", file, "network", ConfigError, "baselines/")
    doc = read(path, ConfigError)
    genotype = doc.data.get("genotype") if isinstance(doc.data, dict) else None
    if not isinstance(genotype, dict):
        raise ConfigError("has no 'genotype', so it describes no network; configs/baselines/ has examples", doc.name)
    return path, genotype


def written(run: Run, number: int) -> str:
    """A candidate of a run as a file that `read_genotype` reads, with the space and the data it belongs to. Raises RunError if
    there is no such candidate."""
    facts = run.read_settings()
    if facts.get("evaluator"):
        raise RunError("has candidates that were scored by a Python function, and are no networks", str(run.folder))
    space = str(facts["settings"]["space"])
    if space not in shipped("search_spaces") and not os.path.isfile(space):
        words = f"its space '{space}' is no file and none that is shipped, so a network of it could not be read again"
        raise RunError(words, str(run.folder))
    if read_space(space).digest != facts["digests"]["space"]:
        words = f"its space is not the '{space}' that is there now, so a network of it could not be read again"
        raise RunError(words, str(run.folder))
    with closing(reader_of(run, facts)) as ledger:
        genotype = dict(ledger.record(number).genotype)
    names = ("space", "dataset", "data_dir", "image_size", "objective", "class_weight", "plugin")
    own = {name: facts["settings"][name] for name in names if facts["settings"].get(name)}
    return f"{HEAD}{number} of the run {printable(run.name)}\n{dumped({**own, 'genotype': genotype})}"


def _of(source: str) -> list[tuple[str, Genotype]]:
    """The genotypes of one source with the words for where they stand."""
    if not source:
        raise ConfigError("a file, a folder of such files or a run is needed", "--start-from")
    place = expanded(source)
    if os.path.isfile(place / "run.yaml"):  # unlike `Path.is_file`, it takes any name, however long
        return _of_run(Run.open(place))
    if os.path.isdir(place):
        files = sorted(place.glob("*.yaml"))
        if not files:
            raise ConfigError(f"'{source}' is a folder without a YAML file, and no run", "--start-from")
        return [(str(file), read_genotype(str(file))[1]) for file in files]
    path, genotype = read_genotype(source)
    return [(str(path), genotype)]


def _of_run(run: Run) -> list[tuple[str, Genotype]]:
    with closing(reader_of(run, run.read_settings())) as ledger:
        best = best_first(ledger.records())[:BEST]
    if not best:
        raise RunError("has no candidate that was trained to the end", str(run.folder))
    return [(f"{run.folder}, #{record.number}", dict(record.genotype)) for record in best]
