"""Cats and dogs: the pictures of the classic tutorial, in a folder `cats_dogs` of the data directory."""

from __future__ import annotations

from pathlib import Path

from nas.datasets.base import Files, Part, register_dataset
from nas.datasets.folder import load_folder
from nas.errors import DatasetError

_GET = (
    "take the Kaggle 'Dogs vs. Cats' pictures and lay them into cats_dogs/training_set/{cats,dogs} and"
    " cats_dogs/test_set/{cats,dogs} in the data directory (--data-dir or NAS_DATA_DIR)"
)


def _present(data_dir: Path | None) -> str | None:
    folder = data_dir / "cats_dogs" if data_dir else None
    return str(folder) if folder and folder.is_dir() else None


@register_dataset(
    "cats_dogs",
    about="photographs of cats and dogs of many sizes, 2 classes",
    test="the folder cats_dogs/test_set, or one picture in seven held out where there is none",
    get=_GET,
    listed=True,
    present=_present,
)
def cats_dogs(part: Part, data_dir: Path | None) -> Files:
    found = _present(data_dir)
    if found is None:
        raise DatasetError(f"is not on this machine.\n       To get it: {_GET}", "cats_dogs")
    return load_folder(Path(found), part)
