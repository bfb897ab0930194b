"""What is kept away from Keras while it is loaded, and comes back."""

from __future__ import annotations

import importlib
import json
import sys

import pytest

from nas.quiet import unasked


def test_packages_are_away_for_as_long_as_it_takes() -> None:
    sys.modules.pop("wave", None)
    with unasked("wave", "json"):
        with pytest.raises(ImportError):
            importlib.import_module("wave")
        assert importlib.import_module("json") is json, "what is loaded already stays"
    assert importlib.import_module("wave").__name__ == "wave"
