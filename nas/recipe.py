"""The recipe: how a network is trained, as plain data.

Its fields are the training genes of a space, by the same names. `training/trainer.py`, `training/augment.py` and
`training/pixels.py` carry it out.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from nas.errors import BlueprintError, unknown

OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop", "muon")
LOSSES = ("crossentropy", "mse")
SCHEDULES = ("constant", "cosine", "onecycle")
FLIPS = ("none", "horizontal", "vertical", "both")


@dataclass(frozen=True)
class Recipe:
    """How to train. Augmentation fields are strengths from 0 (off) to 1, as parts of the picture, of a full turn, or of the
    pixel range, or chances. Raises BlueprintError for a value that is not allowed."""

    optimizer: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9  # sgd only
    weight_decay: float = 0.0  # decoupled, as in AdamW (Loshchilov & Hutter 2019)
    schedule: str = "cosine"  # `cosine`: to zero over the epochs of the job, after a short warm-up; `onecycle`: a long one
    ema: float = 0.0  # part of the averaged weights kept at each step (Polyak & Juditsky 1992); these are validated. 0: off
    batch_size: int = 64
    loss: str = "crossentropy"
    label_smoothing: float = 0.0
    flip: str = "none"
    shift: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    stretch: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    erasing: float = 0.0  # the chance that a rectangle of the picture is erased
    cutmix: float = 0.0  # the chance that a batch is mixed in this way
    mixup: float = 0.0  # or in this
    mixing_epochs: int = 0  # of a training from which on it is mixed so often; see `planned`
    randaugment: float = 0.0  # magnitude of two changes drawn at random (Cubuk et al. 2020)

    def __post_init__(self) -> None:
        for name, allowed in (("optimizer", OPTIMIZERS), ("loss", LOSSES), ("schedule", SCHEDULES), ("flip", FLIPS)):
            if getattr(self, name) not in allowed:
                raise BlueprintError(f"{name}: {unknown('value', getattr(self, name), allowed)}")
        _number("learning_rate", self.learning_rate, 1e-8, 100)
        _number("weight_decay", self.weight_decay, 0, 1)
        _number("momentum", self.momentum, 0, 0.9999)
        _number("ema", self.ema, 0, 0.99999)
        _number("label_smoothing", self.label_smoothing, 0, 0.9)
        if type(self.batch_size) is not int or not 1 <= self.batch_size <= 65_536:
            raise BlueprintError(f"batch_size is a whole number from 1 to 65,536; found {self.batch_size!r}")
        if type(self.mixing_epochs) is not int or not 0 <= self.mixing_epochs <= 10_000:
            raise BlueprintError(f"mixing_epochs is a whole number from 0 to 10,000; found {self.mixing_epochs!r}")
        for name in STRENGTHS:
            _number(name, getattr(self, name), 0, 1)
        if self.cutmix + self.mixup > 1 + 1e-9:  # parts of what was allowed may round up
            raise BlueprintError(f"cutmix and mixup are chances that exclude each other; found {self.cutmix} and {self.mixup}")

    def planned(self, epochs: int) -> Recipe:
        """The recipe of a training of so many epochs: in fewer than `mixing_epochs` batches are mixed less often, in a third of
        them or fewer never. Mixtures slow the learning of pictures that are seldom seen, and keep a network from knowing by
        heart those that are seen often."""
        if not self.mixing_epochs:
            return self
        none = self.mixing_epochs / 3
        part = min(1.0, max(0.0, (epochs - none) / (self.mixing_epochs - none)))
        return dataclasses.replace(self, mixup=self.mixup * part, cutmix=self.cutmix * part, mixing_epochs=0)

    def idle(self) -> set[str]:
        """What has no effect in this training."""
        found = {
            "momentum": self.optimizer != "sgd",
            "label_smoothing": self.loss != "crossentropy",
            "mixing_epochs": not self.cutmix and not self.mixup,
        }
        return {name for name, is_idle in found.items() if is_idle}

    def effective(self) -> Recipe:
        """The same training, described in one way: what has no effect in it is as by default."""
        defaults = Recipe().to_dict()
        return dataclasses.replace(self, **{name: defaults[name] for name in self.idle()})

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Recipe:
        """The inverse of `to_dict`. Raises BlueprintError for a field that does not exist."""
        foreign = [key for key in data if key not in RECIPE_GENES]
        if foreign:
            raise BlueprintError(unknown("training gene", foreign[0], RECIPE_GENES))
        return cls(**data)


RECIPE_GENES = tuple(field.name for field in dataclasses.fields(Recipe))
STRENGTHS = (
    *("shift", "rotation", "zoom", "shear", "stretch", "brightness", "contrast", "erasing"),
    *("cutmix", "mixup", "randaugment"),
)


def _number(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BlueprintError(f"{name} is a number from {low:g} to {high:g}; found {value!r}")
