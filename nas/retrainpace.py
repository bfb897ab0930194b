"""What trainings at full length take, foretold from those before: of the search, then of the comparison."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

from nas.errors import RunError
from nas.forecast import AROUND
from nas.jobs import epoch_cost, whole_epochs
from nas.ledger import Ledger
from nas.messages import Metrics
from nas.pace import START, epoch_seconds
from nas.resuming import Reopened
from nas.retrainparts import COMPARISON
from nas.retrainplan import START_UP
from nas.run import Run
from nas.shared import reader_of


@dataclass
class RetrainPace:
    """Of the candidates of one run."""

    run: Run
    back: Reopened

    @property
    def searched(self) -> float:
        """Epochs of a candidate in the search, counted in all training pictures."""
        return whole_epochs(self.back.chosen)

    def epoch_seconds(self, number: int, validated: bool) -> float:
        """What one epoch of a candidate takes on all pictures, with the validation part held out and looked at (`validated`) or
        learned as well. Raises RunError if no epoch of it is known."""
        card, held = self.back.card, self.back.chosen.validation_part or 0.0
        trainings = self._compared(number)
        part = 1.0 if trainings else self.back.chosen.train_part or 1.0
        took = epoch_seconds(*(trainings or [self._searched(number)]))
        if took is None:
            words = f"of #{number} no epoch is known, so its time cannot be foretold; give --epochs"
            raise RunError(words, str(self.run.folder))
        return took / epoch_cost(card, held, part) * epoch_cost(card, held if validated else 0.0)

    def start_up(self, numbers: Iterable[int]) -> float:
        """Seconds of a training until its first epoch: at most what it was for these candidates, which JAX has to compile."""
        starts = [epoch.get(START, 0.0) for number in numbers for epoch in self._searched(number)]
        return max(START_UP, AROUND + max(starts, default=0.0))

    def _searched(self, number: int) -> list[Metrics]:
        with closing(reader_of(self.run, self.back.facts)) as ledger:
            return ledger.epochs(number)

    def _compared(self, number: int) -> list[list[Metrics]]:
        """Epochs of each of its trainings in the comparison that has any."""
        part = Run(self.run.folder / COMPARISON)
        if not part.study.exists():
            return []
        with closing(Ledger(part.study, self.back.space, self.back.chosen.strategy, reading=True)) as ledger:
            own = [record.number for record in ledger.records() if record.parents == (number,)]
            return [epochs for epochs in map(ledger.epochs, own) if epochs]
