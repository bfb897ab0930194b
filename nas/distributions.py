"""Genes in Optuna's words: how a genotype becomes parameters with distributions.

Used by the ledger, so that Optuna's own tools can read a study, and by the adapter of its samplers. Choices travel as text
with their index in front: Optuna would take `1`, `1.0` and `true` for one value.
"""

from __future__ import annotations

import json
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from nas.space import Gene, Genotype, Ordered, Range, SearchSpace, Value
from nas.space.space import flatten

COUNTABLE = 1e6  # between 0 and the larger end; of more, Optuna's test whether a number is on a step fails by rounding


def distribution(gene: Gene) -> BaseDistribution:
    """Ordered genes become indices, so that a sampler knows which values are near."""
    if isinstance(gene, Ordered):
        return IntDistribution(0, len(gene.values) - 1)
    if isinstance(gene, Range):
        if gene.integer:
            return IntDistribution(int(gene.low), int(gene.last), log=gene.log, step=int(gene.step or 1))
        return FloatDistribution(gene.low, gene.last, log=gene.log, step=_step(gene))
    return CategoricalDistribution([_label(gene, index) for index in range(len(gene.values))])


def to_parameter(gene: Gene, value: Value) -> Any:
    """A gene's value as Optuna stores it."""
    if isinstance(gene, Range):
        return value
    index = gene.index(value)
    return index if isinstance(gene, Ordered) else _label(gene, index)


def from_parameter(gene: Gene, parameter: Any) -> Value:
    """The inverse of `to_parameter`; a number drawn from a range is rounded to a value of the gene."""
    if isinstance(gene, Range):
        return gene.canonical(parameter)
    index = parameter if isinstance(gene, Ordered) else int(str(parameter).partition(":")[0])
    return gene.at(index)


def suggest(trial: Trial, path: str, gene: Gene) -> Value:
    """Ask a trial's sampler for the value of a gene."""
    if isinstance(gene, Ordered):
        return from_parameter(gene, trial.suggest_int(path, 0, len(gene.values) - 1))
    if not isinstance(gene, Range):
        return from_parameter(gene, trial.suggest_categorical(path, [_label(gene, i) for i in range(len(gene.values))]))
    if gene.integer:
        step = int(gene.step or 1)
        return from_parameter(gene, trial.suggest_int(path, int(gene.low), int(gene.last), step=step, log=gene.log))
    return from_parameter(gene, trial.suggest_float(path, gene.low, gene.last, step=_step(gene), log=gene.log))


def _step(gene: Range) -> float | None:
    """The step of a range of real numbers, if Optuna can have it; else what is drawn is rounded to a step."""
    return gene.step if gene.step and max(abs(gene.low), abs(gene.high)) / gene.step < COUNTABLE else None


def _label(gene: Any, index: int) -> str:
    value = gene.values[index]
    return f"{index}:{value if isinstance(value, str) else json.dumps(value)}"


def parameters(space: SearchSpace, genotype: Genotype) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """All active genes by path, as parameters and their distributions. Genes that cannot change are left out."""
    values = flatten(genotype)
    found: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}

    def note(path: str, gene: Gene) -> Value:
        if gene.count() != 1:
            found[path] = to_parameter(gene, values[path])
            distributions[path] = distribution(gene)
        return values[path]

    space.walk(note)
    return found, distributions
