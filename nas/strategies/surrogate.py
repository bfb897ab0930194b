"""What a candidate will score, guessed from those that were scored: a Gaussian process on genes.

Its kernel is a sum: a linear part, for genes that add up, and a smooth one for what they do together (Rasmussen & Williams
2006, chapter 4.2); their shares, the length and the noise are those of a small grid with the highest marginal likelihood
(section 5.4.1). The guess comes with its uncertainty, so what is far from all that was tried is not taken for bad.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from nas.space import Gene, Genotype, SearchSpace
from nas.space.genes import Ordered, Range, Value
from nas.space.space import flatten

MOST = 400  # scored candidates that it learns from: half of them the best, half the youngest
CHOOSING = 150  # of them, at most, by which the kernel is chosen
LENGTHS = (0.3, 0.6, 1.0, 2.0)  # of the smooth part, in mean distances
LINEAR = (0.1, 0.5, 0.9)  # share of the linear part
NOISE = (0.003, 0.03, 0.2, 1.0)  # share of what no gene explains
KERNELS = tuple(itertools.product(LENGTHS, LINEAR, NOISE))


class Encoder:
    """Genotype → float64 [features]: what a choice is, where on its scale a number is, and for each group the means of its
    blocks beside the blocks themselves, so that a block that has moved is not a stranger."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.places: dict[str, tuple[int, Gene]] = {}
        self._known: dict[tuple[str, type, Value], list[tuple[int, float]]] = {}
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
            group, _, rest = path.partition(".")
            for place, feature in self._cells(path, value):
                found[place] += feature
            if rest and rest != "repeat":
                for place, feature in self._cells(f"{group}.mean.{rest.partition('.')[2]}", value):
                    found[place] += feature / len(genotype[group])
        return np.array(found)

    def _cells(self, path: str, value: Value) -> list[tuple[int, float]]:
        """Place and feature of one value of one gene; of a gene that cannot change there are none."""
        key = (path, type(value), value)  # 1, 1.0 and true are three values
        if key not in self._known:
            start, gene = self.places.get(path, (0, None))
            self._known[key] = [] if gene is None else list(enumerate(_features(gene, value), start))
        return self._known[key]


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
        self._centre, self._spread = logs.mean(axis=0), np.where(spread > 0, spread, 1.0)

    def beside(self, codes: np.ndarray, costs: np.ndarray) -> np.ndarray:
        """Codes [n, features] with costs [n, kinds] behind them."""
        return np.hstack([codes, (np.log(costs) - self._centre) / self._spread])


class Surrogate:
    """Fitted to codes [n, features] and scores [n]; guesses means and standard deviations [m] of others. Of `kernels` (length,
    share of the linear part, noise) it takes the likeliest."""

    def __init__(
        self, codes: np.ndarray, scores: Sequence[float], kernels: Sequence[tuple[float, float, float]] = KERNELS
    ) -> None:
        if len(kernels) > 1 and len(scores) > CHOOSING:  # some of them say as well which kernel is likely
            some = np.linspace(0, len(scores) - 1, CHOOSING).astype(int)
            kernels = (Surrogate(codes[some], [scores[place] for place in some], kernels).kernel,)
        self.centre, self.scale = float(np.mean(scores)), float(np.std(scores)) or 1.0
        target = (np.asarray(scores) - self.centre) / self.scale
        self.origin, self.codes, self.scores = codes.mean(axis=0), codes, scores
        self.unit = float(_squares(codes, codes).mean()) or 1.0
        self.weight = float(((codes - self.origin) ** 2).sum(axis=1).mean()) or 1.0
        best: tuple[float, tuple[float, float, float]] | None = None
        linear, squares = self._linear(codes, codes), _squares(codes, codes) / self.unit
        count = len(target)
        for length, share, noise in kernels:
            kernel = share * linear + (1 - share) * np.exp(-squares / (2 * length**2)) + noise * np.eye(count)
            try:
                lower = np.linalg.cholesky(kernel)
            except np.linalg.LinAlgError:
                continue
            inner = np.linalg.solve(lower, target)
            power = max(float(inner @ inner) / count, 1e-9)  # the amplitude that is most likely; of equal scores it would be 0
            likely = -0.5 * count * math.log(power) - float(np.log(np.diag(lower)).sum())
            if best is None or likely > best[0]:
                best, self.lower, self.inner, self.power = (likely, (length, share, noise)), lower, inner, power
        assert best is not None
        self.kernel: tuple[float, float, float] = best[1]
        self.length, self.share, self.noise = self.kernel

    def believing(self, codes: np.ndarray) -> Surrogate:
        """As if those of other codes [m, features] had been scored as they are guessed: so the next proposal is not made beside
        one that is still being trained (the kriging believer of Ginsbourger et al. 2010, section 4.2)."""
        guessed = self.guess(codes)[0]
        return Surrogate(np.vstack([self.codes, codes]), [*self.scores, *guessed], (self.kernel,))

    def guess(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the score without noise."""
        cross = self._kernel(codes)
        half = np.linalg.solve(self.lower, cross)
        own = self.share * ((codes - self.origin) ** 2).sum(axis=1) / self.weight + (1 - self.share)
        variance = np.maximum(own - (half**2).sum(axis=0), 1e-9) * self.power
        return self.centre + self.scale * (half.T @ self.inner), self.scale * np.sqrt(variance)

    def _kernel(self, codes: np.ndarray) -> np.ndarray:
        smooth = np.exp(-_squares(self.codes, codes) / self.unit / (2 * self.length**2))
        found: np.ndarray = self.share * self._linear(self.codes, codes) + (1 - self.share) * smooth
        return found

    def _linear(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        found: np.ndarray = (one - self.origin) @ (other - self.origin).T / self.weight
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
