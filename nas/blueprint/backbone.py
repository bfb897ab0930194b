"""The backbone: the layers of a network that was trained before, in front of the blocks of a new one.

A model file that `nas` wrote holds its blueprint beside its weights, so a backbone is primitive layers like any other, counted
like any other, for pictures of another size too; only that each node knows its origin. `training/backbone.py` fetches the
weights. Of a network of `keras.applications` such a file is made first, by `training/applications.py`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import zipfile
import zlib
from pathlib import Path

from nas.blueprint.blueprint import Blueprint, Node, Origin
from nas.blueprint.layers import Dropout, Rescale, Shape
from nas.blueprint.sketch import Sketch
from nas.errors import BlueprintError, counted
from nas.paths import cache_root, expanded
from nas.run import BEST

MEMBER = "nas.json"  # what a model file knows beside its network
MOST_FACTS = 10_000_000  # bytes of it; a few lines in a zip can stand for gigabytes
TRANSLATION = 1  # raised when that of applications changes: what was kept is made anew
_DATED = "metadata.json"  # of a model file: Keras writes there when it was saved


def is_application(name: object) -> bool:
    """Whether a backbone is called by a name of `keras.applications`, such as `MobileNetV2`, and no such file is there."""
    return isinstance(name, str) and re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) is not None and not expanded(name).exists()


def application_file(name: str) -> Path:
    """Where the model file of a network of `keras.applications` is kept, once it has been made."""
    return cache_root() / "backbones" / f"{name}-{TRANSLATION}.keras"


def picture_of(file: str) -> Shape:
    """The shape of the pictures that a backbone was trained on. Raises BlueprintError."""
    return _found(file)[2].picture


def backbone_digest(file: str) -> str:
    """Of the content of the model file that a backbone is. Raises BlueprintError."""
    return _found(file)[1]


def backbone(net: Sketch, file: object, frozen: object, stages: object) -> None:
    """Draw the first `stages` blocks (0: all) of the network in a model file or run folder, its stem included, its head left
    out. What is `frozen` drops nothing: it gives the same in training as afterwards. Raises BlueprintError if there is none, or
    if it does not fit the pictures."""
    if not isinstance(file, str):
        raise BlueprintError(f"backbone is a model file or a run folder; found {file!r}")
    if not isinstance(frozen, bool):
        raise BlueprintError(f"backbone_frozen is true or false; found {frozen!r}")
    if type(stages) is not int or stages < 0:
        raise BlueprintError(f"backbone_stages is a whole number from 0; found {stages!r}")
    path, digest, old, _ = _found(file)
    if old.picture[-1] != net.shape[-1]:
        theirs = counted(old.picture[-1], "channel")
        raise BlueprintError(f"the backbone '{file}' is for pictures of {theirs}, these have {net.shape[-1]}")
    net.stage = "backbone_"
    taken, known = _taken(old, stages), {"input": net.tip}
    if all(isinstance(node.layer, Rescale) for node in taken):
        raise BlueprintError(f"the network in '{file}' has no blocks to take")
    for node in taken:
        if isinstance(node.layer, Rescale) and node.inputs == ("input",):
            _rescale(net, node.layer)
        elif isinstance(node.layer, Dropout) and frozen:
            net.tip = known[node.inputs[0]]
        else:
            inputs = (known[name] for name in node.inputs)
            try:
                net.add(node.layer, *inputs, origin=Origin(str(path), digest, node.name, frozen))
            except BlueprintError as problem:
                words = f"the backbone '{file}' is for larger pictures ({problem}); take fewer of its blocks (backbone_stages)"
                raise BlueprintError(words) from None
        known[node.name] = net.tip


def learned_from(file: str) -> tuple[str | None, str | None]:
    """Name and digest of the pictures that a backbone was trained on, None where that is not known. Of the same pictures in
    another size the digest is another. Raises BlueprintError."""
    return _found(file)[3]


def _found(file: str) -> tuple[Path, str, Blueprint, tuple[str | None, str | None]]:
    path = application_file(file) if is_application(file) else expanded(file)
    path = (path / BEST if path.is_dir() else path).absolute()
    try:
        status = path.stat()
        return path, *_read(path, status.st_mtime_ns, status.st_size)
    except OSError as problem:
        raise BlueprintError(f"the backbone '{file}' cannot be read: {problem.strerror or problem}") from None


def _taken(old: Blueprint, stages: int) -> list[Node]:
    """The nodes in front of the head, as far as the block called `stages`."""
    names = [node.name for node in old.nodes]
    end = next((at for at, name in enumerate(names) if name.startswith("head_")), len(names))
    later = f"block{stages + 1}_"
    if stages:
        end = next((at for at, name in enumerate(names[:end]) if name.startswith(later)), end)
    return list(old.nodes[:end])


def _rescale(net: Sketch, wanted: Rescale) -> None:
    """The backbone sees pixels normalised as those it was trained on: what this network's own rescaling did is undone."""
    done = net.rescaling
    scale = tuple(round(new / old, 6) for new, old in zip(wanted.scale, done.scale, strict=True))
    pairs = zip(wanted.offset, done.offset, scale, strict=True)
    net.rescale(scale, tuple(round(new - old * factor, 6) for new, old, factor in pairs))


@functools.lru_cache(maxsize=8)
def _read(path: Path, changed: int, size: int) -> tuple[str, Blueprint, tuple[str | None, str | None]]:
    """Digest and blueprint of a model file, name and digest of its data; `changed` and `size` tell whether it is still the one
    that was read."""
    try:
        with zipfile.ZipFile(path) as archive:
            if MEMBER not in archive.namelist() or archive.getinfo(MEMBER).file_size > MOST_FACTS:
                raise BlueprintError(f"'{path}' was not made by nas")
            facts = json.loads(archive.read(MEMBER))
            if (damaged := archive.testzip()) is not None:  # reads all, here rather than after hours
                raise zipfile.BadZipFile(f"its part {damaged} is damaged")
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError) as problem:  # damaged
        raise BlueprintError(f"'{path}' cannot be read as a model: {problem}") from None
    if not isinstance(facts, dict) or "blueprint" not in facts:
        raise BlueprintError(f"'{path}' does not hold its blueprint: an earlier version of nas wrote it; train it anew")
    data = facts.get("data")
    known = (data.get("name"), data.get("digest")) if isinstance(data, dict) else (None, None)
    return digest_of(path), Blueprint.from_dict(facts["blueprint"]), known


def digest_of(path: Path) -> str:
    """Of the checksums of what a model file holds: the same when the same is written again. Raises OSError, BadZipFile."""
    with zipfile.ZipFile(path) as archive:
        held = sorted((info.filename, info.file_size, info.CRC) for info in archive.infolist() if info.filename != _DATED)
    return hashlib.sha256(json.dumps(held).encode()).hexdigest()[:12]
