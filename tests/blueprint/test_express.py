"""From genotype to network and recipe: what each gene becomes, its summary, and which spaces describe no networks."""

import pytest

from nas.blueprint import Pictures, check_networks, express, summary
from nas.blueprint.blocks import BLOCKS, block_genes, register_block
from nas.blueprint.layers import Conv
from nas.errors import BlueprintError, SpaceError
from nas.recipe import Recipe
from nas.shipped import shipped
from nas.space import read_space

PICTURES = Pictures((8, 8, 1), 3, (10.0,), (4.0,))
CONV = {"block": "conv", "filters": 4}


def kinds(blueprint):
    return [node.layer.kind for node in blueprint.nodes]


def test_a_small_genotype_becomes_this_network_and_recipe():
    blueprint, recipe = express({"blocks": [CONV], "dense": [{"units": 6}], "optimizer": "sgd"}, PICTURES)
    assert kinds(blueprint) == [
        *("rescale", "conv", "activation", "pool"),
        *("global_pool", "dense", "activation"),
        *("dense", "activation"),
    ]
    assert list(blueprint.shapes.values())[-1] == (3,)
    assert blueprint.parameters == (9 * 4 + 4) + (4 * 6 + 6) + (6 * 3 + 3)
    assert recipe == Recipe(optimizer="sgd")


def test_pixels_are_rescaled_to_mean_zero_and_deviation_one():
    blueprint, _ = express({"blocks": []}, Pictures((8, 8, 2), 3, (10.0, 0.0), (4.0, 0.0)))
    rescale = blueprint.nodes[0].layer
    assert (rescale.scale, rescale.offset) == ((0.25, 1000.0), (-2.5, 0.0))


def test_a_bias_is_left_out_where_a_norm_follows():
    genes = {"norm": "batch"}
    blueprint, _ = express({"blocks": [{**CONV, **genes}], "dense": [{"units": 6, **genes}]}, PICTURES)
    biases = [node.layer.bias for node in blueprint.nodes if node.layer.kind in ("conv", "dense")]
    assert biases == [False, False, True]  # the output keeps its own


@pytest.mark.parametrize(
    ("output", "classes", "units", "activation"),
    [("softmax", 3, 3, "softmax"), ("sigmoid", 3, 3, "sigmoid"), ("binary", 2, 1, "sigmoid")],
)
def test_the_output_fits_the_classes(output, classes, units, activation):
    blueprint, _ = express({"blocks": [], "output": output}, Pictures((8, 8, 1), classes, (0.0,), (1.0,)))
    assert (blueprint.nodes[-2].layer.units, blueprint.nodes[-1].layer.type) == (units, activation)


def test_a_residual_block_adds_its_input_and_fits_its_channels():
    fitting, _ = express({"blocks": [{"block": "residual", "filters": 1, "pool": "none"}]}, PICTURES)
    assert kinds(fitting).count("conv") == 2
    changing, _ = express({"blocks": [{"block": "residual", "filters": 4, "pool": "stride"}]}, PICTURES)
    assert kinds(changing).count("conv") == 3
    assert changing.shapes["block1_add"] == (4, 4, 4)
    # two 3×3 and one 1×1 convolution without biases, three batch norms, the head
    assert changing.parameters == (9 * 4) + (9 * 16) + 4 + 3 * 16 + (4 * 3 + 3)


def test_a_dense_block_puts_channels_side_by_side():
    blueprint, _ = express({"blocks": [{"block": "dense", "filters": 4, "convs": 3, "pool": "none"}]}, PICTURES)
    assert [blueprint.shapes[name][-1] for name in ("block1_concat", "block1_concat2", "block1_concat3")] == [5, 9, 13]
    assert blueprint.parameters == 9 * 4 * (1 + 5 + 9) + 3 * 16 + (13 * 3 + 3)


def test_equal_networks_of_different_genotypes_have_one_digest():
    one, recipe = express({"blocks": [{**CONV, "pool": "max", "pool_size": 2}]}, PICTURES)
    other, equal = express({"blocks": [CONV], "head": "average", "head_dropout": 0.0, "mixing_epochs": 100}, PICTURES)
    assert (one.digest, recipe) == (other.digest, equal)


