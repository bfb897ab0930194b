"""The stage: the block of modern networks, a change of size and width followed by several equal units.

It begins with a 3×3 convolution to `widen` times the channels, by which (or by pooling behind it) the picture is halved; then
come `depth` units, each of which adds what it found to what it was given. A new unit is one function here, with a line in
`UNITS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nas.blueprint.blocks import POOLS, register_block
from nas.blueprint.sketch import Sketch
from nas.errors import BlueprintError, unknown

MOST_UNITS = 100  # in one stage
WIDTHS = 8  # channels come in multiples of this, which processors like


@dataclass(frozen=True)
class Pen:
    """A sketch with what all convolutions of a stage share."""

    net: Sketch
    channels: int
    kernel: int
    expansion: int
    activation: str
    norm: str

    def conv(self, filters: int, kernel: int, stride: int = 1) -> Pen:
        self.net.conv(filters, kernel, stride, bias=self.norm == "none")
        return self

    def depthwise(self) -> Pen:
        self.net.depthwise(self.kernel, bias=self.norm == "none")
        return self

    def normed(self, active: bool = True) -> Pen:
        self.net.norm(self.norm)
        if active:
            self.net.activation(self.activation)
        return self


def _residual(pen: Pen) -> None:
    """Two convolutions (He et al. 2016, figure 2), but the second activation stands before the sum instead of behind it; there,
    or left out, it was no better (docs/history.md)."""
    for _ in range(2):
        pen.conv(pen.channels, pen.kernel).normed()


def _inception(pen: Pen) -> None:
    """1×1, one and two larger convolutions, and pooling, side by side (Szegedy et al. 2017, section 3.2, simplified)."""
    net, start, quarter, ends = pen.net, pen.net.tip, _multiple(pen.channels / 4), []
    for convs in range(3):
        net.tip = start
        pen.conv(quarter, 1).normed()
        for _ in range(convs):
            pen.conv(quarter, pen.kernel).normed()
        ends.append(net.tip)
    net.tip = start
    net.pool("max", 3, 1, "same")
    pen.conv(quarter, 1).normed()
    net.join("concat", *ends, net.tip)
    pen.conv(pen.channels, 1).normed(active=False)


def _separable(pen: Pen) -> None:
    """Twice a convolution of each channel by itself and one across them (Chollet 2017, figure 5), and an activation before the
    sum."""
    for _ in range(2):
        pen.net.depthwise(pen.kernel, bias=False)
        pen.conv(pen.channels, 1).normed()


def _inverted(pen: Pen) -> None:
    """`expansion` times the channels, each convolved by itself, and back (Sandler et al. 2018, section 3.3)."""
    pen.conv(pen.channels * pen.expansion, 1).normed().depthwise().normed()
    pen.conv(pen.channels, 1).normed(active=False)


def _dense(pen: Pen) -> None:
    """A quarter of the stage's channels, to be set beside all before (Huang et al. 2017, equation 2)."""
    pen.conv(_multiple(pen.channels / 4), pen.kernel).normed()


UNITS: dict[str, Callable[[Pen], None]] = {
    "residual": _residual,
    "dense": _dense,
    "inception": _inception,
    "separable": _separable,
    "inverted": _inverted,
}


@register_block("stage")
def stage(
    net: Sketch,
    *,
    unit: str = "residual",
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
    """A change of size and width, then units, each added to its input; dense ones are set beside it. `expansion` is of inverted
    units alone."""
    if unit not in UNITS:
        raise BlueprintError(unknown("unit", unit, UNITS))
    if isinstance(widen, bool) or not isinstance(widen, int | float) or not 0.1 <= widen <= 10:
        raise BlueprintError(f"widen is a factor from 0.1 to 10; found {widen!r}")
    if pool not in POOLS:
        raise BlueprintError(f"pool is one of {', '.join(POOLS)}; found {pool!r}")
    if type(depth) is not int or not 0 <= depth <= MOST_UNITS:
        raise BlueprintError(f"depth is a whole number from 0 to {MOST_UNITS}; found {depth!r}")
    pen = Pen(net, _multiple(net.shape[-1] * widen), kernel, expansion, activation, norm)
    pen.conv(pen.channels, 3, 2 if pool == "stride" else 1)
    if pool in ("max", "average"):
        net.pool(pool, 2, 2)  # before norm and activation: they have a quarter to do
    pen.normed()
    for _ in range(depth):
        start = net.tip
        UNITS[unit](pen)
        net.squeeze(squeeze)
        net.join("concat" if unit == "dense" else "add", start, net.tip)
    net.dropout(dropout)


def _multiple(channels: float) -> int:
    return max(WIDTHS, round(channels / WIDTHS) * WIDTHS)
