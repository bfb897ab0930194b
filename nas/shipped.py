"""Files that come with the project: search spaces and configurations.

They lie beside the package in a checkout and inside it in an installed wheel; a name finds them in both.
"""

from __future__ import annotations

import os
from pathlib import Path

from nas.errors import InputError, did_you_mean, listing
from nas.paths import expanded

_PACKAGE = Path(__file__).parent


def shipped(folder: str) -> dict[str, Path]:
    """Name → file of everything shipped in `folder` (`search_spaces` or `configs`)."""
    for root in (_PACKAGE / folder, _PACKAGE.parent / folder):
        if root.is_dir():
            return {file.relative_to(root).with_suffix("").as_posix(): file for file in sorted(root.rglob("*.yaml"))}
    return {}


def shipped_file(folder: str, name: str, what: str, error: type[InputError], under: str = "") -> Path:
    """The file for a shipped name or a user's path. Raises `error`, which lists the names that begin with `under`, if there is
    neither."""
    known = shipped(folder)
    if name in known:
        return known[name]
    file = expanded(name)  # `os.path.isfile` and `isdir`, unlike those of `Path`, take a name that is too long
    if os.path.isfile(file):
        return file
    if os.path.isdir(file):
        raise error(f"'{name}' is a folder; a {what} is a YAML file")
    hint = did_you_mean(name, names := [each for each in known if each.startswith(under)])
    raise error(f"there is no {what} '{name}'{hint}\n       shipped: {listing(names)}; or give the path of a YAML file")
