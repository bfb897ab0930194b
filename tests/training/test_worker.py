"""What a worker is asked for: the machine, the data, a rehearsal, and training that ends in an outcome whatever happens."""

from __future__ import annotations

import dataclasses
import errno
import platform
from pathlib import Path

import keras
import pytest

from nas.messages import Blocked, DataCard, DataRequest, Infeasible, News, OutOfMemory, Rehearsal
from nas.training import pixels, worker
from nas.training.gpu import gpu, gpu_peak
from tests.helpers import GENOTYPE, make_job, python

pytestmark = pytest.mark.backend


def silent(done: int, total: int) -> None:
    pass


def test_machine_names_backend_and_precision() -> None:
    found = worker.machine(None, silent)
    assert found["backend"] == keras.backend.backend()
    assert found["keras"] == keras.version()
    assert found["precision"] in ("float32", "bfloat16")


def test_prepare_answers_the_card(digits: DataCard) -> None:
    assert worker.prepare(DataRequest("digits"), silent) == digits


def test_rehearsal_gives_the_seconds_of_a_step(digits: DataCard, tmp_path: Path) -> None:
    found = worker.rehearse(Rehearsal(make_job(digits, tmp_path), 0.5), silent)
    assert 0 < found.step < found.start < 60
    assert 0 < found.look < found.step
    assert found.memory > 100_000_000
    assert list(tmp_path.iterdir()) == []


def test_rehearsal_changes_pictures_as_the_training_does(
    digits: DataCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it takes its time: what is asked of `pixels.py` is asked of it here, as it is planned for so many epochs."""
    asked = []
    real = pixels.changed
    monkeypatch.setattr(pixels, "changed", lambda *args: asked.append(args[2]) or real(*args))
    job = make_job(digits, tmp_path, {**GENOTYPE, "mixup": 0.5, "mixing_epochs": 30}, epochs=20)
    worker.rehearse(Rehearsal(job), silent)
    assert asked
    assert {(recipe.shift, recipe.mixup) for recipe in asked} == {(0.06, 0.25)}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps what it likes")
def test_what_one_step_frees_is_kept_for_the_next(tmp_path: Path) -> None:
    code = """
import resource
import numpy as np
from nas.training.worker import keep_memory
keep_memory()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(16_000_000, np.uint8)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = python(code, tmp_path)
    first, *others = map(int, done.stdout.split())
    assert first >= 8, "pages of two megabytes at most, given by the system"
    assert max(others) < 4, done.stderr


def test_whatever_is_raised_becomes_an_outcome(digits: DataCard, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def impatient(news: News) -> bool:
        raise ZeroDivisionError("in the middle of it")

    outcome = worker.train(make_job(digits, tmp_path), impatient)
    assert outcome == Infeasible("ZeroDivisionError: in the middle of it")
    assert "Traceback" in capsys.readouterr().err, "the log has the whole story"


def test_data_that_is_gone_is_no_fault_of_the_candidate(digits: DataCard, tmp_path: Path) -> None:
    job = make_job(dataclasses.replace(digits, cache=str(tmp_path / "gone")), tmp_path)
    outcome = worker.train(job, lambda _: True)
    assert isinstance(outcome, Blocked)
    assert "the decoded pictures cannot be read" in outcome.reason


def test_memory_that_cannot_be_had_is_told_as_that(digits: DataCard, tmp_path: Path) -> None:
    import numpy as np

    def hungry(news: News) -> bool:
        return bool(np.ones(2**50).any())  # more than any machine gives

    outcome = worker.train(make_job(digits, tmp_path), hungry)
    assert isinstance(outcome, OutOfMemory)
    assert "Unable to allocate" in outcome.reason


def test_memory_that_the_system_refuses_is_told_as_that_and_a_file_that_is_not_there_is_the_candidates_own(
    digits: DataCard, tmp_path: Path
) -> None:
    def starved(news: News) -> bool:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    def mistaken(news: News) -> bool:
        return bool((tmp_path / "table.csv").read_text())

    assert isinstance(worker.train(make_job(digits, tmp_path), starved), OutOfMemory)
    assert isinstance(worker.train(make_job(digits, tmp_path), mistaken), Infeasible)


def test_what_is_computed_on_is_told(digits: DataCard, tmp_path: Path) -> None:
    """On processors there is no GPU; where JAX has one, its name and memory are facts of the machine."""
    found, rehearsed = worker.machine(None, silent), worker.rehearse(Rehearsal(make_job(digits, tmp_path)), silent)
    if gpu() is None:
        assert not found.keys() & {"gpu", "gpu_memory"}
        assert rehearsed.gpu_memory == gpu_peak() == 0
    else:
        assert float(found["gpu_memory"].split()[0]) > 1
        assert rehearsed.gpu_memory > 1_000_000
