"""One bad candidate is one bad row: whatever happens to it, it ends with a reason, and the search goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.ledger import Ledger
from nas.messages import Record
from nas.resuming import resume
from nas.searching import search
from nas.space import read_space
from nas.view import Silent
from tests.faults import switch
from tests.faults.switch import Fault
from tests.helpers import SMALL_SEARCH, Listening, without_seconds, workers


class Watching(Listening):
    """Keeps besides who still works when a candidate has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[Any] = []

    def finished(self, record: Record, best: Record | None) -> None:
        self.left += workers()


FAULTS = {
    1: Fault(switch.SEGFAULT, epoch=1),
    2: Fault(switch.RAISES),
    3: Fault(switch.NOT_A_NUMBER, epoch=1),
    4: Fault(switch.HANGS, epoch=1, once=True),
    5: Fault(switch.ENDLESS, epoch=1),
    6: Fault(switch.HUNGRY),
    7: Fault(switch.HUNGRY_IF_LARGE),
    8: Fault(switch.KILLED, epoch=1, once=True),
}
REASONS = {
    1: "the worker was killed by SIGSEGV, twice after epoch 1",
    2: "ValueError: a layer that cannot be",
    3: "the loss became infinite or no number in epoch 2",
    6: "out of memory, with half the batch (16) as well: over the limit of 2 GB (--trial-memory)",
}


@pytest.mark.slow
def test_whatever_happens_to_a_candidate_is_one_row_with_a_reason(tmp_path: Path, pace: float) -> None:
    view = Watching()
    fine = {**SMALL_SEARCH, "strategy": "random", "budget": 10, "pruner": "none"}
    limits = {"trial_time": round(20 * pace), "trial_memory": "2G", "hang_time": round(7 * pace)}
    space = {**read_space("connected").source}
    space["genes"] = {**space["genes"], "batch_size": 32}
    parts = (switch.plugin(tmp_path, FAULTS), switch.builder(tmp_path, 0))
    given = {**fine, **limits, "space": space}
    result = search(out=tmp_path / "run", plugin=parts, view=view, **given)

    assert len(result.records) == 10
    states = {record.number: record.state for record in result.records}
    told = {
        0: "ValueError: Negative dimension size",
        5: f"over the limit of {limits['trial_time']} s (--trial-time)",
        **REASONS,
    }
    assert states == {number: "infeasible" if number in told else "trained" for number in range(10)}
    reasons = {record.number: record.reason for record in result.records if record.number in told}
    assert reasons == told
    assert all(record.value is None for record in result.records if record.number in told), "no score is made up"
    assert all(record.epochs == 2 for record in result.records if record.number not in told)
    assert view.left == [], "no worker outlives its candidate"

    assert (
        f"#4: the worker gave no sign of life for {limits['hang_time']} s (--hang-time); it goes on after epoch 1" in view.notes
    )
    assert "#8: the worker was killed by SIGKILL; it goes on after epoch 1" in view.notes
    rows = {int(row["number"]): row for row in without_seconds(tmp_path / "run" / "leaderboard.csv")}
    assert {number: row["reason"] for number, row in rows.items() if row["state"] == "infeasible"} == reasons
    assert all(row["val_accuracy"] == "" for row in rows.values() if row["state"] == "infeasible")
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "ValueError: a layer that cannot be" in log
    assert "#8: the worker was killed by SIGKILL" in log

    # Half the batch is what it was trained with, and what a retraining is told, after a restart as well.
    halved = "out of memory with batch size 32: over the limit of 2 GB (--trial-memory); tried with 16"
    assert (rows[7]["reason"], rows[7]["batch_size"], rows[9]["batch_size"]) == (halved, "16", "32")
    recipe = Ledger(tmp_path / "run" / "study.db", read_space(space), "random").candidate(7).recipe
    assert recipe is not None
    assert recipe.batch_size == 16
    before = without_seconds(tmp_path / "run" / "leaderboard.csv")
    resume(tmp_path / "run", view=Silent())
    assert without_seconds(tmp_path / "run" / "leaderboard.csv") == before


LARGE = {
    "name": "large",
    "groups": {"blocks": {"repeat": 2, "genes": {"filters": 64, "kernel": 3, "norm": "none", "pool": "none"}}},
    "genes": {"head": "average", "optimizer": "sgd", "learning_rate": 0.01, "batch_size": 1024},
}
ANY_SIZE = {"max_flops": "none", "max_memory": "none", "precision": "float32", "image_size": 32, "epochs": 1, "pruner": "none"}


@pytest.mark.slow
def test_network_too_large_for_the_memory_is_trained_with_half_its_batch(tmp_path: Path) -> None:
    """For real: with a batch of 1,024 its worker holds 1.4 GB, with 512 it is 0.85."""
    result = search(LARGE, "digits", "random", 1, out=tmp_path / "run", trial_memory="1.1G", view=Silent(), **ANY_SIZE)
    (record,) = result.records
    assert record.state == "trained"
    assert record.recipe["batch_size"] == 512
    assert record.reason == "out of memory with batch size 1024: over the limit of 1.1 GB (--trial-memory); tried with 512"


@pytest.mark.slow
def test_lost_again_at_a_later_epoch_it_goes_on_again(small_run: Path, tmp_path: Path) -> None:
    """Killed once in each epoch of candidate 1: the count of losses begins anew with every epoch."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    parts = (
        switch.plugin(tmp_path / "a", {1: Fault(switch.KILLED, epoch=0, once=True)}),
        switch.plugin(tmp_path / "b", {1: Fault(switch.KILLED, epoch=1, once=True)}),
    )
    view = Listening()
    search(out=tmp_path / "run", plugin=parts, view=view, **SMALL_SEARCH)
    lost = [note for note in view.notes if note.startswith("#1")]
    assert lost == [f"#1: the worker was killed by SIGKILL; it goes on after epoch {epoch}" for epoch in (0, 1)]
    assert without_seconds(tmp_path / "run" / "leaderboard.csv") == without_seconds(small_run / "leaderboard.csv")


@pytest.mark.slow
def test_killed_server_of_the_workers_is_started_again(small_run: Path, tmp_path: Path) -> None:
    """The process from which workers are forked is killed while one trains; what comes out is what the same seed gives else."""
    import psutil

    class Killer(Listening):
        killed = False

        def progress(self, progress: Any, curve: Any) -> None:
            if not self.killed:
                self.killed = True
                (worker,) = workers()
                psutil.Process(worker.ppid()).kill()

    view = Killer()
    search(out=tmp_path / "run", view=view, **SMALL_SEARCH)
    assert view.killed
    assert without_seconds(tmp_path / "run" / "leaderboard.csv") == without_seconds(small_run / "leaderboard.csv")
