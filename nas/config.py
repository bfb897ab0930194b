"""The settings of a search, checked: from the command line, from a configuration file, from Python.

Names are those of the options (`--train-part` is `train_part`). A file may hold any of them; an option beats the file, and
the file beats the defaults here. `searching.py` takes it from there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from nas.errors import ConfigError, unknown
from nas.machine import workers_with_room
from nas.messages import Cluster
from nas.shipped import shipped_file
from nas.yamlfile import Document, read

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}
PRESETS = ("quick", "standard", "thorough")  # shipped configurations of how long each candidate is trained
EPOCHS = 10_000  # of a training, at most
GENOTYPE = "genotype"  # what a file of settings may hold beside them
# Settings that say the same: in one place the first beats the other.
SAME = {"train_part": "train_pictures", "epochs": "seen_pictures"}
SHIPPED = ("genetic", "optuna", "random")  # strategies
READ_BY = {"sampler": "optuna", "genetic": "genetic"}  # setting → the one of our strategies that reads it
OF_RAY = ("ray_address", "cpus_per_trial", "gpus_per_trial")
# What a run that goes on may change: how far it goes, what it refuses, and what is of the machine.
CHANGEABLE = (
    *("budget", "time", "workers", "threads", "keep", "max_params", "max_flops", "max_memory"),
    *("trial_time", "trial_memory", "hang_time", "data_dir"),
    *("executor", *OF_RAY),
)
_MOST = 10**18  # of an amount: what is larger is no limit, and would not be read back from `run.yaml`


def seconds(value: Any) -> Any:
    """`90`, `90s`, `30m`, `1.5h` or `1h30m` as seconds, `none` as no limit. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "none":
        return None
    text = value.strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smhd]|$)\s*", text[:40])
    if not parts or "".join(number + unit for number, unit in parts) != re.sub(r"\s", "", text):
        raise ValueError("a time such as 90s, 30m or 1h30m is expected")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def amount(value: Any) -> Any:
    """`500k`, `60M` or `2G` as a number, `none` as no limit. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "none":
        return None
    match = re.fullmatch(r"([0-9][0-9_,]*\.?[0-9]*)\s*([kmgb]?)", value.strip().lower())
    if not match:
        raise ValueError("a number such as 500000, 500k or 60M is expected")
    found = float(match[1].replace(",", "").replace("_", "")) * _FACTORS[match[2]]
    if found > _MOST:
        raise ValueError(f"a number up to {_MOST:.0e} is expected; 'none' is no limit")
    return round(found)


def _workers(value: Any) -> Any:
    """A number, as text too, or `auto`. Raises ValueError."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if value != "auto" and (type(value) is not int or not 1 <= value <= 1024):
        raise ValueError("a whole number from 1 to 1,024 or 'auto' is expected")
    return value


def _amount_or_auto(value: Any) -> Any:
    if value == "auto":
        return value
    found = amount(value)
    if found is not None and (not isinstance(found, int) or not 1 <= found <= _MOST):
        raise ValueError("bytes such as 2G, 'auto' or 'none' are expected")
    return found


def _whole_above_one(value: float) -> float:
    """Ray divides one CPU or GPU among several, but does not give one and a half."""
    if value > 1 and value != int(value):
        raise ValueError("a part of one, or a whole number, is expected")
    return value


def _one_or_several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_one_or_several)]
Amount = Annotated[Annotated[int, Field(gt=0, le=_MOST)] | None, BeforeValidator(amount)]
Seconds = Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, BeforeValidator(seconds)]