@pytest.mark.parametrize(
    ("genotype", "line"),
    [
        ({"blocks": []}, "no hidden layer"),
        ({"blocks": [{**CONV, "convs": 2}], "dense": [{"units": 6}]}, "C4x2-P | D6"),
        ({"blocks": [{**CONV, "kernel": 5, "pool": "stride", "convs": 2}]}, "C4k5-C4k5/2"),
        ({"blocks": [{"block": "residual", "filters": 1, "pool": "none"}]}, "C1x2-+"),
        ({"blocks": [CONV, {"block": "dense", "filters": 2, "convs": 1}]}, "C4-P | C2-&-P"),
        ({"blocks": [CONV], "dense": [{"units": 6}, {"units": 6}]}, "C4-P | D6 | D6"),
    ],
)
def test_the_summary_is_one_short_line(genotype, line):
    assert summary(express(genotype, PICTURES)[0]) == line


@pytest.mark.parametrize(
    ("genotype", "told"),
    [
        ({"blocks": [{"block": "cnov"}]}, "unknown block 'cnov' (did you mean 'conv'?)"),
        ({"blocks": [{"block": "conv"}]}, "the block 'conv' needs the gene 'filters'"),
        ({"blocks": [{**CONV, "filtres": 3}]}, "the block 'conv': unknown gene 'filtres' (did you mean 'filters'?)"),
        ({"blocks": [{**CONV, "pool": "min"}]}, "pool is one of none, max, average, stride; found 'min'"),
        ({"dense": [{"unit": 3}]}, "dense: unknown gene 'unit' (did you mean 'units'?)"),
        ({"output": "sofmax"}, "output: unknown value 'sofmax' (did you mean 'softmax'?)"),
        ({"blocks": [{"block": "stage", "depth": -1}]}, "depth is a whole number from 0 to 100; found -1"),
        ({"blocks": [{"block": "stage", "widen": 0}]}, "widen is a factor from 0.1 to 10; found 0"),
        (
            {"blocks": [{"block": "stage", "unit": "dense", "squeeze": 2}]},
            "squeeze is a part of the channels from 0 to 1; found 2",
        ),
        ({"blocks": [{"block": "stage", "unit": "residul"}]}, "unknown unit 'residul' (did you mean 'residual'?)"),
        ({"norm_momentum": 1}, "norm_momentum is a part from 0 to below 1; found 1"),
        ({"stem_filters": -3}, "filters is a whole number"),
        ({"optimiser": "adam"}, "unknown gene 'optimiser' (did you mean 'optimizer'?)"),
        ({"optimizer": "adma"}, "optimizer: unknown value 'adma' (did you mean 'adam'?)"),
    ],
)
def test_a_genotype_that_means_nothing_is_told_why(genotype, told):
    with pytest.raises(BlueprintError) as caught:
        express(genotype, PICTURES)
    assert str(caught.value).startswith(told)


def networks(genes=None, outer=None, **groups):
    blocks = {"blocks": {"repeat": [0, 2], "genes": {"filters": 8, **(genes or {})}}}
    return read_space({"name": "mine", "groups": {**blocks, **groups}, "genes": outer or {}})


@pytest.mark.parametrize("name", shipped("search_spaces"))
@pytest.mark.parametrize("shape", [(1, 1, 1), (8, 8, 1), (64, 64, 3)])
def test_every_shipped_space_describes_networks(name, shape):
    check_networks(read_space(name), Pictures(shape, 10, (127.0,) * shape[2], (64.0,) * shape[2]))


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (networks({"kernel": {"ordered": [3, 0]}}), "gene 'blocks.kernel' at 0: kernel is a whole number"),
        (networks({"kernle": {"ordered": [3, 5]}}), "the space 'mine': the block 'conv': unknown gene 'kernle'"),
        (networks({"dropout": {"choice": [0.5, 1.0]}}), "dropout is a part from 0 to below 1; found 1.0"),
        (networks({"dropout": {"choice": ["low", "high"]}}), "dropout is a part from 0 to below 1; found"),
        (networks({"convs": {"choice": ["one", "two"]}}), "convs is a whole number"),
        (networks({"convs": {"range": [0.5, 2.5]}}), "convs is a whole number"),
        (networks(outer={"batch_size": {"range": [0, 64]}}), "gene 'batch_size' at 0: batch_size is a whole number"),
        (networks(outer={"learning_rate": {"range": [0.0, 1.0]}}), "gene 'learning_rate' at 0.0: learning_rate is a number"),
        (
            networks(outer={"optimizer": {"choice": ["adam", True]}}),
            "gene 'optimizer' at True: optimizer: unknown value",
        ),
        (networks(outer={"speed": 3}), "unknown gene 'speed'"),
        (networks(blocsk={"repeat": 1, "genes": {"x": 1}}), "unknown group 'blocsk' (did you mean 'blocks'?)"),
    ],
)
def test_a_space_that_can_mean_no_network_is_told_its_gene(space, told):
    with pytest.raises(SpaceError) as caught:
        check_networks(space)
    assert str(caught.value).startswith("the space 'mine'")
    assert told in str(caught.value)


