"""The worker: `worker.py` (what a worker process is asked for), `trainer.py` (one fit), and a file for each of its parts.

Nothing here knows of strategies, ledgers or budgets, and nothing imports Optuna.
"""

from nas.quiet import quietly, unasked

# Keras takes these along where they are installed, for wrappers and drawings that nothing here uses: a third of the
# time that it takes to load, and a hundred megabytes.
with quietly(), unasked("matplotlib", "pandas", "sklearn"):
    import keras  # noqa: F401  loaded here once, before any module of this package asks for it
