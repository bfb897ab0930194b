"""Stages: blocks of the modern networks, each a change of size and width followed by several equal units.

A stage begins with a 3×3 convolution to `widen` times the channels, by which (or by pooling behind it) the picture is halved;
then come `depth` units, each of which adds what it found to what it was given. They differ in the unit alone.
"""

from __future__ import annotations

from collections.abc import Callable

from nas.blueprint.blocks import POOLS, register_block
from nas.blueprint.sketch import Sketch
from nas.errors import BlueprintError

MOST_UNITS = 100  # in one stage
WIDTHS = 8  # channels come in multiples of this, which processors like
Unit = Callable[[], None]


@register_block("residual_stage")
def residual_stage(
    net: Sketch,
    *,
    widen: float = 2.0,
    depth: int = 1,
    kernel: int = 3,
    activation: str = "relu",
    norm: str = "batch",
    pool: str = "max",
    squeeze: float = 0.0,
    dropout: float = 0.0,
) -> None:
    """Two convolutions, added to their input (He et al. 2016, figure 2; without an activation behind the sum)."""
    channels = _enter(net, widen, activation, norm, pool)

    def unit() -> None:
        for _ in range(2):
            net.conv(channels, kernel, bias=norm == "none").norm(norm).activation(activation)

    _units(net, depth, unit, squeeze, dropout)


@register_block("dense_stage")
def dense_stage(
    net: Sketch,
    *,
    widen: float = 2.0,
    depth: int = 2,
    kernel: int = 3,
    activation: str = "relu",
    norm: str = "batch",
    pool: str = "max",
    squeeze: float = 0.0,
    dropout: float = 0.0,
) -> None:
    """Every convolution reads all before it, side by side (Huang et al. 2017, equation 2): each adds a quarter of the stage's
    channels."""
    channels = _enter(net, widen, activation, norm, pool)
    for _ in _count(depth):
        start = net.tip
        net.conv(_multiple(channels / 4), kernel, bias=norm == "none").norm(norm).activation(activation)
        net.join("concat", start, net.tip)
    net.squeeze(squeeze).dropout(dropout)


@register_block("inception_stage")
def inception_stage(
    net: Sketch,
    *,
    widen: float = 2.0,
    depth: int = 1,
    activation: str = "relu",
    norm: str = "batch",
    pool: str = "max",
    squeeze: float = 0.0,
    dropout: float = 0.0,
) -> None:
    """1×1, 3×3, twice 3×3 and pooling side by side, added to their input (Szegedy et al. 2017, section 3.2, simplified)."""
    channels = _enter(net, widen, activation, norm, pool)
    quarter = _multiple(channels / 4)

    def unit() -> None:
        start, ends = net.tip, []
        for convs in (0, 1, 2):
            net.tip = start
            net.conv(quarter, 1, bias=norm == "none").norm(norm).activation(activation)
            for _ in range(convs):
                net.conv(quarter, 3, bias=norm == "none").norm(norm).activation(activation)
            ends.append(net.tip)
        net.tip = start
        net.pool("max", 3, 1, "same").conv(quarter, 1, bias=norm == "none").norm(norm).activation(activation)
        net.join("concat", *ends, net.tip).conv(channels, 1, bias=norm == "none").norm(norm)

    _units(net, depth, unit, squeeze, dropout)


@register_block("separable_stage")
def separable_stage(
    net: Sketch,
    *,
    widen: float = 2.0,
    depth: int = 1,
    kernel: int = 3,
    activation: str = "relu",
    norm: str = "batch",
    pool: str = "max",
    squeeze: float = 0.0,
    dropout: float = 0.0,
) -> None:
    """Twice a convolution of each channel by itself and one across them (Chollet 2017, figure 5), added to their input."""
    channels = _enter(net, widen, activation, norm, pool)

    def unit() -> None:
        for _ in range(2):
            net.depthwise(kernel, bias=False).conv(channels, 1, bias=norm == "none").norm(norm).activation(activation)

    _units(net, depth, unit, squeeze, dropout)


@register_block("inverted_stage")
def inverted_stage(
    net: Sketch,
    *,
    widen: float = 2.0,
    depth: int = 1,
    kernel: int = 3,
    expansion: int = 4,
    activation: str = "relu",
    norm: str = "batch",
    pool: str = "max",
    squeeze: float = 0.0,
    dropout: float = 0.0,
) -> None:
    """Inverted bottlenecks: `expansion` times the channels, each convolved by itself, and back (Sandler et al. 2018,
    section 3.3)."""
    channels = _enter(net, widen, activation, norm, pool)

    def unit() -> None:
        net.conv(channels * expansion, 1, bias=norm == "none").norm(norm).activation(activation)
        net.depthwise(kernel, bias=norm == "none").norm(norm).activation(activation)
        net.conv(channels, 1, bias=norm == "none").norm(norm)

    _units(net, depth, unit, squeeze, dropout)


def _enter(net: Sketch, widen: float, activation: str, norm: str, pool: str) -> int:
    """The beginning of a stage; the channels that it has from there on."""
    if isinstance(widen, bool) or not isinstance(widen, int | float) or not 0.1 <= widen <= 10:
        raise BlueprintError(f"widen is a factor from 0.1 to 10; found {widen!r}")
    if pool not in POOLS:
        raise BlueprintError(f"pool is one of {', '.join(POOLS)}; found {pool!r}")
    channels = _multiple(net.shape[-1] * widen)
    net.conv(channels, 3, 2 if pool == "stride" else 1, bias=norm == "none")
    if pool in ("max", "average"):
        net.pool(pool, 2, 2)  # before norm and activation: they have a quarter to do
    net.norm(norm).activation(activation)
    return channels


def _units(net: Sketch, depth: int, unit: Unit, squeeze: float, dropout: float) -> None:
    """`depth` units, each added to its input."""
    for _ in _count(depth):
        start = net.tip
        unit()
        net.squeeze(squeeze)
        net.join("add", start, net.tip)
    net.dropout(dropout)


def _count(depth: int) -> range:
    if type(depth) is not int or not 0 <= depth <= MOST_UNITS:
        raise BlueprintError(f"depth is a whole number from 0 to {MOST_UNITS}; found {depth!r}")
    return range(depth)


def _multiple(channels: float) -> int:
    return max(WIDTHS, round(channels / WIDTHS) * WIDTHS)
