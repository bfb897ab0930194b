"""Settings: what beats what, the ways to write times and amounts, and errors that name file and line, or the option."""

import pytest

from nas.config import Settings, amount, seconds, settings
from nas.errors import ConfigError
from nas.shipped import shipped


def write(folder, text):
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_an_option_beats_the_file_and_the_file_the_defaults(tmp_path):
    file = write(tmp_path, "budget: 7\nepochs: 3\n")
    chosen = settings(file, epochs=5, seed=None)
    assert (chosen.budget, chosen.epochs, chosen.seed) == (7, 5, Settings().seed)


@pytest.mark.parametrize("name", shipped("configs"))
def test_every_shipped_configuration_is_read_by_its_name(name):
    assert (settings(name) == Settings()) == (name == "standard"), "the defaults are the standard preset"


def test_a_preset_is_beaten_by_a_file_and_that_by_an_option(tmp_path):
    quick = settings(preset="quick")
    assert quick.seen_pictures < Settings().seen_pictures < settings(preset="thorough").seen_pictures
    file = write(tmp_path, "epochs: 4\ntrain_pictures: 77\n")
    chosen = settings(file, preset="quick", train_pictures=78)
    assert (chosen.epochs, chosen.train_pictures) == (4, 78)
    assert settings(None, {"epochs": 1, "seed": 8}, "quick") == settings(seed=8, preset="quick")


def test_pictures_beat_the_part_that_a_file_says_and_contradict_the_option(tmp_path):
    file = write(tmp_path, "train_part: 1.0\n")
    assert settings(file).train_part == 1.0
    assert settings(file, train_pictures=500).train_part is None
    with pytest.raises(ConfigError, match="--train-pictures: says the same as --train-part"):
        settings(train_pictures=500, train_part=0.5)


def test_pictures_to_be_seen_beat_the_epochs_that_a_file_says_and_contradict_the_option(tmp_path):
    file = write(tmp_path, "epochs: 4\n")
    assert settings(file, seen_pictures=500).epochs is None
    assert settings(None, {"epochs": 4}, "quick").epochs is None
    with pytest.raises(ConfigError, match="--seen-pictures: says the same as --epochs"):
        settings(seen_pictures=500, epochs=5)


@pytest.mark.parametrize("name", ["quik", "", "../quick", "demo", "configs/quick"])
def test_a_preset_that_is_none_is_told(name):
    with pytest.raises(ConfigError, match=r"(?s)--preset: unknown preset .*quick, standard"):
        settings(preset=name)


def test_workers_are_a_number_or_as_many_as_there_is_room_for(tmp_path, monkeypatch):
    assert settings(workers="3").workers == settings(write(tmp_path, "workers: 3\n")).workers == 3
    monkeypatch.setattr("nas.machine.cores", lambda: 8)
    monkeypatch.setattr("nas.machine.default_memory", lambda workers: 64_000_000_000)
    assert settings(workers="auto").at_once == 8
    monkeypatch.setattr("nas.machine.default_memory", lambda workers: 7_000_000_000)
    assert settings(workers="auto").at_once == 3
    monkeypatch.setattr("nas.machine.default_memory", lambda workers: 1_000_000_000)
    assert settings(workers="auto").at_once == 1
    with pytest.raises(ConfigError, match="--workers: a whole number from 1 to 1,024 or 'auto' is expected; found 'all'"):
        settings(workers="all")


def test_one_name_may_stand_for_a_list_of_one():
    assert settings(plugin="mine.py", start_from="results/first").plugin == ("mine.py",)


def test_settings_survive_the_trip_through_plain_data():
    chosen = settings(None, time="30m", max_params="500k", plugin=("a.py",), genetic={"assist": False, "population": 6})
    stored = {key: value for key, value in chosen.model_dump(mode="json").items() if value is not None}
    assert settings(None, **stored) == chosen


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("1h30m", 5400), ("1 h 30 m", 5400), ("2D", 172800), (12, 12)],
)
def test_a_time_is_read_as_seconds(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "m", "soon", "1w", "-3m", "1h-3m", "3m!", "1.2.3"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="a time such as 90s, 30m or 1h30m is expected"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500000", 500_000),
        ("500_000", 500_000),
        ("500,000", 500_000),
        ("500k", 500_000),
        ("1.5M", 1_500_000),
        ("2G", 2 * 10**9),
    ],
)
def test_an_amount_is_read_as_a_whole_number(text, value):
    assert amount(text) == value


