"""No genotype of a shipped space, drawn, mutated or crossed, gives an invalid network, whatever the shape of a picture."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.blueprint import Blueprint, Pictures, express
from nas.shipped import shipped
from nas.space import read_space
from nas.strategies.variation import crossed, mutated

COUNT = 10_000
SHAPES = [(1, 1, 1), (3, 5, 3), (8, 8, 1), (32, 32, 3), (64, 64, 3)]
PICTURES = [Pictures(shape, 10, (127.0,) * shape[2], (64.0,) * shape[2]) for shape in SHAPES]

SHIPPED = [read_space(name) for name in shipped("search_spaces") if name != "large"]  # which has the genes of `modern`
spaces = pytest.mark.parametrize("space", SHIPPED, ids=lambda space: space.name)


def assert_valid(space, genotype, pictures):
    """The genotype is in the space, and its network has an output for each class and no side below 1."""
    assert space.check(genotype) == genotype
    blueprint, _ = express(genotype, pictures)
    single = pictures.classes == 2 and genotype.get("output") == "binary"
    assert list(blueprint.shapes.values())[-1] == (1 if single else pictures.classes,)
    assert all(min(shape) >= 1 for shape in blueprint.shapes.values())
    assert blueprint.parameters > 0


@spaces
def test_ten_thousand_random_genotypes_are_valid(space):
    rng = random.Random(1)
    for index in range(COUNT):
        assert_valid(space, space.sample(rng), PICTURES[index % len(PICTURES)])


@spaces
def test_ten_thousand_children_are_valid(space):
    """Each child becomes a parent, so that faults would add up over hundreds of generations."""
    rng = random.Random(2)
    population = [space.sample(rng) for _ in range(20)]
    for index in range(COUNT):
        first, second = rng.sample(population, 2)
        child = crossed(space, first, second, rng) if index % 2 else mutated(space, first, rng)[0]
        assert_valid(space, child, PICTURES[index // 2 % len(PICTURES)])
        population[rng.randrange(len(population))] = child


@spaces
@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4)),
    classes=st.integers(2, 200),
)
def test_any_picture_and_number_of_classes_will_do(space, seed, shape, classes):
    pictures = Pictures(shape, classes, (127.0,) * shape[2], (64.0,) * shape[2])
    genotype = space.sample(random.Random(seed))
    assert_valid(space, genotype, pictures)
    blueprint, _ = express(genotype, pictures)
    assert Blueprint.from_dict(blueprint.to_dict()) == blueprint
