"""Layers as plain data, as files and the ledger hold them, and back: what comes from a file is checked value by value."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from nas.blueprint.layers import ACTIVATIONS, Activation, Layer
from nas.errors import BlueprintError, unknown

KINDS: dict[str, type[Layer]] = {layer.kind: layer for layer in Layer.__subclasses__()}


def to_dict(layer: Layer) -> dict[str, Any]:
    """Plain data: `kind` and the layer's fields."""
    return {"kind": layer.kind, **vars(layer)}


def from_dict(data: dict[str, Any]) -> Layer:
    """The inverse of `to_dict`. Raises BlueprintError for a kind or field that does not exist, and for a value that a field
    cannot have: from a foreign file it would go on into code that is run (`export/code.py`)."""
    if data.get("kind") not in KINDS:
        raise BlueprintError(unknown("layer", data.get("kind"), KINDS))
    kind = KINDS[data["kind"]]
    names = {field.name for field in fields(kind)}
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key != "kind"}
    if set(values) - names:
        raise BlueprintError(f"{data['kind']}: {unknown('field', sorted(set(values) - names)[0], names)}")
    hints = get_type_hints(kind)
    wrong = next((name for name, value in values.items() if not _fits(value, hints[name])), None)
    if wrong is not None:
        raise BlueprintError(f"{data['kind']}: {values[wrong]!r} is no value of '{wrong}'")
    if kind is Activation and values.get("type", "relu") not in ACTIVATIONS:
        raise BlueprintError(unknown("activation", values["type"], ACTIVATIONS))
    return kind(**values)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a field's type: one of some words, a tuple of numbers, a number, a word, or yes or no."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(each, get_args(hint)[0]) for each in value)
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is hint
