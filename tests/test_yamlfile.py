"""YAML as a person writes it: numbers and words by YAML 1.2, the line of everything, and what is refused with file and line."""

import pytest

from nas.errors import SpaceError
from nas.yamlfile import MOST_BYTES, parse, read


def data(text):
    return parse(text, "mine.yaml", SpaceError).data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("-2E+3", -2000.0),
        (".5", 0.5),
        ("7", 7),
        ("-3", -3),
        ("1.0", 1.0),
        ("'1e-4'", "1e-4"),
        ('"7"', "7"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("1e-4x", "1e-4x"),
    ],
)
def test_a_scalar_is_what_yaml_1_2_says(text, value):
    found = data(f"key: {text}")["key"]
    assert (type(found), found) == (type(value), value)


def test_equal_looking_values_keep_their_kinds():
    assert [type(each) for each in data("[1, true, 1.0]")] == [int, bool, float]


def test_every_key_and_item_has_its_line():
    doc = parse("name: a\n\ngenes:\n  width:\n    ordered:\n      - 1\n      - 2\n", "mine.yaml", SpaceError)
    assert doc.place("name") == "mine.yaml, line 1"
    assert doc.place("genes", "width", "ordered") == "mine.yaml, line 5"
    assert doc.place("genes", "width", "ordered", 1) == "mine.yaml, line 7"
    assert doc.place("genes", "width", "missing") == "mine.yaml, line 4"


def test_an_empty_document_is_nothing_and_has_no_line():
    doc = parse("# only a comment\n", "mine.yaml", SpaceError)
    assert doc.data is None
    assert doc.place("name") == "mine.yaml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "mine.yaml, line 3: the key 'a' stands here twice"),
        ("a: &x [1]\nb: *x\n", "mine.yaml, line 2: aliases (*name) are not supported; write the value out"),
        ("a: 1\n[1]: 2\n", "mine.yaml, line 2: a key must be a plain word"),
        ("a: 1\nb: [1, 2\n", "mine.yaml, line 3: is not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\n--- \nb: 2\n", "mine.yaml, line 2: is not valid YAML: but found another document"),
        ('a: 1\nb: "\\UFFFFFFFF"\n', "mine.yaml, line 2: is not valid YAML: the escape \\UFFFFFFFF stands for no character"),
        ('a: "\\U00110000"\n', "mine.yaml, line 1: is not valid YAML: the escape \\U00110000 stands for no character"),
        ("a: \x00\n", "mine.yaml: is not valid YAML: unacceptable character #x0000: special characters are not allowed"),
    ],
)
def test_what_is_not_well_formed_is_refused_with_its_line(text, message):
    with pytest.raises(SpaceError) as caught:
        data(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("depth", [60, 1_000])
def test_deep_nesting_is_refused(depth):
    with pytest.raises(SpaceError, match=r"nested more than 50 levels deep|recursion"):
        data("[" * depth + "]" * depth)


def test_fifty_levels_are_read():
    found = data("[" * 50 + "]" * 50)
    for _ in range(49):
        (found,) = found
    assert found == []


def test_a_file_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_bytes("name: café".encode("latin-1"))
    with pytest.raises(SpaceError) as caught:
        read(file, SpaceError)
    assert str(caught.value) == f"{file}: is not text in UTF-8"


def test_a_huge_file_is_refused_unread(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(SpaceError, match="is larger than 1,000,000 bytes"):
        read(file, SpaceError)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(SpaceError, match=r"none\.yaml: cannot be read: No such file"):
        read(tmp_path / "none.yaml", SpaceError)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: a\n")
    assert read(file, SpaceError).data == {"name": "a"}
