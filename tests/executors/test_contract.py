"""What every executor does, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nas.errors import DatasetError
from nas.executors import EXECUTORS, Executor, Task, Work
from nas.messages import Infeasible, Progress, Stopped, Trained
from tests.executors.jobs import HERE
from tests.helpers import wait_for, workers

Make = Callable[..., Executor]


@pytest.fixture(params=["inline", "processes"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[Executor] = []

    def executor(function: str = "finish", progress: Any = lambda _: True, **work: Any) -> Executor:
        made.append(EXECUTORS[request.param](Work(f"{HERE}:{function}", progress, **work)))
        return made[-1]

    yield executor
    for each in made:
        each.close()


def test_finished_job_gives_its_outcome(make: Make) -> None:
    executor = make()
    executor.submit(7, 0.5)
    (finished,) = [each for _ in range(60) for each in executor.finished(1.0)]
    assert (finished.number, finished.outcome) == (7, Trained(0.5))
    assert finished.seconds > 0


def test_free_counts_what_still_fits(make: Make) -> None:
    executor = make()
    assert executor.free == 1
    executor.submit(0, 1.0)
    assert executor.free == 0
    wait_for(executor)
    assert executor.free == 1


def test_without_a_job_nothing_finishes(make: Make) -> None:
    assert make().finished(0.0) == []


def test_one_after_the_other(make: Make) -> None:
    executor = make()
    for number in range(3):
        executor.submit(number, float(number))
        assert wait_for(executor) == Trained(float(number))


def test_job_that_raises_is_one_infeasible_candidate(make: Make) -> None:
    executor = make("fail")
    executor.submit(0, "a bad network")
    assert wait_for(executor) == Infeasible("ValueError: a bad network")
    executor.submit(1, "another")
    assert wait_for(executor) == Infeasible("ValueError: another")


def test_traceback_of_a_job_is_in_the_log(make: Make, tmp_path: Any) -> None:
    executor = make("fail", log=str(tmp_path / "log.txt"))
    executor.submit(0, "a bad network")
    wait_for(executor)
    executor.close()
    assert "Traceback" in (tmp_path / "log.txt").read_text()


def test_progress_is_heard_in_order(make: Make) -> None:
    heard: list[Progress] = []

    def progress(each: Progress) -> bool:
        heard.append(each)
        return True

    executor = make("epochs", progress)
    executor.submit(0, 3)
    assert wait_for(executor) == Trained(1.0)
    assert heard == [Progress(0, epoch, epoch / 10, {"val_accuracy": epoch / 10}) for epoch in (1, 2, 3)]


def test_answer_no_stops_the_job(make: Make) -> None:
    executor = make("epochs", lambda progress: progress.epoch < 2)
    executor.submit(0, 5)
    assert wait_for(executor) == Stopped()


def test_stopped_job_makes_room_and_has_no_outcome(make: Make) -> None:
    executor = make()
    executor.submit(0, 0.25)
    executor.stop(0)
    executor.stop(7)
    assert executor.free == 1
    executor.submit(1, 0.5)
    found = [each for _ in range(60) for each in executor.finished(1.0)]
    assert [(each.number, each.outcome) for each in found] == [(1, Trained(0.5))]


def test_task_tells_and_returns(make: Make) -> None:
    told: list[tuple[int, int]] = []
    assert make().call(Task(f"{HERE}:count", 3, "counting"), lambda done, total: told.append((done, total))) == 6
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_error_of_ours_raised_in_a_task_arrives_as_itself(make: Make) -> None:
    with pytest.raises(DatasetError, match=r"^pictures: there is nothing$") as problem:
        make().call(Task(f"{HERE}:wrong", "there is nothing", "a test"))
    assert problem.value.exit_code == 2


def test_error_of_ours_raised_in_a_job_is_one_infeasible_candidate(make: Make) -> None:
    executor = make("fail_with_ours")
    executor.submit(0, "a bad network")
    assert wait_for(executor) == Infeasible("DatasetError: a bad network")


def test_plugins_are_loaded_before_the_work(make: Make, tmp_path: Any) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text("import sys, types\nsys.modules['a_plugin_was_here'] = types.ModuleType('a_plugin_was_here')\n")
    executor = make(plugins=(str(plugin),))
    from nas import plugins

    plugins.load(str(plugin))  # the driver does so itself; inline has no other process
    assert executor.call(Task(f"{HERE}:environment", "a_plugin_was_here", "a test")) == ["a_plugin_was_here"]


def test_close_ends_everything_and_may_be_called_twice(make: Make) -> None:
    executor = make()
    executor.submit(0, 1.0)
    executor.close()
    executor.close()
    assert executor.free == 1
    assert executor.finished(0.0) == []
    assert workers() == []
