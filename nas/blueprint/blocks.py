"""Blocks: each a function from genes to primitive layers, without Keras in it.

A new block is one function here (or in a `--plugin` file) with a `@register_block` line. Its keyword arguments are the genes
that a space may give it; an argument with a default may be left out of a space. `express.py` calls them; read that next.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from nas.blueprint.sketch import Sketch
from nas.errors import BlueprintError
from nas.registry import Registry

Block = Callable[..., None]
BLOCKS: Registry[Block] = Registry("block", BlueprintError)
register_block = BLOCKS.register

MOST_CONVS = 100  # in one block
POOLS = ("none", "max", "average", "stride")


@register_block("conv")
def conv(
    net: Sketch,
    *,
    filters: int,
    convs: int = 1,
    kernel: int = 3,
    padding: str = "same",
    activation: str = "relu",
    norm: str = "none",
    pool: str = "max",
    pool_size: int = 2,
    pool_stride: int = 2,
    dropout: float = 0.0,
) -> None:
    """Plain convolutions one after the other, then pooling: the block of VGG (Simonyan & Zisserman 2015, section 2.1)."""
    for last in _turns(convs):
        net.conv(filters, kernel, pool_stride if last and pool == "stride" else 1, padding, bias=norm == "none")
        net.norm(norm).activation(activation)
    _shrink(net, pool, pool_size, pool_stride)
    net.dropout(dropout)


@register_block("residual")
def residual(
    net: Sketch,
    *,
    filters: int,
    convs: int = 2,
    kernel: int = 3,
    activation: str = "relu",
    norm: str = "batch",
    pool: str = "max",
    pool_size: int = 2,
    pool_stride: int = 2,
    dropout: float = 0.0,
) -> None:
    """Convolutions with their input added to their output (He et al. 2016, figure 2); a 1×1 convolution fits the channels."""
    start = net.tip
    for last in _turns(convs):
        net.conv(filters, kernel, pool_stride if last and pool == "stride" else 1, bias=norm == "none").norm(norm)
        if not last:
            net.activation(activation)
    end, shape = net.tip, net.shape
    if net.shape_of(start) != shape:
        stride = pool_stride if pool == "stride" else 1
        net.tip = start
        net.conv(filters, 1, stride, bias=norm == "none").norm(norm)
        start = net.tip
    net.join("add", start, end).activation(activation)
    _shrink(net, pool, pool_size, pool_stride)
    net.dropout(dropout)


@register_block("dense")
def dense(
    net: Sketch,
    *,
    filters: int,
    convs: int = 2,
    kernel: int = 3,
    activation: str = "relu",
    norm: str = "batch",
    pool: str = "max",
    pool_size: int = 2,
    pool_stride: int = 2,
    dropout: float = 0.0,
) -> None:
    """Every convolution reads all before it, side by side (DenseNet, Huang et al. 2017, equation 2); `filters` is the
    number of channels that each one adds."""
    for _ in _turns(convs):
        start = net.tip
        net.conv(filters, kernel, bias=norm == "none").norm(norm).activation(activation)
        net.join("concat", start, net.tip)
    if pool == "stride":
        net.conv(net.shape[-1], kernel, pool_stride, bias=norm == "none").norm(norm).activation(activation)
    _shrink(net, pool, pool_size, pool_stride)
    net.dropout(dropout)


def _turns(convs: int) -> list[bool]:
    """One entry for each convolution of a block: whether it is the last."""
    if type(convs) is not int or not 1 <= convs <= MOST_CONVS:
        raise BlueprintError(f"convs is a whole number from 1 to {MOST_CONVS}; found {convs!r}")
    return [False] * (convs - 1) + [True]


def _shrink(net: Sketch, pool: str, size: int, stride: int) -> None:
    """Pooling at a block's end; with `stride` the last convolution has done it already."""
    if pool not in POOLS:
        raise BlueprintError(f"pool is one of {', '.join(POOLS)}; found {pool!r}")
    if pool in ("max", "average"):
        net.pool(pool, size, stride)


def block_genes(name: str) -> dict[str, Any]:
    """Gene → its default for one block; `inspect.Parameter.empty` where a space must give it."""
    return dict(_keywords(BLOCKS[name]))


@cache
def _keywords(block: Block) -> dict[str, Any]:
    import inspect

    parameters = inspect.signature(block).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