@pytest.mark.parametrize("text", ["", "M", "many", "-5", "5 apples", "5MM"])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(ValueError, match="a number such as 500000, 500k or 60M is expected"):
        amount(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seed: 1\nbugdet: 3\n", "mine.yaml, line 2: unknown setting 'bugdet' (did you mean 'budget'?)"),
        ("seed: 1\nbudget: 0\n", "mine.yaml, line 2: budget: input should be greater than or equal to 1; found 0"),
        ("budget: true\n", "mine.yaml, line 1: budget: input should be a valid integer"),
        ("time: true\n", "mine.yaml, line 1: time: a time such as 90s, 30m or 1h30m is expected; found 'true'"),
        ("pruner: false\n", "mine.yaml, line 1: pruner: input should be 'none', 'asha' or 'median'; found 'false'"),
        (
            "genetic:\n  pool: true\n",
            "mine.yaml, line 2: genetic.pool: input should be a valid integer",
        ),
        ("budget: many\n", "mine.yaml, line 1: budget: input should be a valid integer"),
        ("time: soon\n", "mine.yaml, line 1: time: a time such as 90s, 30m or 1h30m is expected; found 'soon'"),
        ("max_params: 0\n", "mine.yaml, line 1: max_params: input should be greater than 0; found 0"),
        ("seen_pictures: 9000000000000000000\n", "mine.yaml, line 1: seen_pictures: input should be less than or equal to 1"),
        ("patience: 100000\n", "mine.yaml, line 1: patience: input should be less than or equal to 10000"),
        ("hang_time: 9e400\n", "mine.yaml, line 1: hang_time: input should be a finite number; found inf"),
        ("max_flops: 9e400\n", "mine.yaml, line 1: max_flops: input should be a finite number; found inf"),
        (f"max_flops: '{'9' * 400}'\n", "mine.yaml, line 1: max_flops: a number up to 1e+18 is expected; 'none' is no limit"),
        ("time: 1e400\n", "mine.yaml, line 1: time: input should be a finite number; found inf"),
        ("pruner: ahsa\n", "mine.yaml, line 1: pruner: input should be 'none', 'asha' or 'median'; found 'ahsa'"),
        ("genetic:\n  population: 1\n", "mine.yaml, line 2: genetic.population: input should be greater than or equal to 2"),
        ("genetic:\n  popluation: 9\n", "mine.yaml, line 2: genetic.popluation: unknown setting 'popluation' (did you mean"),
        ("pool: 9\n", "mine.yaml, line 1: 'pool' is a setting of the genetic strategy, and stands under 'genetic:'"),
        ("seed: 1\ngenetic:\n", "mine.yaml, line 2: genetic: settings by their names are expected under it; found nothing"),
        ("genetic:\n  shrink: 0.2\n", "mine.yaml, line 2: genetic: shrink has no effect without --inherit"),
        ("genetic:\n  finish: 0.2\n", "mine.yaml, line 1: genetic: finish has no effect with assist: true; add assist: false"),
        ("budget: 3\nbudget: 4\n", "mine.yaml, line 2: the key 'budget' stands here twice"),
        ("- budget\n", "mine.yaml: a configuration is a mapping from settings to values"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(tmp_path, text, told):
    with pytest.raises(ConfigError) as caught:
        settings(write(tmp_path, text))
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(told)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"bugdet": 3}, "unknown setting 'bugdet' (did you mean 'budget'?)"),
        ({"budget": 0}, "--budget: input should be greater than or equal to 1; found 0"),
        ({"train_part": 1.5}, "--train-part: input should be less than or equal to 1; found 1.5"),
        ({"max_flops": "lots"}, "--max-flops: a number such as 500000, 500k or 60M is expected; found 'lots'"),
        ({"genetic": {"assist": False, "pool": 9}}, "--genetic: pool has no effect with assist: false; take it away"),
        ({"sampler": "qmc"}, "--sampler: is for --strategy=optuna, and this is 'genetic'"),
        ({"genetic": {"crossover": 2}}, "--genetic.crossover: input should be less than or equal to 1; found 2"),
    ],
)
def test_a_wrong_option_is_told_by_its_name(option, told):
    with pytest.raises(ConfigError) as caught:
        settings(None, **option)
    assert str(caught.value).startswith(told)


def test_an_option_that_is_wrong_is_not_blamed_on_the_file(tmp_path):
    with pytest.raises(ConfigError, match=r"^--budget: "):
        settings(write(tmp_path, "budget: 3\n"), budget=0)


def test_a_wrong_setting_of_a_run_that_goes_on_is_told_by_its_file():
    with pytest.raises(ConfigError, match=r"^run.yaml: settings.budget: input should be a valid integer"):
        settings(None, {"budget": "many"})
    with pytest.raises(ConfigError, match=r"^run.yaml: settings.bugdet: unknown setting 'bugdet' \(did you mean 'budget'\?\)"):
        settings(None, {"bugdet": 3})


@pytest.mark.parametrize("name", ["~no-such-user", "~no-such-user/mine.yaml", "x" * 5000, "\x00"])
def test_a_file_may_be_called_anything(name):
    with pytest.raises(ConfigError, match="there is no configuration"):
        settings(name)


def test_a_wrong_name_of_a_configuration_is_told_the_nearest():
    with pytest.raises(ConfigError, match=r"there is no configuration 'deom' \(did you mean 'demo'\?\)"):
        settings("deom")


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        settings().budget = 3
