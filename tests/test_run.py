"""A run's folder: files are whole, new runs find a free name, and one process at a time holds the lock."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from nas.errors import ConfigError, InputError, RunError
from nas.run import Run, write_whole

HOLDER = """
import sys, time
from nas.run import Run
run = Run.open(sys.argv[1])
run.lock()
print("locked", flush=True)
time.sleep(600)
"""


@pytest.fixture
def run(tmp_path):
    run = Run.create(tmp_path / "mine", "digits")
    run.write_settings({"settings": {"budget": 3}})
    return run


def test_a_file_is_written_and_replaced_whole(tmp_path):
    file = tmp_path / "a.txt"
    write_whole(file, "old – ü")
    assert file.read_bytes() == "old – ü".encode()
    write_whole(file, b"new")
    assert file.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_write_that_fails_leaves_the_old_content(tmp_path):
    file = tmp_path / "a.txt"
    write_whole(file, "old")
    with pytest.raises(TypeError):
        write_whole(file, 3)
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_write_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError, match=r"a\.txt"):
        write_whole(tmp_path / "a.txt", "new")
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_is_on_the_disk_before_it_gets_its_name_and_the_name_after(tmp_path, monkeypatch):
    """What a power cut could undo: the system's own calls are listened to, in their order."""
    calls = []

    def listened(name):
        real = getattr(os, name)

        def call(*arguments, **named):
            first = arguments[0]
            where = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else os.fspath(first)
            calls.append((name, os.path.basename(where)))
            return real(*arguments, **named)

        monkeypatch.setattr(os, name, call)

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("only Linux tells which file a call is about")
    listened("fsync")
    listened("replace")
    write_whole(tmp_path / "a.txt", "new")
    temporary = f".a.txt.{os.getpid()}"
    assert calls == [("fsync", temporary), ("replace", temporary), ("fsync", tmp_path.name)]


