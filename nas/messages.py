"""What travels between the driver, the workers and the user: frozen rows without behaviour.

The driver turns a genotype into a `Candidate`, sends a `Job` to a worker, hears `Progress` after each epoch (and a `Pulse`
in between) and one `Finished` with an outcome, and keeps a `Record`. Everything here can be pickled and knows neither Keras
nor Optuna.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from nas.blueprint import Blueprint, Pictures
from nas.recipe import Recipe
from nas.space import Genotype

Metrics: TypeAlias = dict[str, float]
"""Of one epoch: `val_accuracy` (0–1), `val_loss` (nats), `train_accuracy`, `train_loss` (what is minimised), `seconds`;
`val_<objective>` if that is another; of a process's first epoch `start`, the seconds that its first batches took."""

Content: TypeAlias = dict[str, Any]
"""Name of a file → its bytes, an array uint8 [bytes]."""

Refused: TypeAlias = tuple[tuple[Genotype, str], ...]
"""Genotypes that were turned down, each with the reason."""


@dataclass(frozen=True)
class DataRequest:
    """Which data to prepare: a name or a folder, the data directory, and the side of the square; see `nas.datasets`."""

    name: str
    folder: str | None = None
    image_size: int | None = None


@dataclass(frozen=True)
class DataCard:
    """What the driver knows of the data. The pictures themselves lie in the folder `cache`, where workers map them."""

    name: str
    digest: str  # of the decoded training pictures and their labels
    classes: tuple[str, ...]
    shape: tuple[int, int, int]  # height, width, channels
    mean: tuple[float, ...]  # of each channel, in raw pixels 0–255
    std: tuple[float, ...]
    counts: tuple[int, ...]  # usable training pictures of each class, before the validation part is taken
    cache: str
    test: str  # where the test part is and how large; it stays closed during a search
    skipped: tuple[tuple[str, str], ...] = ()  # file and reason
    mirrored: bool = True  # whether a picture means the same in a mirror

    @property
    def pictures(self) -> Pictures:
        """What a network depends on."""
        return Pictures(self.shape, len(self.classes), self.mean, self.std, self.mirrored)


@dataclass(frozen=True)
class ScoreRequest:
    """A finished model and the data it is to be scored on. `card` is of the training part until the test part is opened."""

    model: str  # file
    data: DataRequest
    card: DataCard


