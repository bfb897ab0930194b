"""What a candidate will score, guessed from those that were scored: a Gaussian process on genes.

Its kernel is a sum: a linear part, for genes that add up, and a smooth one for what they do together (Rasmussen & Williams
2006, chapter 4.2). Shares, length and noise are those of a small grid, weighted by their marginal likelihood (section 5.4.1):
ten scores do not say which is right, so what the likely ones guess is averaged. The guess comes with its uncertainty, so what
is far from all that was tried is not taken for bad.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from nas.space import Gene, Genotype, SearchSpace
from nas.space.genes import Ordered, Range, Value
from nas.space.space import flatten

Kernel: TypeAlias = tuple[float, float, float]
"""Length of the smooth part, share of the linear one, noise."""

Cells: TypeAlias = list[tuple[int, float]]
"""Features that are not 0, by their places."""

CHOOSING = 150  # scores, at most, by which the whole grid is weighed
LENGTHS = (0.3, 0.6, 1.0, 2.0)  # of the smooth part, in roots of the mean squared distance
LINEAR = (0.1, 0.5, 0.9)  # share of the linear part
NOISE = (0.003, 0.03, 0.2, 1.0)  # share of what no gene explains
KERNELS: tuple[Kernel, ...] = tuple(itertools.product(LENGTHS, LINEAR, NOISE))
LIKELY = 4.0  # by how much its log-likelihood may be below the highest for a kernel to be asked
ASKED = 4  # kernels at most
PLACED = 1 / 3  # of the features of single blocks beside the means: there are many, and each alone says little
REACH = 2.0  # a score counts for no less than so many times as far below the median as the best is above it


class Encoder:
    """Genotype → float64 [features]: what a choice is, where on its scale a number is, and for each group the means of its
    blocks beside the blocks themselves, so that a block that has moved is not a stranger."""

    def __init__(self, space: SearchSpace) -> None:
        self.places: dict[str, tuple[int, Gene]] = {}
        self._known: dict[tuple[str, type, Value], tuple[str, Cells, Cells]] = {}
        self.size = 0
        for name, gene in space.genes.items():
            self._add(name, gene)
        for name, group in space.groups.items():
            self._add(f"{name}.repeat", group.repeat)
            for key, gene in group.genes.items():
                for place in range(int(group.repeat.high)):
                    self._add(f"{name}.{place}.{key}", gene)
                self._add(f"{name}.mean.{key}", gene)

    def _add(self, path: str, gene: Gene) -> None:
        if gene.count() != 1:
            self.places[path] = (self.size, gene)
            self.size += _width(gene)

    def code(self, genotype: Genotype) -> np.ndarray:
        found = [0.0] * self.size
        for path, value in flatten(genotype).items():
            key = (path, type(value), value)  # 1, 1.0 and true are three values
            known = self._known.get(key)
            if known is None:
                known = self._known[key] = self._described(path, value)
            group, own, mean = known
            for place, feature in own:
                found[place] += feature
            if mean:
                blocks = len(genotype[group])
                for place, feature in mean:
                    found[place] += feature / blocks
        return np.array(found)

    def _described(self, path: str, value: Value) -> tuple[str, Cells, Cells]:
        """Of one value of one gene: its group, and the features of its own and of the group's mean."""
        group, _, rest = path.partition(".")
        if not rest or rest == "repeat":
            return group, self._cells(path, value), []
        mean = self._cells(f"{group}.mean.{rest.partition('.')[2]}", value)
        return group, [(place, PLACED * feature) for place, feature in self._cells(path, value)], mean

    def _cells(self, path: str, value: Value) -> Cells:
        """Of a gene that cannot change there are none."""
        start, gene = self.places.get(path, (0, None))
        return [] if gene is None else list(enumerate(_features(gene, value), start))


def _width(gene: Gene) -> int:
    return 2 if isinstance(gene, Ordered | Range) else int(gene.count() or 1)


