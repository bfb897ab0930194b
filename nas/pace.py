"""What an epoch of a candidate takes, by those that it was trained."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from nas.messages import Metrics

START = "start"  # the metric of an epoch: seconds until its first batch was done, in the first epoch of a process
LATEST = 5  # epochs by which it is judged


def epoch_seconds(epochs: Sequence[Metrics]) -> float | None:
    """Seconds of one more epoch, without what comes before the first batch of a process: the network is traced then, and by
    JAX compiled, which takes longer than a short epoch itself. None if no epoch has told its seconds."""
    took = [metrics["seconds"] - metrics.get(START, 0.0) for metrics in epochs if "seconds" in metrics]
    return statistics.median(took[1:][-LATEST:] or took) if took else None
