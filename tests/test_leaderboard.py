"""The leaderboard: its order, its CSV as pandas and as we read it, and the conditions and sortings that a user types."""

import io
import json

import pandas
import pytest

from nas.errors import InputError
from nas.leaderboard import COLUMNS, read_csv, rows, sort, to_csv, where
from nas.messages import Record
from nas.printing import table
from nas.recipe import Recipe
from nas.result import at_rest


def record(number, state, value=None, curve=(), **facts):
    metrics = {"val_accuracy": value, "val_loss": 0.1, "train_accuracy": 0.9} if value is not None else {}
    return Record(number, {}, state, value=value, curve=tuple(curve), metrics=metrics, **facts)


RECORDS = [
    record(0, "infeasible", reason='out of memory, "really"\nwith batch size 256', digest="aaaaaaaaaaaa"),
    record(1, "running", 0.95, [0.95], digest="bbbbbbbbbbbb"),
    record(2, "stopped", 0.8, [0.8], digest="12345e678901", seconds=1.5),
    record(3, "stopped", 0.6, [0.5, 0.55, 0.6], digest="000123456789", parents=(1,)),
    record(
        4,
        "trained",
        0.7,
        [0.1] * 9,
        digest="123456789012",
        parents=(2, 3),
        operator="crossover+step",
        parameters=1000,
        flops=5_000_000,
        architecture="C32x2-P | D256",
        recipe=Recipe(learning_rate=1e-4).to_dict(),
        strategy="genetic",
        seconds=12.0,
    ),
    record(5, "trained", 0.9, [0.9], digest="inf", parameters=200_000, strategy="hill_climb"),
    record(6, "trained", 0.7, [0.7], digest="nan"),
    record(7, "stopped", 0.7, [0.5, 0.55, 0.7], digest="1_000"),
    record(8, "running", None, [], digest="0x1"),
]
ORDER = [5, 4, 6, 7, 3, 2, 1, 8, 0]


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "leaderboard.csv"
    file.write_text(to_csv(RECORDS), encoding="utf-8")
    return file


def test_trained_come_first_then_stopped_then_running_then_infeasible():
    assert [row["number"] for row in rows(RECORDS)] == ORDER
    assert [row["number"] for row in rows(RECORDS[::-1])] == ORDER
    assert [row["rank"] for row in rows(RECORDS)] == list(range(1, 10))


def test_what_runs_is_interrupted_when_the_driver_has_ended():
    assert [row["state"] for row in rows(RECORDS)].count("running") == 2
    assert [row["state"] for row in rows(at_rest(RECORDS))].count("interrupted") == 2
    assert [row["number"] for row in rows(at_rest(RECORDS))] == ORDER


def test_the_columns_are_these():
    assert COLUMNS[:16] == (
        *("rank", "number", "state", "reason", "val_accuracy", "val_loss", "train_accuracy", "epochs", "parameters"),
        *("flops", "seconds", "strategy", "operator", "parents", "digest", "architecture"),
    )
    assert all(tuple(row) == COLUMNS for row in rows(RECORDS))


def test_we_read_back_exactly_what_was_written(file):
    found, written = read_csv(file), rows(RECORDS)
    assert found == written
    assert [[type(cell) for cell in row.values()] for row in found] == [
        [type(cell) for cell in row.values()] for row in written
    ]


def test_a_digest_that_looks_like_a_number_stays_a_word(file):
    digests = {row["number"]: row["digest"] for row in read_csv(file)}
    assert digests == {each.number: each.digest for each in RECORDS}


def test_pandas_reads_the_same_numbers_and_words(file):
    table = pandas.read_csv(file, dtype={"digest": str}, keep_default_na=False)
    assert list(table.columns) == list(COLUMNS)
    assert table["number"].tolist() == ORDER
    assert table["digest"].tolist() == [row["digest"] for row in rows(RECORDS)]
    with_blanks = pandas.read_csv(file)
    assert with_blanks["val_accuracy"].tolist()[:6] == [0.9, 0.7, 0.7, 0.7, 0.6, 0.8]
    assert with_blanks["parameters"].tolist()[:2] == [200_000, 1000]
    assert with_blanks["reason"].dropna().tolist() == ['out of memory, "really"\nwith batch size 256']
    assert pandas.read_csv(io.StringIO(to_csv([]))).empty


def test_the_table_shows_the_score_where_it_is_not_the_accuracy(file):
    rows = read_csv(file)
    assert "score" not in table(rows).splitlines()[0]
    assert "score  val_accuracy" in table([{**row, "score": 0.25} for row in rows]).splitlines()[0]


def test_of_an_evaluator_the_table_shows_score_and_genotype(tmp_path):
    genotypes = [{"x": 0.5, "blocks": [{"kind": 'dünn, "quoted"'}]}, {"x": 0.25, "blocks": []}]
    file = tmp_path / "leaderboard.csv"
    found = [Record(number, genotype, "trained", value=number / 4) for number, genotype in enumerate(genotypes)]
    file.write_text(to_csv(found), encoding="utf-8")
    again = read_csv(file)
    assert [json.loads(row["genotype"]) for row in again] == genotypes[::-1]
    assert [(row["val_accuracy"], row["score"]) for row in again] == [("", 0.25), ("", 0)]
    head, first, _ = table(again).splitlines()
    assert head.split() == ["rank", "number", "state", "score", "epochs", "seconds", "genotype"]
    assert '{"x": 0.25, "blocks": []}' in first


