"""Search spaces from YAML: what a right file becomes, and what a wrong one is told: file, line, key, the nearest name."""

import pytest

from nas.errors import SpaceError
from nas.shipped import shipped
from nas.space import Choice, Ordered, Range, read_space

GOOD = """\
name: mine
about: what it is
groups:
  blocks:
    repeat: [1, 5]
    genes:
      filters: {choice: [16, 32, 64]}
      dropout: {ordered: [0.0, 0.1]}
genes:
  optimizer: {choice: [adam, sgd]}
  momentum: {range: [0, 0.99], when: {optimizer: sgd}}
  rate: {range: [1e-4, 0.1], log: true}
  loss: crossentropy
"""


def write(folder, text):
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def message(folder, old, new):
    """What is said of the good file after one change."""
    assert GOOD.count(old) == 1
    file = write(folder, GOOD.replace(old, new))
    with pytest.raises(SpaceError) as caught:
        read_space(file)
    return str(caught.value).removeprefix(f"{folder}/")


def test_a_right_file_becomes_genes_of_three_kinds(tmp_path):
    space = read_space(write(tmp_path, GOOD))
    assert (space.name, space.about, space.describes_networks) == ("mine", "what it is", True)
    assert space.genes == {
        "optimizer": Choice(("adam", "sgd")),
        "momentum": Range(0.0, 0.99, when={"optimizer": ("sgd",)}),
        "rate": Range(1e-4, 0.1, log=True),
        "loss": Choice(("crossentropy",)),
    }
    assert space.groups["blocks"].repeat == Range(1, 5)
    assert space.groups["blocks"].genes == {"filters": Choice((16, 32, 64)), "dropout": Ordered((0.0, 0.1))}


def test_a_misspelt_kind_is_told_with_the_nearest_name(tmp_path):
    assert message(tmp_path, "{choice: [16, 32, 64]}", "{chioce: [16, 32, 64]}") == (
        "mine.yaml, line 7: blocks.filters: unknown key 'chioce' (did you mean 'choice'?)\n"
        "       allowed here: choice, ordered, range"
    )


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("about:", "abuot:", "line 2: a search space: unknown key 'abuot' (did you mean 'about'?)"),
        ("about:", "zzzut:", "line 2: a search space: unknown key 'zzzut'\n       allowed here: name, about, groups, genes"),
        ("repeat:", "repeats:", "line 5: the group 'blocks': unknown key 'repeats' (did you mean 'repeat'?)"),
        ("[1, 5]", "[5, 1]", "line 5: blocks.repeat: two whole numbers are expected, such as [1, 5], from 0 to 100"),
        ("[1, 5]", "[1, 101]", "line 5: blocks.repeat: two whole numbers"),
        ("[1, 5]", "[1, true]", "line 5: blocks.repeat: two whole numbers"),
        ("[1, 5]", "many", "line 5: blocks.repeat: two whole numbers"),
        ("log: true", "lgo: true", "line 12: rate: unknown key 'lgo' (did you mean 'log'?)\n       allowed here: choice"),
        ("log: true", "log: on", "line 12: rate: 'log' is true or false; found 'on'"),
        ("[1e-4, 0.1]", "[0, 0.1]", "line 12: rate: a logarithmic range starts above 0; found 0"),
        ("[1e-4, 0.1]", "[0.1, 1e-4]", "line 12: rate: 'range' needs two numbers, the lower one first; found [0.1, 0.0001]"),
        ("[1e-4, 0.1]", "[1, true]", "line 12: rate: 'range' needs two numbers"),
        ("[1e-4, 0.1]", "[1, 1e400]", "line 12: rate: 'range' needs two numbers"),
        ("log: true", "log: true, step: 0.1", "line 12: rate: a logarithmic range has no 'step'"),
        ("log: true", "step: 1", "line 12: rate: 'step' must be at least 1e-09 and fit into the range; found 1"),
        ("log: true", "choice: [1]", "line 12: rate: a gene has exactly one of choice, ordered, range; found choice, range"),
        (
            "{optimizer: sgd}",
            "{optimiser: sgd}",
            "line 11: momentum: 'when' names 'optimiser', which is no gene above",
        ),
        ("{optimizer: sgd}", "{optimizer: sdg}", "line 11: momentum: 'optimizer' is never 'sdg': one of adam, sgd"),
        ("{optimizer: sgd}", "{loss: mse}", "line 11: momentum: 'when' names 'loss', which is no gene above this one"),
        ("[adam, sgd]", "[adam, adam]", "line 10: optimizer: 'adam' stands here twice"),
        ("[adam, sgd]", "[1, true, 1.0]", "line 10: optimizer: True stands here twice, or equals another value"),
        ("[adam, sgd]", "[]", "line 10: optimizer: 'choice' needs a list of 1 to 1,000 values"),
        ("[adam, sgd]", "adam", "line 10: optimizer: 'choice' needs a list of 1 to 1,000 values"),
        ("[adam, sgd]", "[adam, null]", "line 10: optimizer: a word, a number, true or false is expected; found None"),
        ("[adam, sgd]", "[adam, [sgd]]", "line 10: optimizer: a word, a number, true or false is expected; found ['sgd']"),
        ("[adam, sgd]}", "[adam, sgd], log: true}", "line 10: optimizer: 'log' goes with 'range' only"),
        ("loss:", "lo ss:", "line 13: 'lo ss' is no name: letters a to z, digits, - and _, no digit or - first"),
        ("loss:", "blocks:", "line 4: 'blocks' is the name of a gene and of a group"),
        ("dropout:", "repeat:", "line 8: blocks.repeat: 'repeat' is kept for the length of a group"),
        ("name: mine", "name: 7", "line 1: a search space needs a 'name:' (a word)"),
        ("what it is", "[1]", "line 2: about: a sentence is expected, found [1]"),
        ("crossentropy", "{}", "line 13: loss: a gene has exactly one of choice, ordered, range; found none"),
    ],
)
def test_a_wrong_file_is_told_what_and_where(tmp_path, old, new, told):
    assert message(tmp_path, old, new).startswith(f"mine.yaml, {told}")