@dataclass(frozen=True)
class Figure:
    """One figure of a score: its name, the class it is of (empty for all), and its interval where it has one."""

    name: str
    of: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Score:
    """What a model did on `pictures` test pictures; `confusion` counts [class, answered class]."""

    classes: tuple[str, ...]
    pictures: int
    figures: tuple[Figure, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def accuracy(self) -> Figure:
        return next(each for each in self.figures if each.name == "accuracy" and not each.of)


@dataclass(frozen=True)
class Candidate:
    """A proposal that was accepted. `blueprint` and `recipe` are None where somebody's own evaluator scores it.

    `refused` are the genotypes over a limit that the strategy proposed before it, each with the reason: they are kept with
    it, so that a strategy learns from them, after a restart as well.
    """

    number: int
    genotype: Genotype
    digest: str
    parents: tuple[int, ...] = ()
    operator: str = ""
    blueprint: Blueprint | None = None
    recipe: Recipe | None = None
    refused: Refused = ()


SEED, LAST_FIT = "seed ", "last fit"  # how the operators of trainings begin that belong to a retraining: of their parent
LONGEST = 1_000  # epochs of a training that has a time to keep


@dataclass(frozen=True)
class Limits:
    """What one candidate may take before it is ended; None for no limit."""

    time: float | None = None  # seconds of all its tries together
    memory: int | None = None  # bytes of its worker's own (not of files it has mapped)
    silence: float | None = None  # seconds without a sign of life


@dataclass(frozen=True)
class Cluster:
    """Where a Ray cluster is, and what one candidate takes of it."""

    address: str | None = None  # `auto` for the one that runs here, `ray://host:port`; None: one is started on this machine
    cpus: float = 1.0
    gpus: float = 0.0
    shared_memory: bool = True  # whether a candidate may have as much of a machine's memory as it has of its cores


@dataclass(frozen=True)
class Job:
    """All that a worker needs to train one candidate: a function of this alone, whatever machine it runs on (unless it has a
    time to keep)."""

    number: int
    blueprint: Blueprint
    recipe: Recipe
    data: DataCard
    epochs: int
    train_part: float  # of the training pictures that are left after the validation part
    validation_part: float  # 0: all are trained on, and the score is that of training
    seed: int
    threads: int
    precision: str  # `float32` or `bfloat16`
    patience: int  # epochs without a better score after which training ends; 0 for never
    objective: str  # what the score is, see `training/objectives.py`
    class_weight: str  # `none`, or `balanced`: rare classes count as much as common ones
    checkpoint: str  # file; written after every epoch, read when it is there
    model: str  # file; the trained model, written at the end
    inherits: str = ""  # file; the parent's model, whose weights it begins with where they fit
    shrink: float = 0.0  # the part of what it inherits that random weights take the place of
    heirs: bool = False  # whether others may begin with its weights, so that they are kept though it is stopped
    called: int | None = None  # the number that its model tells, where it is another candidate's training
    until: float | None = None  # when it should be over (by time.time): then `epochs` is where to begin, and the pace decides


@dataclass(frozen=True)
class Rehearsal:
    """A job to be tried out: a few steps, for at least so many seconds."""

    job: Job
    seconds: float = 0.0


@dataclass(frozen=True)
class Rehearsed:
    """What a rehearsal has shown."""

    start: float  # seconds until the first step and the first look at validation pictures were done
    step: float  # seconds of a later step
    look: float  # seconds of validation for one picture
    memory: int  # bytes that its worker held at most, looked at after each step
    gpu_memory: int = 0  # bytes that it held of a GPU at most


@dataclass(frozen=True)
class Trained:
    """Trained to the end, by plan or because it no longer improved. `value` is the score of the weights that are kept."""

    value: float


@dataclass(frozen=True)
class Stopped:
    """Ended by the pruner."""


@dataclass(frozen=True)
class Infeasible:
    """Could not be trained, and would not be if tried again: the reason is for the user to read."""

    reason: str


@dataclass(frozen=True)
class Lost:
    """Its process died, or gave no more sign of life; or its `place` went, a machine of a cluster. It may be tried again."""

    reason: str
    place: bool = False


@dataclass(frozen=True)
class OutOfMemory:
    """It wanted more memory than there is; it may be tried again with half the batch. `by_system`: the system ended it, which
    may have been for the sake of something else on this machine."""

    reason: str
    by_system: bool = False


@dataclass(frozen=True)
class Blocked:
    """Not the candidate is at fault but the machine (a full disk): whatever comes next would fail as well."""

    reason: str


Outcome: TypeAlias = Trained | Stopped | Infeasible | Lost | OutOfMemory | Blocked


@dataclass(frozen=True)
class Progress:
    """One epoch is over. `epoch` counts from 1; `value` is the score that strategies and pruners go by, higher is better."""

    number: int
    epoch: int
    value: float
    metrics: Metrics = field(default_factory=dict)


@dataclass(frozen=True)
class Pulse:
    """A sign of life within an epoch: `done` epochs, with the part of the one that is being trained."""

    number: int
    done: float


News: TypeAlias = Progress | Pulse
"""What a job says while it runs. The answer to a `Progress` is whether to go on; a `Pulse` waits for none."""


@dataclass(frozen=True)
class Finished:
    """A job is over. `seconds` is what its workers took, in this and earlier tries."""

    number: int
    outcome: Outcome
    seconds: float


@dataclass(frozen=True)
class Record:
    """One row of the ledger: what strategies, leaderboard and reports read.

    `value` is the best score so far (None before the first epoch), `curve` the score after each epoch, `metrics` those of the
    best epoch (without validation both are of the last); `reason` says why it is infeasible, or what else happened. `refused`
    is as in `Candidate`; rows in the state `refused` are no candidates but how a strategy is shown what was turned down.
    """

    number: int
    genotype: Genotype
    state: str
    value: float | None = None
    reason: str = ""
    parents: tuple[int, ...] = ()
    operator: str = ""
    strategy: str = ""
    digest: str = ""
    seconds: float = 0.0
    curve: tuple[float, ...] = ()
    metrics: Metrics = field(default_factory=dict)
    parameters: int | None = None
    flops: int | None = None
    architecture: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    refused: Refused = ()

    @property
    def epochs(self) -> int:
        """Epochs that were trained."""
        return len(self.curve)

    @property
    def finished(self) -> bool:
        return self.state in ("trained", "stopped", "infeasible")


@dataclass(frozen=True)
class Proposal:
    """What a strategy answers: a genotype, the numbers of the candidates it came from, and the word for how."""

    genotype: Genotype
    parents: tuple[int, ...] = ()
    operator: str = ""