def test_scores_of_another_size_than_accuracies_keep_their_digits(tmp_path):
    file = tmp_path / "leaderboard.csv"
    found = [Record(number, {}, "trained", value=value) for number, value in enumerate([2.5e9, 12.5, 0.25, 0.0, -1.25e-7])]
    file.write_text(to_csv(found), encoding="utf-8")
    assert [line.split()[3] for line in table(read_csv(file)).splitlines()[1:]] == [
        *("2.5e+09", "12.5000", "0.2500", "0.0000", "-1.25e-07")
    ]


@pytest.mark.parametrize("columns", [160, 80, 60, 45])
def test_the_table_fits_the_terminal(file, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [{**row, "architecture": "C16 | C24-P | " * 12} for row in read_csv(file)]
    lines = table(rows).splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[0].split()[:2] == ["rank", "number"]
    assert "val_accuracy" in lines[0]
    assert ("curve" in lines[0]) == (columns == 160)
    assert "\x1b" not in table([{**rows[0], "reason": "\x1b[31mred"}])


def test_what_is_no_leaderboard_is_told(tmp_path):
    file = tmp_path / "leaderboard.csv"
    with pytest.raises(InputError, match=r"is not there \(yet\); 'nas resume .*' writes that of a search anew"):
        read_csv(file)
    without = to_csv([]).splitlines()[0].split(",")
    file.write_text(
        ",".join(without[: without.index("score")]) + "\n1,0,trained,,0.75" + "," * (without.index("score") - 5) + "\n"
    )
    (older,) = read_csv(file)  # columns are added at the end only
    assert (older["score"], older["ema"]) == (0.75, "")
    file.unlink()
    file.mkdir()
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_csv(file)
    file.rmdir()
    file.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="has no column 'rank'; it was not written by nas"):
        read_csv(file)
    file.write_bytes(b"rank\n\xff\n")
    with pytest.raises(InputError, match="cannot be read: it is not text in UTF-8"):
        read_csv(file)
    file.write_bytes(b"")
    with pytest.raises(InputError, match="has no column 'rank'"):
        read_csv(file)


def test_a_number_of_any_length_can_be_shown(file):
    text = file.read_text().replace("0.9,", f"{'9' * 400},", 1)
    file.write_text(text)
    assert "inf" in table(read_csv(file))


def test_a_row_that_ends_early_and_a_curve_of_words_are_shown(file, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    heading, first, second, *rest = file.read_text().splitlines()
    assert "0.5 0.55 0.7" in file.read_text()
    file.write_text("\n".join((heading, first[:20], second, *rest)).replace("0.5 0.55 0.7", "0.5 what 0.7") + "\n")
    shown = table(read_csv(file)).splitlines()
    assert len(shown) == 1 + len(RECORDS)
    assert sum("?" in line.split() for line in shown) == 1


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        ("parameters < 200000", [4]),
        ("parameters <= 200_000", [5, 4]),
        ("val_accuracy>=0.8", [5, 2, 1]),
        ("val_accuracy > .8 and state = trained", [5]),
        ("state == 'stopped'", [7, 3, 2]),
        ("state != trained and epochs > 1", [7, 3]),
        ("number = 3", [3]),
        ("digest = 000123456789", [3]),
        ("digest = 12345e678901", [2]),
        ("digest = 1_000", [7]),
        ("parents = 1", [3]),
        ("parents = '2 3'", [4]),
        ("strategy = hill_climb", [5]),
        ("architecture = C32x2-P | D256", [4]),
        ("operator = crossover+step", [4]),
    ],
)
def test_a_condition_keeps_these_rows(file, condition, numbers):
    assert [row["number"] for row in where(read_csv(file), condition)] == numbers


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("paramters < 3", "--where: unknown column 'paramters' (did you mean 'parameters'?)"),
        ("parameters", "--where: cannot be understood: 'parameters'; write for example 'parameters < 200000"),
        ("", "--where: cannot be understood: ''"),
        ("parameters < many", "--where: 'many' is no number, so only = and != go with it"),
        ("parents > 2", "--where: 'parents' is no column of numbers, so only = and != go with it"),
        ("parameters < 3 and", "--where: "),
        ("epochs < 3 or epochs > 5", "--where: "),
    ],
)
def test_a_wrong_condition_is_told(file, condition, told):
    with pytest.raises(InputError) as caught:
        where(read_csv(file), condition)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        ("seconds", [7, 3, 1, 8, 0, 5, 6, 2, 4]),
        ("parameters", [4, 5, 6, 7, 3, 2, 1, 8, 0]),
        ("val_accuracy", [1, 5, 2, 4, 6, 7, 3, 8, 0]),
        ("number", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_rows_are_sorted_with_the_best_or_smallest_first_and_blanks_last(file, column, numbers):
    found = [row["number"] for row in sort(read_csv(file), column)]
    if column == "seconds":
        assert found[-2:] == [2, 4]
    else:
        assert found == numbers


def test_sorting_by_a_wrong_column_is_told():
    with pytest.raises(InputError, match=r"^--sort: unknown column 'second' \(did you mean 'seconds'\?\)"):
        sort([], "second")
