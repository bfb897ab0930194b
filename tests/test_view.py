"""What a person sees: curves as bars, times in words, plain lines, and the live display drawn on a real console."""

import io

import pytest

from nas.messages import Candidate, Progress, Record
from nas.view import Live, Plain, Silent, duration, make_view, name_of, sparkline

TRAINED = Record(3, {}, "trained", value=0.8125, curve=(0.5, 0.8125), seconds=12.4, architecture="C32x2-P | D256")
BROKEN = Record(4, {}, "infeasible", reason="out of memory [batch 256]", seconds=3.0, architecture="C256")


@pytest.mark.parametrize(
    ("curve", "bars"),
    [
        ([], ""),
        ([0.5], "▄"),
        ([0.5, 0.5], "▄▄"),
        ([0.0, 1.0], "▁█"),
        ([1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█"),
        ([-1.0, 0.0, -1.0], "▁█▁"),
        ([9.0, *[0.0] * 11, 1.0], "█▁▁▁▁▁▁▁▁▁▁▂"),
    ],
)
def test_a_curve_becomes_bars(curve, bars):
    assert sparkline(curve) == bars


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_a_curve_with_a_number_that_is_none_is_drawn_all_the_same(odd):
    assert sparkline([0.0, odd, 1.0]) == sparkline([0.0, 1.0])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (3000, "50 min"),
        (5340, "89 min"),
        (5400, "1 h 30 min"),
        (36_300, "10 h 05 min"),
    ],
)
def test_a_time_becomes_words(seconds, words):
    assert duration(seconds) == words


def test_a_training_of_a_retraining_has_the_name_of_whose_it_is():
    assert name_of(TRAINED) == "#3"
    assert name_of(Record(1, {}, "trained", parents=(7,), operator="seed 2")) == "#7, seed 2"
    assert name_of(Candidate(0, {}, "d", parents=(7,), operator="last fit")) == "#7"
    stream = io.StringIO()
    view = Plain(stream)
    view.begin(1, [])
    last = Record(0, {}, "trained", 0.9, parents=(7,), operator="last fit", curve=(0.9,), metrics={"train_accuracy": 0.9})
    view.finished(last, last)
    assert "] #7   trained    0.9000" in stream.getvalue()
    assert "1 epoch (accuracy in training)" in stream.getvalue()
    assert stream.getvalue().count("#0") == 0


def test_plain_writes_one_line_for_each_candidate_that_ended():
    stream = io.StringIO()
    view = Plain(stream)
    view.begin(10, [TRAINED])
    view.started(Candidate(4, {}, "d"), "C256")
    view.progress(Progress(4, 1, 0.5), [0.5])
    view.finished(BROKEN, None)
    view.finished(TRAINED, TRAINED)
    view.end()
    first, second = stream.getvalue().splitlines()
    assert first.startswith("[  2/10] #4   infeasible")
    assert "out of memory [batch 256], 3 s  C256  | no best yet" in first
    assert second.startswith("[  3/10] #3   trained    0.8125 ▁█")
    assert "2 epochs, 12 s  C32x2-P | D256  | best 0.8125 (#3)" in second


def test_plain_says_every_tenth_of_the_decoding_once():
    stream = io.StringIO()
    view = Plain(stream)
    for done in range(1001):
        view.preparing(done, 1000)
    lines = [f"decoding pictures: {done:,} of 1,000" for done in range(100, 1001, 100)]
    assert stream.getvalue().splitlines() == lines
    view.preparing(20, 20)
    assert stream.getvalue().splitlines() == [*lines, "decoding pictures: 20 of 20"], "another part has its own"


def test_plain_has_nothing_to_say_of_decoding_nothing():
    stream = io.StringIO()
    Plain(stream).preparing(0, 0)
    assert stream.getvalue() == ""


def test_silent_says_nothing(capfd):
    view = Silent()
    view.note("x")
    view.preparing(1, 2)
    view.begin(3, [])
    view.started(Candidate(0, {}, "d"), "C8")
    view.progress(Progress(0, 1, 0.5), [0.5])
    view.finished(TRAINED, TRAINED)
    view.end()
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def live():
    from rich.console import Console

    view = Live()
    view.console = Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None, _environ={"TERM": "xterm"})
    yield view
    view.end()


def drawn(view):
    from rich.console import Console

    paper = Console(file=io.StringIO(), width=160, color_system=None)
    paper.print(view._draw())
    return paper.file.getvalue()


def test_live_draws_what_runs_what_ended_and_the_best(live):
    live.begin(10, [])
    live.started(Candidate(5, {}, "d"), "C16 [x]-P")
    live.progress(Progress(5, 2, 0.7), [0.4, 0.7])
    live.finished(TRAINED, TRAINED)
    live.finished(BROKEN, TRAINED)
    picture = drawn(live)
    running = next(line for line in picture.splitlines() if "#5" in line)
    assert all(part in running for part in ("▶", "0.7000", "▁█", "C16 [x]-P"))
    broken = next(line for line in picture.splitlines() if "#4" in line)
    assert all(part in broken for part in ("✗", "–", "out of memory [batch 256]"))
    assert "best 0.8125 (#3: C32x2-P | D256)" in picture
    assert "2/10" in picture


def test_live_forgets_what_ended_and_keeps_the_last_five(live):
    live.begin(10, [])
    for number in range(8):
        live.started(Candidate(number, {}, "d"), "C16")
        live.finished(Record(number, {}, "trained", value=0.5, curve=(0.5,)), None)
    shown = [number for number in range(8) if f"#{number}" in drawn(live)]
    assert shown == [3, 4, 5, 6, 7]
    assert "▶" not in drawn(live)


def test_live_shows_a_bar_while_decoding_and_takes_it_away(live):
    live.preparing(0, 0)
    assert "decoding pictures" not in live.console.file.getvalue()
    live.preparing(1, 4)
    live.preparing(4, 4)
    assert "decoding pictures" in live.console.file.getvalue()
    live.preparing(1, 2)
    live.preparing(2, 2)


def test_live_notes_are_printed_as_they_are(live):
    live.note("see results/[1]")
    assert "see results/[1]" in live.console.file.getvalue()


def test_where_the_output_is_no_terminal_lines_are_plain():
    assert isinstance(make_view(), Plain)