def _features(gene: Gene, value: Value) -> list[float]:
    """Of an active gene: one place of several, or a number from -½ to ½ and that it is there at all."""
    if isinstance(gene, Range):
        low, high, here = (math.log(each) if gene.log else float(each) for each in (gene.low, gene.high, float(value)))
        return [(here - low) / (high - low) - 0.5, 0.5]
    if isinstance(gene, Ordered):
        return [gene.index(value) / (len(gene.values) - 1) - 0.5, 0.5]
    return [math.sqrt(0.5) * (place == gene.index(value)) for place in range(len(gene.values))]


class Sizes:
    """What networks cost as more features of them, on a logarithmic scale: of all that is known of a network before it is
    trained, its size says most (docs/strategies.md)."""

    def __init__(self, costs: np.ndarray) -> None:
        """`costs` [n, kinds] of those that were trained are the measure."""
        logs = np.log(costs)
        spread = logs.std(axis=0)
        self._centre, self._spread = logs.mean(axis=0), np.where(spread > 1e-9, spread, 1.0)  # equal ones differ by rounding

    def beside(self, codes: np.ndarray, costs: np.ndarray) -> np.ndarray:
        """Codes [n, features] with costs [n, kinds] behind them."""
        return np.hstack([codes, (np.log(costs) - self._centre) / self._spread])


def tempered(scores: Sequence[float]) -> np.ndarray:
    """Scores [n] without the depths: how bad the failures are says nothing of the good ones, but would stretch the scale."""
    found = np.asarray(scores, float)
    middle, best = np.median(found), found.max()
    if middle == best:
        return found
    lifted: np.ndarray = np.maximum(found, middle - REACH * (best - middle))
    return lifted


@dataclass(frozen=True)
class _Fit:
    """A kernel fitted to scores."""

    kernel: Kernel
    lower: np.ndarray  # of the kernel's matrix, by Cholesky
    inner: np.ndarray  # scores, divided by it
    power: float  # the amplitude that is most likely
    likely: float  # logarithm of the marginal likelihood, but for a constant


