"""The command line: `door.py` (the whole), `options.py` (what verbs share); the verbs: `search.py`, `look.py`, `models.py`,
`spaces.py`."""

from nas.cli import look, models, search, spaces  # noqa: F401  importing them enters their verbs
from nas.cli.door import app, main

__all__ = ["app", "main"]
