"""Random damage: to text, to bytes, to pictures, to the files of a run. Each follows from the random numbers it is given."""

from __future__ import annotations

import io
import re
import shutil
import sqlite3
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

Mutation: TypeAlias = Callable[[bytes, Random], bytes]

NUMBERS = (
    *("-1", "0", "2", "100", "101", "1000", "100001", "0.5", "-0.0", "1e-320", "1e15", "1e400", "-1e400", "nan", ".nan", "inf"),
    *(".inf", "9" * 18, "9" * 30, "9" * 400, "9" * 5000, "1_000", "1,000", "0x10", "1e", "٣", "true", "'3'", "[3]", "5G", "9h"),
)
WORDS = (
    *("", "ü", "猫", "🍁", "\u202e", "\x00", "\x1b[31m", "\t", "\ufeff", "x" * 5000, "null", "~", "~/x", "..", "/"),
    *("~no-such-user", "~no-such-user/x"),
    *("!!python/object:os.system", "!!python/name:os.system", "!!set", "!!binary", "&a", "*a", "&a [*a, *a]", "<<", "<<: *a"),
    *("? ", "- -", "{", "}", "[", "]", "'", '"', "|", ">-", "%", "@", "`", "%TAG ! x", "---", "...", "#", ":", ",", ": :"),
    *('"\\0"', '"\\ud800"', '"\\UFFFFFFFF"', '"\\x"', "on", "0x10", "{}", "[]", "[[]]", "{a: {b: [c]}}", "name", "none"),
    *("conv", "repeat", "when", "range", "choice", "step", "log", "\r", "\x85", "\u2028", "\n", "\n\n- a\n", "{[a]: b}"),
)
NUMBER = re.compile(rb"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?")
WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")


def mutated(data: bytes, rng: Random, mutations: tuple[Mutation, ...], most: int = 3) -> bytes:
    """One to `most` mutations, one after the other."""
    for _ in range(rng.randint(1, most)):
        data = rng.choice(mutations)(data, rng)
    return data


def flip(data: bytes, rng: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64)) if data else 0):
        changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
    return bytes(changed)


def insert(data: bytes, rng: Random) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.randbytes(rng.choice((1, 2, 16, 300))) + data[at:]


def delete(data: bytes, rng: Random) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + data[at + rng.choice((1, 2, 16, 300)) :]


def cut(data: bytes, rng: Random) -> bytes:
    return data[: rng.randint(0, len(data))]


def overwrite(data: bytes, rng: Random) -> bytes:
    """A stretch of it becomes noise, or zeros as a disk gives back that lost power."""
    at, length = rng.randint(0, len(data)), rng.choice((4, 100, 4096, 100_000))
    return data[:at] + rng.choice((rng.randbytes(length), bytes(length))) + data[at + length :]


def replace(data: bytes, rng: Random) -> bytes:
    return rng.choice((b"", rng.randbytes(200), b"no such thing\n", b"\x00" * 1000, b"\xff\xfe\x00a", b"PK\x03\x04"))


def _lines(change: Callable[[list[bytes], Random], None]) -> Mutation:
    def apply(data: bytes, rng: Random) -> bytes:
        lines = data.split(b"\n")
        change(lines, rng)
        return b"\n".join(lines)

    return apply


def _delete_lines(lines: list[bytes], rng: Random) -> None:
    at = rng.randrange(len(lines))
    del lines[at : at + rng.choice((1, 1, 3, 10))]


def _duplicate_lines(lines: list[bytes], rng: Random) -> None:
    start, at = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[at:at] = lines[start : start + rng.choice((1, 1, 4))] * rng.choice((1, 1, 2, 500))


def _swap_lines(lines: list[bytes], rng: Random) -> None:
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def _indent(lines: list[bytes], rng: Random) -> None:
    at = rng.randrange(len(lines))
    lines[at] = rng.choice((lines[at].lstrip(), b" " + lines[at], b"  " + lines[at], b"\t" + lines[at]))


def _nest(lines: list[bytes], rng: Random) -> None:
    """A value becomes one that is many levels deep."""
    at, depth = rng.randrange(len(lines)), rng.choice((2, 30, 60, 3000))
    key, colon, value = lines[at].partition(b":")
    opened, closed = rng.choice(((b"[", b"]"), (b"{a: ", b"}"), (b"- ", b""), (b"? ", b"")))
    lines[at] = key + colon + b" " + opened * depth + value + closed * depth


def _instead(found: re.Pattern[bytes], texts: tuple[str, ...]) -> Mutation:
    def apply(data: bytes, rng: Random) -> bytes:
        places = [match.span() for match in found.finditer(data)]
        if not places:
            return data
        start, end = rng.choice(places)
        return data[:start] + rng.choice(texts).encode() + data[end:]

    return apply


number, word = _instead(NUMBER, NUMBERS), _instead(WORD, WORDS)
BYTES: tuple[Mutation, ...] = (flip, flip, insert, delete, cut, overwrite, replace)
TEXT: tuple[Mutation, ...] = (
    *(number, number, number, word, word, word),
    *map(_lines, (_delete_lines, _duplicate_lines, _swap_lines, _indent, _nest)),
    *(flip, insert, delete, cut),
)
JSON: tuple[Mutation, ...] = (number, number, word, word, flip, insert, delete)


