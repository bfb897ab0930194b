"""Paths as a person types them."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """`~` as the home folder. Unlike `Path.expanduser`, an unknown user's is taken as it stands."""
    return Path(os.path.expanduser(path))
