"""The one repair rule: a window larger than the picture gets `same` padding, a picture with a side of 1 is not shrunk."""

import pytest

from nas.blueprint import Sketch, check_networks
from nas.blueprint.sketch import MOST_LAYERS
from nas.errors import BlueprintError, SpaceError
from nas.space import read_space


def last(net):
    return net.blueprint().nodes[-1].layer


def test_a_window_that_fits_keeps_its_padding():
    net = Sketch((7, 7, 1)).conv(4, 7, padding="valid")
    assert (last(net).padding, net.shape) == ("valid", (1, 1, 4))


@pytest.mark.parametrize("picture", [(6, 6, 1), (6, 9, 1), (9, 6, 1)])
def test_a_kernel_larger_than_either_side_is_padded(picture):
    net = Sketch(picture).conv(4, 7, padding="valid")
    assert (last(net).padding, net.shape) == ("same", (*picture[:2], 4))


def test_a_pooling_window_larger_than_the_picture_is_padded():
    net = Sketch((2, 5, 1)).pool("max", 3, 2)
    assert (last(net).padding, net.shape) == ("same", (1, 3, 1))


@pytest.mark.parametrize("picture", [(1, 1, 3), (1, 9, 3), (9, 1, 3)])
def test_a_picture_with_a_side_of_one_is_not_shrunk(picture):
    net = Sketch(picture).pool("max", 2, 2)
    assert net.tip == "input"
    net.conv(4, 3, stride=2)
    assert (last(net).stride, net.shape) == (1, (*picture[:2], 4))


@pytest.mark.parametrize("picture", [(1, 1, 1), (3, 5, 3), (2, 64, 1), (224, 224, 3)])
@pytest.mark.parametrize("pool", ["max", "average", "stride"])
def test_no_number_of_poolings_goes_below_one(picture, pool):
    net = Sketch(picture)
    for _ in range(20):
        net.conv(2, 5, 3 if pool == "stride" else 1, padding="valid")
        if pool != "stride":
            net.pool(pool, 3, 3)
    assert min(net.shape) >= 1
    assert min(net.shape[:2]) == 1


@pytest.mark.parametrize(("channels", "groups"), [(16, 2), (8, 1), (24, 3), (12, 2), (7, 1), (1, 1), (22, 11), (13, 13)])
def test_a_group_norm_has_groups_of_eight_or_the_next_smaller_divisor(channels, groups):
    net = Sketch((4, 4, channels)).norm("group")
    assert last(net).groups == groups


def test_nothing_is_added_for_none_and_for_a_rate_of_zero():
    net = Sketch((4, 4, 1)).norm("none").dropout(0.0)
    assert net.tip == "input"


def test_names_carry_their_stage_and_are_counted():
    net = Sketch((8, 8, 1))
    net.stage = "block1_"
    net.conv(4, 3).conv(4, 3)
    net.stage = "block2_"
    net.conv(4, 3)
    assert [node.name for node in net.blueprint().nodes] == ["block1_conv", "block1_conv2", "block2_conv"]


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (lambda net: net.conv(0, 3), "filters is a whole number from 1 to 100,000; found 0"),
        (lambda net: net.conv(True, 3), "filters is a whole number from 1 to 100,000; found True"),
        (lambda net: net.conv(8, 3.0), "kernel is a whole number from 1 to 100,000; found 3.0"),
        (lambda net: net.conv(8, 3, 0), "stride is a whole number from 1 to 100,000; found 0"),
        (lambda net: net.conv(8, 3, padding="smae"), "unknown padding 'smae' (did you mean 'same'?)"),
        (lambda net: net.pool("maximum", 2, 2), "unknown pooling 'maximum'"),
        (lambda net: net.pool("max", "2", 2), "pool_size is a whole number from 1 to 100,000; found '2'"),
        (lambda net: net.pool("max", 2, 0), "pool_stride is a whole number from 1 to 100,000; found 0"),
        (lambda net: net.norm("bacth"), "unknown normalisation 'bacth' (did you mean 'batch'?)"),
        (lambda net: net.activation("rleu"), "unknown activation 'rleu' (did you mean 'relu'?)"),
        (lambda net: net.dropout(1.0), "dropout is a part from 0 to below 1; found 1.0"),
        (lambda net: net.dropout("none"), "dropout is a part from 0 to below 1; found 'none'"),
        (lambda net: net.flatten("flat"), "unknown flattening 'flat' (did you mean 'flatten'?)"),
        (lambda net: net.dense(0), "units is a whole number from 1 to 100,000; found 0"),
        (lambda net: net.dense(3), "dense needs a row of features; found the shape (4, 4, 1)"),
    ],
)
def test_what_means_nothing_is_told(draw, told):
    with pytest.raises(BlueprintError) as caught:
        draw(Sketch((4, 4, 1)))
    assert str(caught.value).startswith(told)


def test_a_network_has_an_end():
    net = Sketch((8, 8, 1))
    for _ in range(MOST_LAYERS):
        net.dropout(0.5)
    with pytest.raises(BlueprintError, match="a network has at most 3,000 layers"):
        net.dropout(0.5)


def test_a_space_of_endless_networks_is_told_by_its_check():
    endless = {"name": "endless", "groups": {"blocks": {"repeat": 100, "genes": {"filters": 8, "convs": 100}}}}
    with pytest.raises(SpaceError, match="at most 3,000 layers"):
        check_networks(read_space(endless))