def test_binary_output_is_one_unit_for_two_classes_and_one_for_each_of_more():
    space = networks(outer={"output": {"choice": ["softmax", "binary"]}})
    check_networks(space)
    check_networks(space, PICTURES)
    many = express({"output": "binary"}, PICTURES)[0]
    assert many.digest == express({"output": "sigmoid"}, PICTURES)[0].digest
    two = express({"output": "binary"}, Pictures((8, 8, 3), 2, (1.0,) * 3, (1.0,) * 3))[0]
    assert two.shapes[two.nodes[-1].name] == (1,)


def test_a_block_of_ones_own_is_used_by_its_name_and_refused_twice():
    try:

        @register_block("test_widen")
        def widen(net, *, filters, times=2):
            net.conv(filters * times, 1)

        assert block_genes("test_widen")["times"] == 2
        blueprint, _ = express({"blocks": [{"block": "test_widen", "filters": 3}]}, PICTURES)
        assert blueprint.shapes["block1_conv"] == (8, 8, 6)
        with pytest.raises(BlueprintError, match="the block 'test_widen' is registered already"):
            register_block("test_widen")(widen)
    finally:
        BLOCKS._parts.pop("test_widen")


@pytest.mark.parametrize(
    ("wrong", "line", "told"),
    [
        ("kernel: {ordered: [3, 0]}", 6, "gene 'blocks.kernel' at 0: kernel is a whole number"),
        ("kernle: 3", 6, "unknown gene 'kernle' (did you mean 'kernel'?)"),
    ],
)
def test_a_gene_that_means_nothing_is_told_with_its_line(tmp_path, wrong, line, told):
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"name: mine\ngroups:\n  blocks:\n    repeat: [1, 2]\n    genes:\n      {wrong}\n      filters: 8\ngenes: {{}}\n"
    )
    with pytest.raises(SpaceError) as caught:
        check_networks(read_space(file))
    assert str(caught.value).startswith(f"{file}, line {line}: ")
    assert told in str(caught.value)


@pytest.mark.parametrize(("side", "stride"), [(8, 1), (32, 1), (45, 1), (48, 2), (64, 2), (90, 2), (128, 4), (224, 8)])
def test_a_stem_by_itself_leaves_about_32_pixels(side, stride):
    pictures = Pictures((side, side + 3, 3), 10, (127.0,) * 3, (64.0,) * 3)
    genotype = {"blocks": [], "stem_filters": 16, "stem_stride": "auto"}
    blueprint, _ = express(genotype, pictures)
    (stem,) = [node.layer for node in blueprint.nodes if isinstance(node.layer, Conv)]
    assert stem.stride == stride
    assert stem.kernel > stem.stride, "no pixel is left out"
    (asked,) = [
        node.layer for node in express({**genotype, "stem_kernel": 5}, pictures)[0].nodes if isinstance(node.layer, Conv)
    ]
    assert asked.kernel == max(5, stride + 1), "nor where the kernel is a gene, which knows nothing of the pictures"


@pytest.mark.parametrize(("stride", "kernel"), [(1, 3), (2, 3), (4, 5)])
def test_a_stem_leaves_no_pixel_out(stride, kernel):
    blueprint, _ = express({"blocks": [], "stem_filters": 16, "stem_stride": stride}, PICTURES)
    assert [node.layer.kernel for node in blueprint.nodes if isinstance(node.layer, Conv)] == [kernel]


def test_a_stride_that_is_no_number_is_told():
    with pytest.raises(BlueprintError, match="stride is a whole number from 1"):
        express({"blocks": [], "stem_filters": 8, "stem_stride": "two"}, PICTURES)
