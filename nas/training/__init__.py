"""The worker: `worker.py` (what a worker process is asked for), `trainer.py` (one fit), and a file for each of its parts.

Nothing here knows of strategies, ledgers or budgets, and nothing imports Optuna.
"""
