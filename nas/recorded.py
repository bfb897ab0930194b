"""From what the study keeps of a candidate to its record: for the ledger, and for what is left of a damaged one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.messages import Record


def record_of(
    number: int, finished: bool, value: float | None, scores: Mapping[int, float], facts: Mapping[str, Any]
) -> Record:
    """A record from what the study keeps of a candidate: its value if it was trained to the end, its score after each epoch,
    and the facts that `add`, `progress`, `halve` and `tell` wrote. Raises KeyError if a fact is missing."""
    curve = tuple(score for _, score in sorted(scores.items()))
    outcome = facts.get("outcome", {}) if finished else {}
    retry = facts.get("retry", {})
    for name in ("genotype", "recipe"):
        if not isinstance(facts.get(name, {}), dict):
            raise TypeError(f"the {name} of candidate {number} is no mapping")
    state = outcome.get("state", "running")
    best = curve.index(max(curve)) + 1 if curve else 0
    if unvalidated(numbers(facts.get(f"epoch {len(curve)}", {}))):
        best = len(curve)
    if value is None and state != "infeasible" and curve:
        value = curve[best - 1]
    recipe = facts.get("recipe", {})
    so_far = sum(numbers(facts.get(f"epoch {epoch}", {})).get("seconds", 0.0) for epoch in range(1, len(curve) + 1))
    return Record(
        number=number,
        genotype=facts["genotype"],
        state=state,
        value=value,
        reason=outcome.get("reason", retry.get("reason", "")),
        parents=tuple(facts["parents"]),
        operator=facts["operator"],
        strategy=facts["strategy"],
        digest=facts["digest"],
        seconds=float(outcome.get("seconds", so_far)),
        curve=curve,
        metrics=numbers(facts.get(f"epoch {best}", {})),
        parameters=facts.get("parameters"),
        flops=facts.get("flops"),
        architecture=facts.get("architecture", ""),
        recipe={**recipe, "batch_size": retry["batch_size"]} if retry else recipe,
        refused=tuple((genotype, why) for genotype, why in facts.get("refused", ())),
    )


def unvalidated(metrics: Mapping[str, float]) -> bool:
    """Whether an epoch was one of a training without validation pictures, of which the last one counts and not the best."""
    return "train_accuracy" in metrics and "val_loss" not in metrics


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {str(name): float(value) for name, value in metrics.items()}