def test_a_folder_that_cannot_be_made_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made: Not a directory"):
        Run.check_new(tmp_path / "file" / "a" / "b")
    with pytest.raises(RunError, match="cannot be made: File name too long"):
        Run.check_new(tmp_path / ("x" * 300))
    with pytest.raises(RunError, match="is no run folder"):
        Run.open(tmp_path / ("x" * 300))
    with pytest.raises(RunError, match=r"\\udcff: is a name with bytes that are no text in UTF-8"):
        Run.check_new(tmp_path / "\udcff")
    Run.check_new(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


def test_who_looks_whether_a_run_is_driven_does_not_hinder_its_driver(run):
    looking = threading.Thread(target=lambda: [run.driven() for _ in range(300)])
    looking.start()
    try:
        for _ in range(30):
            other = Run(run.folder)
            other.lock()
            other.unlock()
    finally:
        looking.join()


def test_the_name_of_a_run_is_as_one_types_it(tmp_path):
    assert Run(tmp_path / "my run's").name == f"'{tmp_path}/my run'\"'\"'s'"


def test_new_runs_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [Run.create(None, "digits-genetic").folder.as_posix() for _ in range(3)]
    assert folders == [f"results/digits-genetic-{count}" for count in (1, 2, 3)]


def test_the_paths_of_a_run_lie_in_its_folder(run):
    paths = [run.study, run.leaderboard, run.settings, run.log, run.best, run.model(7), run.checkpoint(7)]
    assert [path.relative_to(run.folder).as_posix() for path in paths] == [
        *("study.db", "leaderboard.csv", "run.yaml", "log.txt", "best.keras"),
        *("models/7.keras", "checkpoints/7.npz"),
    ]
    assert run.model(7).parent.is_dir()
    assert run.checkpoint(7).parent.is_dir()


def test_a_folder_that_holds_a_run_is_not_taken_for_another(run):
    with pytest.raises(RunError, match="holds a run already; give another --out, or go on with a search by 'nas resume"):
        Run.create(run.folder, "digits")


def test_a_folder_with_other_things_and_a_file_are_not_taken(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        Run.create(tmp_path, "digits")
    with pytest.raises(RunError, match="--out"):
        Run.create(tmp_path / "thesis.txt", "digits")
    with pytest.raises(RunError, match="cannot be made"):
        Run.create(tmp_path / "thesis.txt" / "inside", "digits")


def test_an_empty_folder_is_taken(tmp_path):
    assert Run.create(tmp_path, "digits").folder == tmp_path


def test_the_newest_run_is_opened_where_none_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, age in (("new", 1), ("old", 100)):
        made = Run.create(f"results/{name}", "x")
        made.write_settings({"settings": {}})
        os.utime(made.settings, (1_000_000 - age, 1_000_000 - age))
    assert Run.open(None).folder.as_posix() == "results/new"


def test_where_there_is_no_run_it_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="there is no run in results/ yet"):
        Run.open(None)
    with pytest.raises(RunError, match=r"^nowhere: is no run folder \(it has no run.yaml\)$"):
        Run.open("nowhere")
    Run.create("results/here", "x").write_settings({"settings": {}})
    with pytest.raises(RunError, match="runs here: results/here"):
        Run.open("nowhere")


def test_settings_are_read_as_written(run):
    settings = {"strategy": "genetic", "time": None, "rate": 1e-4, "plugin": []}
    genes = {"a": {"choice": [1, 2]}, "b": {"choice": [1, "true"], "when": {"a": [1]}}, "c": True}
    facts = {"settings": settings, "words": "on – ü", "space": {"name": "on", "genes": genes}}
    facts |= {"digests": {"space": "12345e678901", "data": "0001"}, "odd": ["1e-4", "on", "null", "1", "", "~", "a: b", "#"]}
    run.write_settings(facts)
    assert run.read_settings() == facts


@pytest.mark.parametrize("text", ["", "settings: 3\n", "- a\n", "settings: {\n", "settings: {a: 1, a: 2}\n"])
def test_damaged_settings_are_told(run, text):
    run.settings.write_text(text)
    with pytest.raises(RunError, match=r"run\.yaml"):
        run.read_settings()


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("settings", {"budget": 3}, "is damaged: its settings have no 'strategy'"),
        ("space", {"name": "a", "genes": {"b": {"range": [2, 1]}}}, "is damaged: space: b: 'range' needs two numbers"),
        ("data", [1], r"is damaged: 'data' is \[1\]"),
        ("versions", "new", "is damaged: 'versions' is 'new'"),
    ],
)
def test_what_a_person_has_changed_in_them_is_told(run, key, value, told):
    facts = {"settings": {"strategy": "random"}, "digests": {}, "space": {"name": "a", "genes": {"b": 1}}}
    run.write_settings(facts)
    assert run.read_settings() == facts
    run.write_settings({**facts, key: value})
    with pytest.raises(RunError, match=rf"run\.yaml: {told}"):
        run.read_settings()


def test_a_second_driver_in_the_same_process_is_refused_until_the_first_lets_go(run):
    run.lock()
    with pytest.raises(RunError, match=f"is in use by process {os.getpid()} on "):
        Run(run.folder).lock()
    run.unlock()
    again = Run(run.folder)
    again.lock()
    again.unlock()


def test_the_lock_of_another_process_names_it_and_goes_with_it(run):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(run.folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(RunError, match=f"is in use by process {holder.pid} on "):
            run.lock()
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    run.lock()
    with pytest.raises(RunError, match=f"is in use by process {os.getpid()} on "):
        Run(run.folder).lock()
    run.unlock()


def test_unlocking_what_is_not_locked_does_nothing(run):
    run.unlock()
    run.lock()
    run.unlock()


def test_errors_of_a_run_are_input_errors_with_exit_code_2():
    assert issubclass(RunError, InputError)
    assert RunError("x").exit_code == ConfigError("x").exit_code == 2
