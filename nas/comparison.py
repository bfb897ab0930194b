"""Who wins the comparison of a retraining: by mean scores, over seeds that all have, for the time that there is."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from nas.errors import counted
from nas.messages import Record
from nas.retrainparts import COMPARISON
from nas.retrainplan import RetrainPlan
from nas.timed import timed


def ends(records: Sequence[Record], pairs: Sequence[tuple[int, int]]) -> dict[int, dict[int, float | None]]:
    """Candidate → seed → score of the trainings that ended, None where one failed; `pairs` are candidate and seed of each."""
    found: dict[int, dict[int, float | None]] = {}
    for record, (number, seed) in zip(records, pairs, strict=False):
        if record.state in ("trained", "infeasible"):
            found.setdefault(number, {})[seed] = record.value if record.state == "trained" else None
    return found


def compared(ended: dict[int, dict[int, float | None]]) -> dict[int, list[float]]:
    """Candidate → its scores over the seeds (its first training, its second, …) that all candidates have; where there is none,
    of those with the most seeds.

    The score of a training that failed is None. Only those that failed least are compared: the others' good seeds were luck.
    """
    failed = {number: sum(score is None for score in found.values()) for number, found in ended.items()}
    told = {number: {seed: score for seed, score in found.items() if score is not None} for number, found in ended.items()}
    least = min((failed[number] for number, found in told.items() if found), default=0)
    scores = {number: found for number, found in told.items() if found and failed[number] == least}
    if not scores:
        return {}
    shared = set.intersection(*(set(found) for found in scores.values()))
    if shared:
        return {number: [found[seed] for seed in sorted(shared)] for number, found in scores.items()}
    most = max(map(len, scores.values()))
    return {number: list(found.values()) for number, found in scores.items() if len(found) == most}


def decided(
    plan: RetrainPlan,
    ended: dict[int, dict[int, float | None]],
    fitting: Mapping[int, float] | None = None,
    objective: str = "accuracy",
) -> tuple[RetrainPlan, list[str]]:
    """The plan with its winner, the one with the best mean score, and what there is to say of it; `ended` as by `ends`. With
    `fitting`, the epochs of each candidate that there is time for, the best for that time."""
    told = compared(ended)
    if not told:
        best = next((number for number in plan.candidates if None not in ended.get(number, {}).values()), plan.candidates[0])
        whose = "best of the search" if best == plan.candidates[0] else "best of the search that did not fail"
        failed = sum(map(len, ended.values()))
        words = "no training of the comparison came to its end in time"
        if failed:
            rest = "" if failed == plan.trainings else ", and the time was over before the others came to their end"
            words = f"of the comparison {counted(failed, 'training')} failed (see {COMPARISON}/leaderboard.csv){rest}"
        words = f"{words}: #{best}, the {whose}, is taken"
        return plan.model_copy(update={"winner": best}), [words]
    means = {number: statistics.mean(found) for number, found in told.items()}
    lines = []
    for number, found in told.items():
        spread = f" ± {statistics.stdev(found):.4f}" if len(found) > 1 else ""
        time = f"; about {counted(max(0, round(fitting[number])), 'epoch')} fit" if fitting else ""
        lines.append(f"#{number}: {means[number]:.4f}{spread} over {counted(len(found), 'seed')}{time}")
    for number in plan.candidates:
        if number not in told:
            lines.append(f"#{number} is left out: more of its trainings failed, or fewer came to their end in time")
    worth = {number: timed(mean, fitting[number], objective) for number, mean in means.items()} if fitting else means
    winner = max(worth, key=lambda number: worth[number])
    alone = len(plan.candidates) == 1
    most = ", which should reach most in the time," if means[winner] < max(means.values()) else ","
    lines.append(f"now {'it' if alone else f'the winner, #{winner}{most}'} is fitted on all training pictures")
    over = {number: len(found) for number, found in told.items()}
    return plan.model_copy(update={"winner": winner, "compared": means[winner], "over": over}), lines
