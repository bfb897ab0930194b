"""The assistant of the genetic algorithm: of many children, which is likely to improve most?

A Gaussian process (`surrogate.py`) on the genes of what was scored, and on the parameters and FLOPs of the networks, guesses
the scores of the children, and the one with the largest expected improvement is taken (Jones et al. 1998). Where candidates
have failed, another one guesses how likely each child is to have a score at all, and improvements are weighed by that (Gardner
et al. 2014, Bayesian optimization with inequality constraints, section 3).
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import operator
import statistics
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from nas.messages import Proposal, Record
from nas.space import SearchSpace
from nas.space.space import canonical_json
from nas.strategies.base import Costs, Network
from nas.strategies.surrogate import CHOOSING, KERNELS, Encoder, Kernel, Sizes, Surrogate, tempered

MOST = 300  # candidates that have ended from which it learns: half of them the best, half the youngest
CHANCE = 0.02  # the least that is thought of a child's chance to have a score
BELIEVED = 100  # candidates in training, the youngest, whose scores it takes for what it guesses
HUGE = 1e100  # no score that one can reckon with: its square is none
STEPS = 1.2  # kernels are weighed anew when there are so many times as many scores


def usable(value: float | None) -> bool:
    """Whether there is a score, and it can be reckoned with: an evaluator may report anything."""
    return value is not None and abs(value) < HUGE


class Assistant:
    """Of one search; what it keeps follows from the records."""

    def __init__(self, space: SearchSpace) -> None:
        self.encoder = Encoder(space)
        self._codes: dict[str, np.ndarray] = {}  # of the records, by their keys
        self._keys: dict[int, tuple[Record, str]] = {}
        self._curves: dict[int, tuple[Record, list[float]]] = {}
        self._weighed: tuple[list[object], list[Kernel]] = ([], [])  # the kernels, and for what they were weighed

    def chosen(
        self, children: Iterable[Proposal], records: Sequence[Record], finished: Sequence[Record], costs: Costs | None
    ) -> Proposal | None:
        """The child that is likely to improve most, of those that are new and within the limits; None if none is. `finished`
        are those of the records that have ended."""
        with _one_thread():
            return self._chosen(children, records, finished, costs)

    def _chosen(
        self, children: Iterable[Proposal], records: Sequence[Record], finished: Sequence[Record], costs: Costs | None
    ) -> Proposal | None:
        pool = {canonical_json(child.genotype): child for child in children}
        networks: list[Network] = []
        if costs is None:
            known = set(map(self._key, records))
            found = [child for key, child in pool.items() if key not in known]
        else:
            pairs = [(child, costs(child.genotype)) for child in pool.values()]
            found, networks = [child for child, one in pairs if one], [one for _, one in pairs if one]
        if not found:
            return None
        told, scores = self.told(finished)
        sizes = Sizes(_sizes(told)) if networks and all(record.parameters and record.flops for record in told) else None
        kernels, learned = self._kernels(finished, sizes is not None), self._described(told, sizes)
        surrogate = Surrogate(learned, tempered(scores), kernels)
        busy = [record for record in records if record.state == "running"][-BELIEVED:]
        if busy:
            surrogate = surrogate.believing(self._described(busy, sizes))
        codes = np.array([self.encoder.code(child.genotype) for child in found])
        if sizes is not None:
            codes = sizes.beside(codes, np.array([(one.parameters, one.flops) for one in networks]))
        digests = {record.digest for record in records} if networks else set()
        gains = surrogate.improvement(codes)
        ended_well = np.array([float(usable(record.value)) for record in told])
        if not ended_well.all():
            gains = gains * np.clip(Surrogate(learned, ended_well, kernels).guess(codes)[0], CHANCE, 1)
        for place in map(int, np.argsort(-gains, kind="stable")):
            if not networks or networks[place].digest() not in digests:  # else it is known with other genes
                return dataclasses.replace(found[place], operator=f"{found[place].operator}, chosen")
        return None

    def told(self, finished: Sequence[Record]) -> tuple[list[Record], list[float]]:
        """Records and scores of what has ended, some of it with a score. One that was stopped scores what it had reached, and
        as much more as those gained from there that were trained to the end; one that failed, of whose score nothing is known,
        what is in the middle."""
        trained = [record for record in finished if record.state == "trained" and record.value is not None][-MOST:]
        gained: dict[int, float] = {}  # epochs → what those that were trained to the end gained from there
        for epochs in {record.epochs for record in finished if record.state == "stopped"}:
            there = [float(one.value or 0) - self._reached(one)[epochs - 1] for one in trained if one.epochs >= epochs > 0]
            there = [each for each in there if usable(each)]
            gained[epochs] = statistics.median(there) if there else 0
        scores: list[float | None] = []
        for record in finished:
            value = record.value if usable(record.value) else None
            scores.append(value + gained[record.epochs] if record.state == "stopped" and value is not None else value)
        middle = statistics.median(score for score in scores if score is not None)
        filled = [middle if score is None else score for score in scores]
        best = heapq.nlargest(MOST // 2, range(len(filled)), key=lambda place: filled[place])
        kept = sorted({*best, *range(max(0, len(filled) - MOST // 2), len(filled))})
        return [finished[place] for place in kept], [filled[place] for place in kept]

    def _kernels(self, finished: Sequence[Record], sized: bool) -> list[Kernel]:
        """Those that are likely, weighed now and then: by the first so many that have ended."""
        count = 2
        while count * STEPS + 1 <= len(finished):
            count = int(count * STEPS + 1)
        first = finished[:count]
        if sum(usable(record.value) for record in first) < 2:
            first = finished
        basis = [*first, sized]
        if len(self._weighed[0]) != len(basis) or not all(map(operator.is_, self._weighed[0], basis)):
            told, scores = self.told(first)
            some = np.linspace(0, len(told) - 1, min(len(told), CHOOSING)).astype(int)
            codes = self._described(told, Sizes(_sizes(told)) if sized else None)
            self._weighed = (basis, Surrogate(codes[some], tempered(scores)[some], KERNELS).kernels)
        return self._weighed[1]

    def _described(self, records: Sequence[Record], sizes: Sizes | None) -> np.ndarray:
        """Features [n, features] of records."""
        codes = np.array([self._code(record) for record in records])
        return codes if sizes is None else sizes.beside(codes, _sizes(records))

    def _code(self, record: Record) -> np.ndarray:
        key = self._key(record)
        if key not in self._codes:
            self._codes[key] = self.encoder.code(record.genotype)
        return self._codes[key]

    def _key(self, record: Record) -> str:
        """The genotype of a record as text; rows are asked about again with every proposal."""
        kept = self._keys.get(record.number)
        if kept is None or kept[0].genotype is not record.genotype:
            kept = self._keys[record.number] = (record, canonical_json(record.genotype))
        return kept[1]

    def _reached(self, record: Record) -> list[float]:
        """The best score of a record after each epoch."""
        kept = self._curves.get(record.number)
        if kept is None or kept[0] is not record:
            kept = self._curves[record.number] = (record, list(itertools.accumulate(record.curve, max)))
        return kept[1]


def _one_thread() -> AbstractContextManager[object]:
    """For small matrices several threads wait for each other most of the time; and their sums would differ with the machine."""
    limited: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limited


@cache
def _controller() -> ThreadpoolController:
    import scipy.linalg  # noqa: F401  a library that is loaded later would not be found

    return ThreadpoolController()


def _sizes(records: Sequence[Record]) -> np.ndarray:
    """Parameters and FLOPs [n, 2] of records."""
    return np.array([(record.parameters or 1, record.flops or 1) for record in records])