def pictures(rng: np.random.Generator) -> dict[str, bytes]:
    """Real pictures by file name: each format with each of its modes, and with what else a camera writes into one."""
    pixels = rng.integers(0, 256, (24, 18, 4), dtype=np.uint8)
    colour, grey = Image.fromarray(pixels[..., :3]), Image.fromarray(pixels[..., 0])
    deep = Image.fromarray(rng.integers(0, 65536, (24, 18)).astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x8769] = 6, "maker", {0x9003: "2020:01:01 00:00:00"}
    made: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("colour.png", colour, {}),
        ("alpha.png", Image.fromarray(pixels), {}),
        ("grey.png", grey, {}),
        ("deep.png", deep, {}),
        ("palette.png", colour.convert("P"), {"transparency": bytes(range(256))}),
        ("bits.png", grey.convert("1"), {}),
        ("camera.png", colour, {"exif": exif, "icc_profile": b"profile" * 50}),
        ("colour.jpg", colour, {"exif": exif, "comment": "by a camera"}),
        ("grey.jpg", grey, {}),
        ("progressive.jpg", colour, {"progressive": True, "icc_profile": b"profile" * 50}),
        ("print.jpg", colour.convert("CMYK"), {}),
        ("colour.webp", colour, {"exif": exif}),
        ("exact.webp", Image.fromarray(pixels), {"lossless": True}),
        ("moving.webp", colour, {"save_all": True, "append_images": [colour.rotate(90), grey.convert("RGB")]}),
        ("moving.png", colour, {"save_all": True, "append_images": [colour.rotate(180)]}),
        ("colour.bmp", colour, {}),
        ("palette.bmp", colour.convert("P"), {}),
        ("alpha.bmp", Image.fromarray(pixels), {}),
    ]
    found = {}
    for name, image, options in made:
        stream = io.BytesIO()
        image.save(stream, {"jpg": "JPEG"}.get(name[-3:], name.rpartition(".")[2].upper()), **options)
        found[name] = stream.getvalue()
    return found


def cells(data: bytes, rng: Random) -> bytes:
    """A database that is whole for SQLite, with something else in one to three cells, or without some of its rows."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.text_factory = lambda raw: raw.decode(errors="replace")
        try:
            connection.deserialize(data)
            tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
            for _ in range(rng.randint(1, 3)):
                table = rng.choice([*tables, *["trials", "trial_user_attributes", "trial_values"] * 3])
                rows = connection.execute(f"select rowid, * from {table}").fetchall()
                names = [fact[1] for fact in connection.execute(f"pragma table_info({table})")]
                if not rows:
                    continue
                row, column = rng.choice(rows), rng.randrange(len(names))
                if rng.random() < 0.15:
                    connection.execute(f"delete from {table} where rowid = ?", row[:1])
                    continue
                text = str(row[column + 1]).encode()
                changed = mutated(text, rng, JSON).decode(errors="replace")
                value: Any = rng.choice((changed, changed, None, rng.choice(NUMBERS), rng.choice(WORDS), 2**62, b"\xff"))
                connection.execute(f"update or ignore {table} set {names[column]} = ? where rowid = ?", (value, row[0]))
            return connection.serialize()
        except (sqlite3.Error, UnicodeDecodeError, MemoryError):  # damaged before, or a cell that does not take it
            return flip(data, rng)


def members(data: bytes, rng: Random) -> bytes:
    """A whole zip, in which something else stands in one member, or which lacks one."""
    stream = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
            chosen = rng.choice([*old.namelist(), "nas.json", "nas.json"])
            for name in old.namelist():
                content = old.read(name)
                if name == chosen and rng.random() < 0.1:
                    continue
                how = JSON if name.endswith("json") else BYTES
                new.writestr(name, mutated(content, rng, how) if name == chosen else content)
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, RuntimeError):  # damaged before
        return flip(data, rng)
    return stream.getvalue()


SPECIAL: dict[str, tuple[Mutation, ...]] = {
    ".yaml": (*TEXT, overwrite, replace),
    ".csv": (*TEXT, overwrite, replace),
    ".db": (*BYTES, *[cells] * 9),
    ".keras": (*BYTES, *[members] * 9),
}


HAPPENS = ("removed", "a folder", "dangling", "a loop", "a link out", "another file", *["changed"] * 12)


def damage(folder: Path, name: str, outside: Path, rng: Random, happens: tuple[str, ...] = HAPPENS) -> str:
    """Something happens to a file or folder in `folder`; what, in a word. `outside` is where a link out of it leads."""
    path = folder / name
    what = rng.choice(happens)
    if what == "changed" and path.is_file():
        path.write_bytes(mutated(path.read_bytes(), rng, SPECIAL.get(path.suffix, BYTES), most=2))
        return what
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if what == "a folder":
        (path / "inside").mkdir(parents=True)
    elif what == "dangling":
        path.symlink_to("nowhere")
    elif what == "a loop":
        path.symlink_to(path.name)
    elif what == "a link out":
        path.symlink_to(outside)
    elif what in ("another file", "changed"):
        others = sorted(each for each in folder.iterdir() if each.is_file())
        path.write_bytes(rng.choice(others).read_bytes() if others else b"")
    return what
