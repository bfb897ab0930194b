"""Strategies: `base.py` (what one is), one file each, `asking.py` (who asks them and refuses duplicates).

Each strategy's file is imported when it is first asked for: none loads Optuna or DEAP for the others.
"""

from __future__ import annotations

import importlib

from nas.config import SHIPPED, Settings
from nas.errors import ConfigError, unknown
from nas.space import SearchSpace
from nas.strategies.base import STRATEGIES, Strategy, register_strategy


def make_strategy(name: str, space: SearchSpace, seed: int, settings: Settings) -> Strategy:
    """The strategy of that name, ready to propose. Raises ConfigError for a name that is not known."""
    if name in SHIPPED:
        importlib.import_module(f"nas.strategies.{name}")
    elif name not in STRATEGIES:
        raise ConfigError(unknown("strategy", name, dict.fromkeys([*SHIPPED, *STRATEGIES.names()])), "--strategy")
    return STRATEGIES[name](space, seed, settings)


__all__ = ["SHIPPED", "Strategy", "make_strategy", "register_strategy"]
