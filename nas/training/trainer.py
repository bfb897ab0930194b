"""The shared trainer: one job, one Keras `fit`, one callback of ours.

`train(job, report)` is a function of the job alone: the same job gives the same curve, in one piece or resumed from its
checkpoint after any epoch; only where it has a time to keep, the pace decides how many epochs there are. After each epoch
`report` hears the score and answers whether to go on; in between it hears a pulse now and then, so that a worker that hangs is
noticed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from nas.datasets.cache import open_cache
from nas.datasets.split import split
from nas.errors import RunError
from nas.messages import LONGEST, Job, Outcome, Stopped, Trained
from nas.recipe import Recipe
from nas.training.augment import augmentation
from nas.training.averaging import averaged, averaging
from nas.training.batches import Batches, Targets, fed
from nas.training.epochs import Epochs, Report, reached
from nas.training.handover import save_model
from nas.training.model import build
from nas.training.muon import Muon
from nas.training.objectives import accuracy_metric, crossentropy_metric, objective_metrics, score
from nas.training.schedule import WARM_UP, Rate
from nas.training.seeds import seed_of
from nas.training.weights import load_checkpoint

VALIDATION_BATCH = 500  # at most; and at most four training batches, or a network that could be trained could not be validated
KINDS: dict[str, type[Any]] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "muon": Muon,
}


def train(job: Job, report: Report) -> Outcome:
    """Train one candidate. Its model is at `job.model` afterwards if it was trained to the end, or may have `heirs`.

    Raises what Keras raises for a network that cannot be built or trained; `worker.py` makes an outcome of it.
    """
    seed = seed_of(job.seed, job.number)
    images, labels = open_cache(job.data)
    train_index, validation_index = split(labels, job.seed, job.validation_part, job.train_part)
    network = build(job.blueprint, seed, job.precision, fast=True)
    outputs = int(network.output_shape[-1])
    hot = Targets(labels, outputs)
    if not len(validation_index) and job.recipe.ema:  # a look at a few: the average stands in for the weights meanwhile
        validation_index = train_index[:VALIDATION_BATCH]
    weights = class_weights(labels[train_index], len(job.data.classes)) if job.class_weight == "balanced" else None
    fitting = Batches(images, hot, train_index, job.recipe.batch_size, (job.seed, job.number), job.recipe, weights)
    validation = Batches(images, hot, validation_index, validation_batch(job.recipe)) if len(validation_index) else None
    model = with_augmentation(network, job.recipe, seed)
    optimizer = make_optimizer(job.recipe, job.epochs * len(fitting))
    compile_model(model, job.recipe, optimizer, outputs, job.blueprint.nodes[-1].layer, job.objective)
    epochs = Epochs(job, network, optimizer, fitting, report)
    if epochs.outcome is None:
        model.fit(
            fed(fitting),
            validation_data=fed(validation) if validation is not None else None,
            epochs=max(job.epochs, LONGEST),  # `Epochs` ends it
            initial_epoch=len(epochs.curve),
            shuffle=False,  # the order is ours
            callbacks=[epochs, *averaging(job.recipe)],
            verbose=0,
        )
    outcome = epochs.outcome or Trained(reached(job, epochs.curve))
    if isinstance(outcome, Trained) or (isinstance(outcome, Stopped) and job.heirs):
        save_model(job, epochs.best, _facts(job, epochs.curve))
    return outcome


def validation_batch(recipe: Recipe) -> int:
    """Pictures that are looked at at once in validation."""
    return min(VALIDATION_BATCH, 4 * recipe.batch_size)


def hand_over(job: Job) -> None:
    """Write the model of the weights kept in the job's checkpoint, whatever is still to be trained. Raises RunError."""
    network = build(job.blueprint, 0, job.precision, fast=True)
    optimizer = make_optimizer(job.recipe, 1)
    optimizer.build(network.trainable_variables)
    state = load_checkpoint(Path(job.checkpoint), network, optimizer)
    if state is None:
        raise RunError("is no checkpoint of this candidate", job.checkpoint)
    save_model(job, state[0], _facts(job, [score(job.objective, metrics) for metrics in state[1]["epochs"]]))


def _facts(job: Job, curve: list[float]) -> dict[str, Any]:
    number = job.number if job.called is None else job.called
    return {"number": number, "value" if job.validation_part else "train_accuracy": reached(job, curve), "epochs": len(curve)}


def with_augmentation(network: Any, recipe: Recipe, seed: int) -> Any:
    """The model that is fitted: raw uint8 pixels, augmentation, then the network, whose weights it shares."""
    pixels = keras.Input(network.input_shape[1:], dtype="uint8")
    pictures = keras.ops.cast(pixels, "float32")
    for layer in augmentation(recipe, seed):
        pictures = layer(pictures)
    return keras.Model(pixels, network(pictures))


def make_optimizer(recipe: Recipe, steps: int) -> Any:
    """The recipe's optimizer with its schedule over `steps` batches. Norms and biases are not decayed."""
    rate: Any = Rate(recipe, steps) if recipe.schedule in WARM_UP else recipe.learning_rate
    kind, options = KINDS[recipe.optimizer], {"learning_rate": rate, "weight_decay": recipe.weight_decay or None}
    if recipe.optimizer == "sgd":
        options |= {"momentum": recipe.momentum, "nesterov": True}
    if recipe.optimizer in ("adamw", "muon"):  # their own decay must be a number
        options["weight_decay"] = recipe.weight_decay
    if recipe.ema:
        kind, options = averaged(kind), {**options, "use_ema": True, "ema_momentum": recipe.ema}
    optimizer = kind(**options)
    for variable in rate.variables if isinstance(rate, Rate) else ():
        optimizer._track_variable(variable)  # else JAX compiles its value in, and a new plan would change nothing
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "alpha"])
    return optimizer


def class_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """float64 [classes]: what a picture of each weighs, so that all classes weigh the same and the pictures 1 on average."""
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts > 0, len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1)), 0.0)


def compile_model(model: Any, recipe: Recipe, optimizer: Any, outputs: int, last: Any, objective: str = "accuracy") -> None:
    """Loss by recipe and head: categorical cross-entropy behind softmax, binary behind sigmoid, or squared error."""
    softmax = last.type == "softmax"
    if recipe.loss == "mse":
        loss: Any = keras.losses.MeanSquaredError()
    elif softmax:
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing)
    else:
        loss = keras.losses.BinaryCrossentropy(label_smoothing=recipe.label_smoothing)
    metrics = [accuracy_metric(outputs), crossentropy_metric(outputs), *objective_metrics(objective, outputs)]
    # By `auto` JAX compiles everywhere, and TensorFlow not on a CPU, where XLA makes convolutions several times slower.
    model.compile(optimizer, loss, metrics=metrics, jit_compile="auto")
