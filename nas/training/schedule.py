"""The learning rate over a training: a function of the part that is done, so that it comes to its end when the training does.

`cosine` rises shortly, then falls to zero along a cosine (Loshchilov & Hutter 2017, equation 5); `onecycle` rises longer. Where
time is what is given and not epochs, the trainer says again and again how many steps are left; the part that is done then
grows faster from where it is, or slower from further back, where more are left than was thought.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from nas.recipe import Recipe

# Schedule → part of the training in which the rate rises, and from which part of it. A short rise lets large rates begin at
# all (Goyal et al. 2017, section 2.2); a long one is the first half of a cycle (Smith & Topin 2019, section 4).
WARM_UP = {"cosine": (0.05, 0.1), "onecycle": (0.3, 0.04)}


class Rate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras ships no types
    """The learning rate of a recipe whose schedule is not constant, over `steps` batches."""

    def __init__(self, recipe: Recipe, steps: int) -> None:
        super().__init__()
        self.peak = recipe.learning_rate
        self.part, self.start = WARM_UP[recipe.schedule]
        # At step `since` the part `done` was; it grows by `pace` with each step.
        self.since, self.done, self.pace = (
            keras.Variable(value, trainable=False, dtype="float32") for value in (0.0, 0.0, 1 / max(1, steps))
        )

    @property
    def variables(self) -> tuple[Any, ...]:
        """What `replan` changes."""
        return self.since, self.done, self.pace

    def progress(self, step: Any) -> Any:
        """The part of the training that is done at a step, 0 to 1."""
        return ops.clip(self.done + (ops.cast(step, "float32") - self.since) * self.pace, 0.0, 1.0)

    def __call__(self, step: Any) -> Any:
        done = self.progress(step)
        rising = self.start + (1 - self.start) * done / self.part
        falling = 0.5 * (1 + ops.cos(math.pi * (done - self.part) / (1 - self.part)))
        return self.peak * ops.where(done < self.part, rising, falling)

    def replan(self, step: int, steps: int, done: float | None = None) -> None:
        """At `step`, so many more steps are left. `done` says what was done by then, if not what was planned."""
        done = float(self.progress(step)) if done is None else done
        self.since.assign(step)
        self.done.assign(done)
        self.pace.assign((1 - done) / max(1, steps))

    def get_config(self) -> dict[str, Any]:
        return {}  # never read: an optimizer is not saved as a Keras object
