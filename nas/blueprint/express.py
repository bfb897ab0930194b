"""From genotype to phenotype: a blueprint and a recipe.

A network is: rescaling of raw pixels, maybe a backbone that was trained before, a stem, the group `blocks` in order, a
flattening, the group `dense`, and the output.
Genes outside the groups belong to the whole network (`NETWORK_GENES`) or to the recipe (`nas/recipe.py`); nothing else is
allowed, and `check_networks` says so with file and line, before a search begins.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from nas.blueprint.backbone import backbone, picture_of
from nas.blueprint.blocks import BLOCKS, block_genes
from nas.blueprint.blueprint import Blueprint
from nas.blueprint.layers import Shape
from nas.blueprint.sketch import BATCH_MOMENTUM, Sketch
from nas.errors import BlueprintError, SpaceError, unknown
from nas.recipe import RECIPE_GENES, Recipe
from nas.space import Gene, Genotype, SearchSpace
from nas.space.space import flatten

BACKBONE = "backbone"  # the gene that names its file
SHARED_GENES = ("activation", "norm")  # for every block that knows them and has none of its own
NETWORK_GENES = (
    *("stem_filters", "stem_kernel", "stem_stride", *SHARED_GENES, "norm_momentum"),
    *(BACKBONE, "backbone_frozen", "backbone_stages"),
    *("head", "head_dropout", "output"),
)
DENSE_GENES = ("units", "activation", "norm", "dropout")
AUTO = "auto"  # of a gene that depends on the data
SIDE = 32  # pixels of a side behind a stem whose stride is `auto`
TRIED = 50  # random networks in which a gene must fail before it is at fault
OUTPUTS = ("softmax", "sigmoid", "binary")


@dataclass(frozen=True)
class Pictures:
    """What of the data a network and its recipe depend on: shape of a picture, number of classes, each channel's mean and
    standard deviation (in raw pixels, over the training part), and whether a picture means the same in a mirror."""

    shape: Shape
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirrored: bool = True


def express(genotype: Genotype, pictures: Pictures) -> tuple[Blueprint, Recipe]:
    """Draw the network of a genotype and read its recipe, in which `flip: auto` is horizontal where a picture means the same
    in a mirror, and without what has no effect. Raises BlueprintError for a gene or value that means nothing."""
    net = Sketch(pictures.shape)
    scale = tuple(round(1 / max(std, 1e-3), 6) for std in pictures.std)
    offset = tuple(round(-mean * factor, 6) for mean, factor in zip(pictures.mean, scale, strict=True))
    net.rescale(scale, offset)
    whole = {name: genotype[name] for name in NETWORK_GENES if name in genotype}
    outside = [name for name, value in genotype.items() if not isinstance(value, list)]
    foreign = [name for name in outside if name not in (*NETWORK_GENES, *RECIPE_GENES)]
    if foreign:
        raise BlueprintError(unknown("gene", foreign[0], (*NETWORK_GENES, *RECIPE_GENES)))
    net.momentum = _momentum(whole.get("norm_momentum", BATCH_MOMENTUM))
    if BACKBONE in whole:
        backbone(net, whole[BACKBONE], whole.get("backbone_frozen", True), whole.get("backbone_stages", 0))
    _stem(net, whole)
    shared = {name: whole[name] for name in SHARED_GENES if name in whole}
    for index, genes in enumerate(genotype.get("blocks", []), start=1):
        net.stage = f"block{index}_"
        _call(genes.get("block", "conv"), net, {key: value for key, value in genes.items() if key != "block"}, shared)
    net.stage = "head_"
    net.flatten(whole.get("head", "average"))
    net.dropout(whole.get("head_dropout", 0.0))
    for genes in genotype.get("dense", []):
        _dense(net, genes)
    net.stage = ""
    _output(net, whole.get("output", "softmax"), pictures.classes)
    recipe = {key: value for key, value in genotype.items() if key not in NETWORK_GENES and not isinstance(value, list)}
    if recipe.get("flip") == AUTO:
        recipe["flip"] = "horizontal" if pictures.mirrored else "none"
    return net.blueprint(), Recipe.from_dict(recipe).effective()


def _momentum(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise BlueprintError(f"norm_momentum is a part from 0 to below 1; found {value!r}")
    return float(value)


def _stem(net: Sketch, genes: dict[str, Any]) -> None:
    """A first convolution in front of all blocks; `stem_filters` of 0, or none, for none. `stem_stride: auto` leaves about SIDE
    pixels of larger pictures."""
    filters = genes.get("stem_filters", 0)
    if not filters:
        return
    net.stage, norm = "stem_", genes.get("norm", "batch")
    stride, kernel = genes.get("stem_stride", 1), genes.get("stem_kernel", 3)
    open_kernel = "stem_kernel" not in genes or stride == AUTO
    if stride == AUTO:
        stride = max(1, 2 ** round(math.log2(min(net.shape[:2]) / SIDE)))
    if open_kernel and type(stride) is type(kernel) is int:  # else `conv` says what is wrong with them
        kernel = max(kernel, stride + 1)  # no pixel is left out
    net.conv(filters, kernel, stride, bias=norm == "none")
    net.norm(norm).activation(genes.get("activation", "relu"))


def _call(block: str, net: Sketch, genes: dict[str, Any], shared: dict[str, Any]) -> None:
    allowed = block_genes(block)
    genes = {**{key: value for key, value in shared.items() if key in allowed}, **genes}
    foreign = [key for key in genes if key not in allowed]
    if foreign:
        raise BlueprintError(f"the block '{block}': {unknown('gene', foreign[0], allowed)}")
    missing = [key for key, default in allowed.items() if default is inspect.Parameter.empty and key not in genes]
    if missing:
        raise BlueprintError(f"the block '{block}' needs the gene '{missing[0]}'")
    try:
        BLOCKS[block](net, **genes)
    except BlueprintError:
        raise
    except Exception as problem:  # a user's own block can raise anything
        raise BlueprintError(f"the block '{block}' fails: {type(problem).__name__}: {problem}") from problem


def _dense(net: Sketch, genes: dict[str, Any]) -> None:
    foreign = [key for key in genes if key not in DENSE_GENES]
    if foreign:
        raise BlueprintError(f"dense: {unknown('gene', foreign[0], DENSE_GENES)}")
    norm = genes.get("norm", "none")
    net.dense(genes.get("units", 128), bias=norm == "none")
    net.norm(norm).activation(genes.get("activation", "relu")).dropout(genes.get("dropout", 0.0))


def _output(net: Sketch, output: str, classes: int) -> None:
    """`softmax`; `sigmoid`, one for each class; or `binary`, a single sigmoid for the second of two classes (of more classes,
    one for each)."""
    if output not in OUTPUTS:
        raise BlueprintError(f"output: {unknown('value', output, OUTPUTS)}")
    net.dense(1 if output == "binary" and classes == 2 else classes)
    net.activation("softmax" if output == "softmax" else "sigmoid")


def check_networks(space: SearchSpace, pictures: Pictures | None = None) -> None:
    """Try every gene of a space that describes networks at its extremes. Raises SpaceError naming the gene."""
    import random

    pictures = pictures or usual_pictures(space)
    for name in space.groups:
        if name not in ("blocks", "dense"):
            raise SpaceError(f"the space '{space.name}': {unknown('group', name, ('blocks', 'dense'))}")
    rng = random.Random(0)
    # With every group at its longest: a short one could hide what is wrong with all its genes.
    longest = partial(space.walk, lambda path, gene: gene.extremes()[-1] if path.endswith(".repeat") else gene.sample(rng))
    problem = _failing(longest, pictures)
    if problem:
        raise SpaceError(f"the space '{space.name}': {problem}", _place(space, problem))
    for path, gene in _all_genes(space):
        for value in gene.extremes():
            problem = _failing(partial(_with, space, path, value, rng), pictures)
            if problem:
                gene_path = path.replace(".0.", ".")
                message = f"the space '{space.name}', gene '{gene_path}' at {value!r}: {problem}"
                raise SpaceError(message, space.places.get(gene_path))


def usual_pictures(space: SearchSpace) -> Pictures:
    """Pictures to check a space with before there are data: small coloured ones, or what its backbone was trained on."""
    shape: Shape = (32, 32, 3)
    if BACKBONE in space.genes:
        try:
            shape = picture_of(str(space.genes[BACKBONE].extremes()[0]))
        except BlueprintError as problem:
            raise SpaceError(f"the space '{space.name}': {problem}", space.places.get(BACKBONE)) from None
    return Pictures(shape, 10, (127.0,) * shape[-1], (64.0,) * shape[-1])


def _failing(draw: Callable[[], Genotype | None], pictures: Pictures) -> str:
    """What is wrong with every one of many random networks; empty as soon as one is fine.

    Their other genes are random: a value is at fault only if it fails whatever those are.
    """
    found = ""
    for _ in range(TRIED):
        genotype = draw()
        found = _problem(genotype, pictures) if genotype is not None else ""
        if not found:
            return ""
    return found


def _place(space: SearchSpace, problem: str) -> str | None:
    """Where the gene stands that a message names as unknown."""
    named = re.search(r"unknown gene '(\w+)'", problem)
    return next((place for path, place in space.places.items() if named and path.split(".")[-1] == named[1]), None)


def _problem(genotype: Genotype, pictures: Pictures) -> str:
    """What is wrong with a genotype's network; empty if nothing."""
    try:
        express(genotype, pictures)
    except BlueprintError as problem:
        return str(problem)
    return ""


def _all_genes(space: SearchSpace) -> list[tuple[str, Gene]]:
    grouped = [(f"{name}.0.{key}", gene) for name, group in space.groups.items() for key, gene in group.genes.items()]
    repeats: list[tuple[str, Gene]] = [(f"{name}.repeat", group.repeat) for name, group in space.groups.items()]
    return [*space.genes.items(), *repeats, *grouped]


def _with(space: SearchSpace, wanted: str, value: Any, rng: Any, tries: int = 200) -> Genotype | None:
    """A random genotype in which one gene has one value; None if its conditions were never met in `tries`."""
    for _ in range(tries):
        genotype = space.walk(lambda path, gene: value if path == wanted else gene.sample(rng))
        if wanted in flatten(genotype):
            return genotype
    return None
