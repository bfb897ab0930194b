"""The worker: `worker.py` (what a worker process is asked for), `trainer.py` (one fit), and a file for each of its parts.

Nothing here knows of strategies, ledgers or budgets, and nothing imports Optuna.
"""

from nas.quiet import quietly

with quietly():
    import keras  # noqa: F401  loaded here once, before any module of this package asks for it
