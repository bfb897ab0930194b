"""Optuna's samplers as a strategy, through one adapter.

For every proposal an in-memory study is filled from the records and a fresh sampler, seeded by (seed, number), is asked: a
sampler that lives on draws other numbers after a restart. What was turned down for this number is told as pruned, so
`tpe` learns to avoid it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.config import Settings
from nas.distributions import parameters, suggest
from nas.errors import ConfigError, to_install, unknown
from nas.messages import Proposal, Record
from nas.space import Gene, SearchSpace, Value
from nas.strategies.base import refusals, register_strategy, seed_for

MOST_NUMBERS = 2**16  # of a quasi-random sequence, before the places of second tries begin

_STATES = {
    "trained": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "infeasible": TrialState.PRUNED,
    "refused": TrialState.PRUNED,
}


def _needs(package: str, extra: str) -> None:
    import importlib.util

    if importlib.util.find_spec(package) is None:
        raise ConfigError(f"needs the package '{package}': {to_install(extra)}", "--sampler")


START_UP, GOOD, MOST_GOOD = 10, 0.1, 25  # as by default in Optuna: independent draws, part of the good ones, and at most


def _gp(seed: int) -> BaseSampler:
    _needs("torch", "gp")
    return optuna.samplers.GPSampler(seed=seed)


class _Qmc(optuna.samplers.QMCSampler):
    """A scrambled quasi-random sequence, which needs one seed throughout and, for each proposal, its own place in it.

    Optuna counts the places in the study; ours is made anew each time, so the place is given.
    """

    def __init__(self, seed: int, run: int, place: int) -> None:
        super().__init__(
            seed=run,
            scramble=True,
            independent_sampler=optuna.samplers.RandomSampler(seed=seed),
            warn_independent_sampling=False,
            warn_asynchronous_seeding=False,
        )
        self._place = place

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, Any]) -> int:
        return self._place


def _tpe(seed: int, useful: int, all_told: int) -> BaseSampler:
    """Multivariate with groups: genes that exist together are modelled together. Only `useful` trials, those with a score, can
    be among the good ones, or end the random beginning: what was refused is known as bad and nothing else."""
    return optuna.samplers.TPESampler(
        seed=seed,
        multivariate=True,
        group=True,
        constant_liar=True,
        n_startup_trials=START_UP + all_told - useful,
        gamma=lambda _: min(math.ceil(GOOD * useful), MOST_GOOD),
    )


SAMPLERS: dict[str, Callable[[int, int, int, int, int], BaseSampler]] = {
    "tpe": lambda seed, run, place, useful, all_told: _tpe(seed, useful, all_told),
    "qmc": lambda seed, run, place, *_: _Qmc(seed, run, place),
    "gp": lambda seed, *_: _gp(seed),
    "random": lambda seed, *_: optuna.samplers.RandomSampler(seed=seed),
}
"""Name → sampler from (seed of this proposal, seed of the run, place in a sequence, records with a score, all records)."""


@register_strategy("optuna")
class OptunaStrategy:
    """`sampler` is `tpe` (default), `qmc`, `random`, or, with the extra `gp` installed, `gp`."""

    def __init__(self, space: SearchSpace, seed: int, settings: Settings) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # it would announce every mirror
        if settings.sampler not in SAMPLERS:
            raise ConfigError(unknown("sampler", settings.sampler, SAMPLERS), "--sampler")
        self.space, self.seed, self.sampler = space, seed, settings.sampler
        self._make(0, ())  # a package that is missing shows now, not after the data is prepared
        self._mirrored: dict[int, tuple[Record, FrozenTrial]] = {}

    def propose(self, records: Sequence[Record], number: int) -> Proposal:
        study = self._mirror(records, number)
        trial = study.ask()

        def pick(path: str, gene: Gene) -> Value:
            if gene.count() == 1:
                return gene.at(0)
            return suggest(trial, path, gene)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of experimental arguments; nothing a user could act on
            genotype = self.space.walk(pick)
        # TPE begins with independent draws; they are called what they are.
        begins = self.sampler == "tpe" and sum(record.value is not None and record.finished for record in records) < START_UP
        return Proposal(genotype, operator="random" if begins else self.sampler)

    def _make(self, number: int, records: Sequence[Record]) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", FutureWarning)  # `gamma` goes with Optuna 6; until then nothing else says it
            tries = refusals(records)
            ended = [record for record in records if record.finished or record.state == "refused"]
            useful = sum(record.value is not None for record in ended)
            place = number + tries * MOST_NUMBERS
            return SAMPLERS[self.sampler](seed_for(self.seed, number, tries), self.seed, place, useful, len(ended))

    def _mirror(self, records: Sequence[Record], number: int) -> optuna.Study:
        study = optuna.create_study(direction="maximize", sampler=self._make(number, records))
        study.add_trials([self._trial(record) for record in records])
        return study

    def _trial(self, record: Record) -> FrozenTrial:
        """A record as a trial; finished and refused ones are kept, since they never change."""
        kept = self._mirrored.get(record.number)
        if kept is not None and kept[0] is record:
            return kept[1]
        found, distributions = parameters(self.space, record.genotype)
        state = _STATES.get(record.state, TrialState.RUNNING)
        # Without a report, a pruned trial ranks behind all that have one: what infeasible and refused deserve.
        reported: dict[int, Any] = {epoch: value for epoch, value in enumerate(record.curve, start=1)}
        trial = create_trial(
            state=state,
            value=record.value if state is TrialState.COMPLETE else None,
            params=found,
            distributions=distributions,
            intermediate_values=reported if record.state != "infeasible" else {},
        )
        if record.finished or record.state == "refused":
            self._mirrored[record.number] = (record, trial)
        return trial