class Surrogate:
    """Fitted to codes [n, features] and scores [n]; guesses those of others. Of `kernels` the likely ones are kept."""

    def __init__(self, codes: np.ndarray, scores: Sequence[float] | np.ndarray, kernels: Sequence[Kernel] = KERNELS) -> None:
        self.codes, self.scores = codes, np.asarray(scores, float)
        self.centre, self.scale = float(self.scores.mean()), float(self.scores.std()) or 1.0
        self.origin = codes.mean(axis=0)
        squared = _squares(codes, codes)
        self.unit = float(squared.mean()) or 1.0
        self.weight = float(((codes - self.origin) ** 2).sum(axis=1).mean()) or 1.0
        linear, squared = self._linear(codes), squared / self.unit
        fits = []
        for length, some in itertools.groupby(kernels, key=lambda kernel: kernel[0]):
            smooth = np.exp(-squared / (2 * length**2))
            fits += [self._fitted(kernel, linear, smooth) for kernel in some]
        fits.sort(key=lambda fit: -fit.likely)
        self._fits = [fit for fit in fits[:ASKED] if fit.likely > fits[0].likely - LIKELY]
        weights = np.exp([fit.likely - fits[0].likely for fit in self._fits])
        self.weights = weights / weights.sum()

    @property
    def kernels(self) -> list[Kernel]:
        """Those that are asked, in the order of the grid."""
        return sorted(fit.kernel for fit in self._fits)

    @property
    def best(self) -> float:
        """The highest of its guesses for what it was fitted to: the best score, less its luck."""
        target = (self.scores - self.centre) / self.scale
        guessed = np.zeros(len(target))
        for weight, fit in zip(self.weights, self._fits, strict=True):  # K a = (K + noise) a - noise a
            guessed += weight * (target - fit.kernel[2] * _solved(fit.lower, fit.inner, transposed=True))
        return self.centre + self.scale * float(guessed.max())

    def believing(self, codes: np.ndarray) -> Surrogate:
        """As if those of other codes [m, features] had been scored as they are guessed: so the next proposal is not made beside
        one that is still being trained (the kriging believer of Ginsbourger et al. 2010, section 4.2)."""
        guessed = self.guess(codes)[0]
        return Surrogate(np.vstack([self.codes, codes]), np.concatenate([self.scores, guessed]), self.kernels)

    def guess(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation [m] of the scores of codes [m, features], without noise."""
        means, spreads = self._guesses(codes)
        mean = self.weights @ means
        return mean, np.sqrt(self.weights @ (spreads**2 + (means - mean) ** 2))

    def improvement(self, codes: np.ndarray) -> np.ndarray:
        """By how much each will be better than the best so far, on average over the kernels too."""
        means, spreads = self._guesses(codes)
        best = self.best
        found: np.ndarray = self.weights @ [
            expected_improvement(mean, spread, best) for mean, spread in zip(means, spreads, strict=True)
        ]
        return found

    def _fitted(self, kernel: Kernel, linear: np.ndarray, smooth: np.ndarray) -> _Fit:
        """With the most noise, where by rounding the matrix is none that can be divided by."""
        length, share, noise = kernel
        target = (self.scores - self.centre) / self.scale
        try:
            lower = np.linalg.cholesky(share * linear + (1 - share) * smooth + noise * np.eye(len(target)))
        except np.linalg.LinAlgError:
            if noise == NOISE[-1]:
                raise
            return self._fitted((length, share, NOISE[-1]), linear, smooth)
        inner = _solved(lower, target)
        power = max(float(inner @ inner) / len(target), 1e-9)  # of equal scores it would be 0
        likely = -0.5 * len(target) * math.log(power) - float(np.log(np.diag(lower)).sum())
        return _Fit(kernel, lower, inner, power, likely)

    def _guesses(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations [kernels, m]."""
        linear, squared = self._linear(codes), _squares(self.codes, codes) / self.unit
        own = ((codes - self.origin) ** 2).sum(axis=1) / self.weight
        smooth = {length: np.exp(-squared / (2 * length**2)) for length in {fit.kernel[0] for fit in self._fits}}
        means, spreads = [], []
        for fit in self._fits:
            length, share, _ = fit.kernel
            half = _solved(fit.lower, share * linear + (1 - share) * smooth[length])
            variance = np.maximum(share * own + (1 - share) - (half**2).sum(axis=0), 1e-9) * fit.power
            means.append(self.centre + self.scale * (half.T @ fit.inner))
            spreads.append(self.scale * np.sqrt(variance))
        return np.array(means), np.array(spreads)

    def _linear(self, codes: np.ndarray) -> np.ndarray:
        found: np.ndarray = (self.codes - self.origin) @ (codes - self.origin).T / self.weight
        return found


def _solved(lower: np.ndarray, right: np.ndarray, transposed: bool = False) -> np.ndarray:
    from scipy.linalg import solve_triangular  # takes half a second to load, and is wanted after ten candidates

    found: np.ndarray = solve_triangular(lower, right, trans="T" if transposed else "N", lower=True, check_finite=False)
    return found


def _squares(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.maximum((one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None, :] - 2 * one @ other.T, 0.0)
    return found


def expected_improvement(mean: np.ndarray, spread: np.ndarray, best: float) -> np.ndarray:
    """By how much each will be better than `best`, on average (Jones et al. 1998, equation 15)."""
    ahead = (mean - best) / spread
    below = np.array([0.5 * math.erfc(-each / math.sqrt(2)) for each in ahead])
    density = np.exp(-0.5 * ahead**2) / math.sqrt(2 * math.pi)
    found: np.ndarray = spread * (ahead * below + density)
    return found
