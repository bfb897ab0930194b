"""What an epoch of a candidate takes, by those that it was trained."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from nas.messages import Metrics

START = "start"  # the metric of an epoch: seconds of a process's first batch, and of its first look at validation pictures
FINEST = 0.001  # seconds, to which they are rounded: no epoch takes none
LATEST = 5  # epochs by which it is judged
FORWARD = 1 / 3  # what a picture costs in validation, of what it costs in training


def epoch_seconds(*trainings: Sequence[Metrics]) -> float | None:
    """Seconds of one more epoch, by one or several trainings of the same network, without what their first ones took to begin:
    the network is traced then, and by JAX compiled, which takes longer than a short epoch itself. None if no epoch has told its
    seconds."""
    first: list[float] = []
    later: list[float] = []
    for epochs in trainings:
        took = [metrics["seconds"] - metrics.get(START, 0.0) for metrics in epochs if "seconds" in metrics]
        first, later = first + took[:1], later + took[1:][-LATEST:]
    return max(FINEST, statistics.median(later or first)) if first else None
