"""CSV that is taken apart as it was put together."""

from __future__ import annotations

import csv
import io

from nas.csvtext import csv_text

ROWS = [["name", "value"], ["a\rb", "1"], ["c\nd", ""], ['e,"f"\r\n', "2"], ["plain", "0.5"]]


def test_names_with_any_line_ends_come_back_as_they_were() -> None:
    text = csv_text([ROWS[0], ("a\rb", 1), ("c\nd", ""), ('e,"f"\r\n', 2), ("plain", 0.5)])
    assert list(csv.reader(io.StringIO(text, newline=""))) == ROWS


def test_what_needs_no_quotes_has_none_and_lines_end_as_on_unix() -> None:
    assert csv_text([("a", 1), ("b c", 0.25)]) == "a,1\nb c,0.25\n"