def test_a_wrong_name_in_a_condition_is_told_the_nearest(tmp_path):
    assert message(tmp_path, "{optimizer: sgd}", "{optimiser: sgd}").endswith("(did you mean 'optimizer'?)")


def test_a_key_twice_and_an_alias_are_refused_in_a_space(tmp_path):
    assert message(tmp_path, "  loss: crossentropy", "  rate: 1") == "mine.yaml, line 13: the key 'rate' stands here twice"
    told = message(tmp_path, "  loss: crossentropy", "  loss: *other")
    assert told == "mine.yaml, line 13: aliases (*name) are not supported; write the value out"


@pytest.mark.parametrize("text", ["", "just words", "[1, 2]", "name: a", "name: a\ngenes: {}", "name: a\ngenes: [1]"])
def test_what_is_no_space_at_all_is_refused(tmp_path, text):
    with pytest.raises(SpaceError, match=r"mine\.yaml"):
        read_space(write(tmp_path, text))


def test_a_name_and_genes_are_enough():
    space = read_space({"name": "mine", "genes": {"x": {"range": [0, 3]}}})
    assert not space.describes_networks
    assert space.size() == 4


def test_a_dictionary_may_hold_tuples_and_is_not_changed():
    given = {"name": "mine", "genes": {"x": {"choice": ("a", "b")}}}
    assert read_space(given).genes == {"x": Choice(("a", "b"))}
    assert given["genes"]["x"]["choice"] == ("a", "b")


def test_an_error_in_a_dictionary_names_the_space_and_the_key():
    with pytest.raises(SpaceError, match=r"^space: x: unknown key 'rnage' \(did you mean 'range'\?\)"):
        read_space({"name": "mine", "genes": {"x": {"rnage": [0, 3]}}})


def test_a_fraction_anywhere_makes_a_range_of_real_numbers():
    genes = {"a": {"range": [0, 2]}, "b": {"range": [0, 2.5]}, "c": {"range": [0, 2], "step": 0.5}}
    space = read_space({"name": "mine", "genes": genes})
    assert [space.genes[name].integer for name in "abc"] == [True, False, False]


def test_a_number_may_stand_alone_as_the_number_of_repetitions():
    space = read_space({"name": "mine", "groups": {"blocks": {"repeat": 3, "genes": {"x": 1}}}})
    assert space.groups["blocks"].repeat == Range(3, 3)
    assert space.size() == 1


def test_a_whole_number_in_a_condition_on_a_real_gene_can_hold():
    genes = {"rate": {"range": [0, 2.0], "step": 0.5}, "x": {"choice": ["a", "b"], "when": {"rate": 1}}}
    space = read_space({"name": "mine", "genes": genes})
    assert {"rate": 1.0, "x": "a"} in list(space.enumerate())


def test_the_digest_changes_with_the_genes_and_not_with_the_name():
    one = read_space({"name": "a", "genes": {"x": {"choice": [1, 2]}}})
    renamed = read_space({"name": "b", "about": "words", "genes": {"x": {"choice": [1, 2]}}})
    wider = read_space({"name": "a", "genes": {"x": {"choice": [1, 2, 3]}}})
    assert one.digest == renamed.digest
    assert one.digest != wider.digest


@pytest.mark.parametrize("name", shipped("search_spaces"))
def test_every_shipped_space_is_read_by_its_name(name):
    space = read_space(name)
    assert space.name == name
    assert space.about


def test_a_wrong_name_of_a_space_is_told_the_nearest_and_all():
    with pytest.raises(SpaceError, match=r"no search space 'cn' \(did you mean 'cnn'\?\)\n +shipped: .*cnn, connected"):
        read_space("cn")


def test_a_folder_is_no_space(tmp_path):
    with pytest.raises(SpaceError, match="is a folder; a search space is a YAML file"):
        read_space(tmp_path)
