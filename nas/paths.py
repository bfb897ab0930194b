"""Paths as a person types them, and where what can be made anew is kept."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """`~` as the home folder. Unlike `Path.expanduser`, an unknown user's is taken as it stands."""
    return Path(os.path.expanduser(path))


def cache_root() -> Path:
    """Where decoded pictures, backbones and what JAX compiled are kept: NAS_CACHE_DIR, or the user's cache folder."""
    own = os.environ.get("NAS_CACHE_DIR")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nas"
    return expanded(own) if own else base