class _Known(BaseModel):
    """Settings of these names alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth(cls, value: Any, info: ValidationInfo) -> Any:
        """Where a setting is no truth value, `true` and `false` are words, and it says what it expects: `budget: true` would be
        1."""
        truth = type(value).__name__ in ("bool", "bool_")  # NumPy's own is no `bool`
        return str(value).lower() if truth and cls.model_fields[str(info.field_name)].annotation is not bool else value


class GeneticSettings(_Known):
    """Of the genetic strategy. `strategies/genetic.py` says what each does."""

    form: Literal["ageing", "generational"] = "ageing"
    population: int = Field(default=20, ge=2, le=10_000)
    tournament: int = Field(default=5, ge=1, le=10_000)
    crossover: float = Field(default=0.5, ge=0, le=1)
    mutations: int = Field(default=2, ge=1, le=100)
    adapt: bool = False
    finish: float = Field(default=0.0, ge=0, le=1)
    assist: bool = True
    pool: int = Field(default=40, ge=2, le=10_000)
    shrink: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _has_an_effect(self) -> GeneticSettings:
        for name in ("form", "population", "finish") if self.assist else ("pool",):
            if getattr(self, name) != GeneticSettings.model_fields[name].default:
                way = "add assist: false, or take it away" if self.assist else "take it away"
                raise ValueError(f"{name} has no effect with assist: {str(self.assist).lower()}; {way}")
        return self


class Settings(_Known):
    """Everything that decides a search. Written to `run.yaml`; `nas search --help` has each option in a sentence."""

    strategy: str = "genetic"
    sampler: str = "tpe"
    budget: int = Field(default=50, ge=1, le=1_000_000)
    time: Seconds = None
    space: str = "modern"
    dataset: str = "cifar10"
    data_dir: str | None = None
    image_size: int | None = Field(default=None, ge=4, le=1024)
    epochs: int | None = Field(default=None, ge=1, le=EPOCHS)  # None: so many that a candidate sees `seen_pictures`
    patience: int = Field(default=0, ge=0, le=EPOCHS)
    train_pictures: int = Field(default=30_000, ge=1, le=_MOST)  # of an epoch, at most, without `train_part`
    seen_pictures: int = Field(default=30_000, ge=1, le=_MOST)  # by a candidate in all, each as often as it is shown
    train_part: float | None = Field(default=None, gt=0, le=1)
    validation_part: float | None = Field(default=None, ge=0, lt=1)
    pruner: Literal["none", "asha", "median"] = "none"
    objective: Literal["accuracy", "balanced_accuracy", "f1", "auc", "loss"] = "accuracy"
    class_weight: Literal["none", "balanced"] = "none"
    start_from: Names = ()
    inherit: bool = False  # whether a child begins with its parent's weights
    retrain: bool = False
    tensorboard: bool = False  # logs for it, of every candidate
    seed: int = Field(default=0, ge=0, lt=2**31)
    workers: Annotated[int | Literal["auto"], BeforeValidator(_workers)] = 1
    threads: int | None = Field(default=None, ge=1, le=1024)
    executor: str = "processes"
    ray_address: str | None = None
    cpus_per_trial: Annotated[float, Field(gt=0, le=1024), AfterValidator(_whole_above_one)] = 1.0
    gpus_per_trial: Annotated[float, Field(ge=0, le=1024), AfterValidator(_whole_above_one)] = 0.0
    storage: str | None = None  # a PostgreSQL server whose study several drivers share
    study: str = Field(default="nas", min_length=1, max_length=200)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    max_params: Amount = None
    max_flops: Amount = 60_000_000
    max_memory: Amount = 4_000_000_000
    trial_time: Seconds = None
    trial_memory: Annotated[int | Literal["auto"] | None, BeforeValidator(_amount_or_auto)] = "auto"
    # At least 5 s: building a network takes some.
    hang_time: Annotated[Annotated[float, Field(ge=5, allow_inf_nan=False)] | None, BeforeValidator(seconds)] = 600
    keep: int = Field(default=5, ge=1, le=10_000)
    plugin: Names = ()
    genetic: GeneticSettings = GeneticSettings()

    @property
    def at_once(self) -> int:
        """Candidates that are trained at once; of `auto`, as many as there are cores and memory for."""
        return workers_with_room() if self.workers == "auto" else self.workers

    @property
    def cluster(self) -> Cluster:
        """Where a Ray cluster is, and what a candidate takes of it."""
        return Cluster(self.ray_address, self.cpus_per_trial, self.gpus_per_trial, self.trial_memory == "auto")


def _text(value: Any) -> Any:
    """Paths, which Python gives for names, as text."""
    if isinstance(value, list | tuple):
        return type(value)(map(_text, value))
    return str(value) if isinstance(value, Path) else value


def settings(
    file: str | Path | None = None, below: dict[str, Any] | None = None, preset: str | None = None, **options: Any
) -> Settings:
    """Settings from a configuration (a shipped name or a path) and from options; options that are None are not given.

    `below` holds defaults that differ from those here, such as the settings of a run that goes on: a `preset` beats them,
    then a file, then an option.

    Raises ConfigError naming file and line, or the option, for a key or value that is not allowed.
    """
    doc = Document({}, "options")
    if file is not None:
        doc = read(shipped_file("configs", str(file), "configuration", ConfigError), ConfigError)
        if not isinstance(doc.data, dict):
            raise ConfigError("a configuration is a mapping from settings to values", doc.name)
    if preset is not None:
        below = _beaten(below or {}, _preset(preset))
    given = {key: _text(value) for key, value in options.items() if value is not None}
    for source, names in ((doc.data, True), (given, False)):
        for key in source:
            if key == GENOTYPE and names:  # of a known network; `known.py` reads it
                continue
            place = doc.place(key) if names else None
            if key in GeneticSettings.model_fields:
                raise ConfigError(f"'{key}' is a setting of the genetic strategy, and stands under 'genetic:'", place)
            if key not in Settings.model_fields:
                raise ConfigError(unknown("setting", key, Settings.model_fields), place)
    for one, other in SAME.items():
        if given.keys() >= {one, other}:
            raise ConfigError(f"says the same as --{one.replace('_', '-')}; give one of them", f"--{other.replace('_', '-')}")
    try:
        written = {key: value for key, value in doc.data.items() if key != GENOTYPE}
        found = Settings(**_beaten(_beaten(below or {}, written), given))
    except ValidationError as problem:
        raise ConfigError(*_first(problem, doc, given)) from None
    for name, strategy in READ_BY.items():  # a file may be shared by several strategies, an option is for this search
        ignored = name in given and found.strategy in SHIPPED and found.strategy != strategy
        if ignored and getattr(found, name) != Settings.model_fields[name].default:
            raise ConfigError(f"is for --strategy={strategy}, and this is '{found.strategy}'", f"--{name}")
    # Of a run that goes on, whose settings are below, nothing is refused afterwards.
    if found.genetic.shrink and found.strategy == "genetic" and not found.inherit and "genetic" in {*given, *doc.data}:
        place = "--genetic" if "genetic" in given else f"{doc.place('genetic', 'shrink')}: genetic"
        raise ConfigError("shrink has no effect without --inherit; add that, or take it away", place)
    return found


def _beaten(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Settings over settings; what says the same as one of those above is dropped with the one it beats."""
    dropped = {one for pair in SAME.items() if above.keys() & set(pair) for one in pair}
    return {**{key: value for key, value in below.items() if key not in dropped}, **above}


def _preset(name: str) -> dict[str, Any]:
    if name not in PRESETS:
        raise ConfigError(unknown("preset", name, PRESETS), "--preset")
    found: dict[str, Any] = read(shipped_file("configs", name, "preset", ConfigError), ConfigError).data
    return found


def _first(problem: ValidationError, doc: Document, given: dict[str, Any]) -> tuple[str, str]:
    """The first thing that is wrong, and its place."""
    error = problem.errors()[0]
    path = [part for part in error["loc"] if isinstance(part, str) and not part.startswith("function-")]
    name = ".".join(path)
    if error["type"] == "extra_forbidden":
        message = unknown("setting", path[-1], (GeneticSettings if len(path) > 1 else Settings).model_fields)
    elif error["type"] == "model_type":
        found = "nothing" if error["input"] is None else repr(error["input"])
        message = f"settings by their names are expected under it; found {found}"
    else:
        message = f"{error['msg'].removeprefix('Value error, ')}; found {error['input']!r}"
    if path[0] in given:
        place = f"--{name.replace('_', '-')}"
    else:  # what is in neither comes from a run that goes on
        place = f"{doc.place(*path)}: {name}" if path[0] in doc.data else f"run.yaml: settings.{name}"
    return message[:1].lower() + message[1:], place
