"""Seeds: every random number of a training run follows from (seed, candidate, what for, epoch) alone.

So a candidate is the same whatever ran before it, in whichever process, and an epoch the same after a restart.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np


def seed_of(*parts: int | str) -> int:
    """A 31-bit seed from numbers and words."""
    numbers = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in parts]
    return int(np.random.SeedSequence(numbers).generate_state(1)[0] >> 1)


def reset_generators(model: Any, *parts: int) -> None:
    """Set the state of every random layer (dropout, augmentation) of a Keras model from `parts`.

    No weights file holds these states, so a resumed run would otherwise draw other numbers than an undisturbed one.
    """
    states = [variable for variable in model.non_trainable_variables if variable.path.endswith("seed_generator_state")]
    for index, state in enumerate(states):
        state.assign(np.array([seed_of(*parts, index), seed_of(*parts, index, "low")], dtype="uint32"))
