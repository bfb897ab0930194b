"""A user's own parts: a Python file outside the package that registers blocks, data sets, strategies or executors.

It is run once in the driver and once in every worker, so it should define and register, and do nothing else.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path

from nas.errors import ConfigError, NasError, RunError
from nas.paths import expanded


def load_of_run(files: Iterable[str], folder: Path) -> None:
    """Run the plugins that a run names. Its folder may come from somebody else: who looks at it must not run what lies in it.
    Raises RunError for a plugin that does, or ConfigError."""
    for file in files:
        if not Path(file).is_absolute() or Path(file).resolve().is_relative_to(folder.resolve()):
            raise RunError(f"names a plugin in a place that it may not have: {file}", str(folder / "run.yaml"))
        load(file)


def load(file: str) -> None:
    """Run a plugin file, once for each process. Raises ConfigError if it is missing or fails."""
    path = Path(os.path.realpath(expanded(file)))
    name = f"nas_plugin_{zlib.crc32(str(path).encode()):08x}_{path.stem}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if not os.path.isfile(path) or spec is None or spec.loader is None:
        raise ConfigError(f"there is no Python file '{file}'", "--plugin")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except NasError:
        del sys.modules[name]
        raise
    except (Exception, SystemExit) as problem:  # whatever the user's file raises
        del sys.modules[name]
        raise ConfigError(f"'{file}' fails: {type(problem).__name__}: {problem}", "--plugin") from None
