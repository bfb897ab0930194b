"""What a network sees in a picture: what `nas explain` does.

The class evidence is by occlusion (Zeiler & Fergus 2014, section 4.2): a patch of the data's mean colour is laid over one part
of the picture after the other, and where the probability of the answer falls, there it was seen. It needs no gradient, so it is
the same on every backend. Then come the first layer's filters, and the picture after every layer.
"""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from nas.answers import HandedOver
from nas.datasets import images
from nas.errors import InputError
from nas.export.opened import open_model
from nas.paths import target_of
from nas.preparing import interrupts_told
from nas.report.page import MADE
from nas.run import disk_told, write_whole
from nas.view import Plain, View

PATCH = 5  # the patch is a fifth of the picture's sides
STEPS = 16  # and lies at about so many places along each
TILE = 72  # pixels of a channel's picture in the sheet
MOST = 24  # channels of a layer that are shown, the strongest ones
ENDINGS = (".html", ".png")
SOFTWARE = "made by nas"  # in the facts of every such picture


@dataclass(frozen=True)
class Strip:
    """One row of the sheet: a title and pictures beside each other."""

    title: str
    tiles: tuple[Image.Image, ...]


def explain(model: str | Path, picture: str | Path, out: str | Path | None = None, view: View | None = None) -> Path:
    """Write a sheet about one picture, as `.html` or `.png` (default: `<picture>-seen.html` here). Raises InputError."""
    view = view or Plain()
    own = f"{os.fsencode(Path(picture).stem)[:120].decode(errors='ignore')}-seen.html"
    target = target_of(out if out is not None else own, "--out", MADE if str(out or own).endswith(ENDINGS[0]) else SOFTWARE)
    if target.suffix not in ENDINGS:
        raise InputError(f"a sheet is a page (.html) or a picture (.png); found '{target.suffix}'", f"--out {out}")
    if not os.path.isfile(picture):
        raise InputError("there is no such picture", str(picture))
    if os.path.exists(target) and os.path.samefile(target, picture):  # a sheet that is explained itself
        raise InputError("would be written over; give another file", f"--out {target}")
    with disk_told(), interrupts_told(view, "interrupted; nothing was written"):
        loaded = open_model(model)
        try:
            pixels = images.decode(Path(picture), *loaded.shape)
        except Exception as problem:  # a damaged file can make a codec raise anything
            raise InputError(images.why(problem), str(picture)) from None
        strips = list(sheet(loaded, pixels))
        title = f"{Path(picture).name}: what the network sees"
        write_whole(target, as_page(title, strips) if target.suffix == ".html" else as_png(strips))
    view.note(f"written: {target}")
    return target


def sheet(loaded: HandedOver, pixels: np.ndarray) -> Iterator[Strip]:
    """All rows for one picture, uint8 [height, width, channels]. Raises RunError for a model that is not Keras's."""
    from nas.training.insight import first_filters, seen

    chances = loaded.probabilities(pixels[np.newaxis])[0]
    order = np.argsort(-chances, kind="stable")[:2]
    tiles = [scaled(pixels, 4 * TILE)]
    words = []
    for place in order:
        tiles.append(heat(pixels, evidence(loaded, pixels, int(place)), 4 * TILE))
        words.append(f"{loaded.classes[place]}: {chances[place]:.1%}")
    title = f"the picture as the network gets it, and what speaks for (red) or against (blue): {', '.join(words)}"
    yield Strip(title, tuple(tiles))
    filters = first_filters(loaded)
    if filters is not None:
        count = filters.shape[-1]
        few = f", {MOST} of {count}" if count > MOST else ""
        yield Strip(
            f"the filters of the first layer{few}", tuple(_filter(filters[..., each]) for each in range(min(count, MOST)))
        )
    for layer in seen(loaded, pixels):
        height, width, channels = layer.channels.shape
        if height == width == 1:  # no picture any more
            continue
        shown = np.argsort(-np.abs(layer.channels).mean(axis=(0, 1)), kind="stable")[:MOST]
        few = f", the strongest {MOST}" if channels > MOST else ""
        title = f"{layer.name} ({layer.kind}): {height}×{width}, {channels} channels{few}"
        yield Strip(title, tuple(_channel(layer.channels[..., each]) for each in sorted(shown)))


def evidence(loaded: HandedOver, pixels: np.ndarray, place: int) -> np.ndarray:
    """float [height, width]: by how much the probability of the class at `place` falls where a pixel is covered, on average."""
    height, width, channels = pixels.shape
    mean = np.asarray(loaded.facts.get("mean") or [127.0] * channels).round().astype(np.uint8)
    tall, wide = max(1, height // PATCH), max(1, width // PATCH)
    tops = np.unique(np.linspace(0, height - tall, min(STEPS, height - tall + 1)).round().astype(int))
    lefts = np.unique(np.linspace(0, width - wide, min(STEPS, width - wide + 1)).round().astype(int))
    corners = [(top, left) for top in tops for left in lefts]
    covered = np.repeat(pixels[np.newaxis], len(corners), axis=0)
    for picture, (top, left) in zip(covered, corners, strict=True):
        picture[top : top + tall, left : left + wide] = mean
    whole = loaded.probabilities(pixels[np.newaxis])[0, place]
    falls = whole - loaded.probabilities(covered)[:, place]
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for fall, (top, left) in zip(falls, corners, strict=True):
        total[top : top + tall, left : left + wide] += fall
        count[top : top + tall, left : left + wide] += 1
    return total / np.maximum(count, 1)


def heat(pixels: np.ndarray, found: np.ndarray, size: int) -> Image.Image:
    """The picture in grey, red where something speaks for the class, blue where against it."""
    from matplotlib import colormaps

    top = max(float(np.abs(found).max()), 0.02)  # where next to nothing changes, nothing shall glow
    strength = np.clip(found / top, -1, 1)
    colours = colormaps["coolwarm"]((strength + 1) / 2)[..., :3]
    grey = np.repeat(pixels.mean(axis=-1, keepdims=True) / 255, 3, axis=-1)
    share = 0.75 * np.abs(strength)[..., np.newaxis]
    mixed = ((1 - share) * grey + share * colours) * 255
    return scaled(mixed.astype(np.uint8), size)


def scaled(pixels: np.ndarray, size: int) -> Image.Image:
    """A picture so large that its longer side has about `size` pixels, each pixel a square."""
    image = Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0])
    factor = max(1, size // max(image.size))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST).convert("RGB")


def _channel(values: np.ndarray) -> Image.Image:
    """One channel, the darkest its least value."""
    from matplotlib import colormaps

    low, high = float(values.min()), float(values.max())
    shares = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return scaled((colormaps["viridis"](shares)[..., :3] * 255).astype(np.uint8), TILE)


def _filter(weights: np.ndarray) -> Image.Image:
    """One filter [kernel, kernel, channels] in its colours, grey where it is 0."""
    top = max(float(np.abs(weights).max()), 1e-12)
    shown = ((weights / top + 1) / 2 * 255).astype(np.uint8)
    return scaled(shown if shown.shape[-1] == 3 else shown[..., :1], TILE)


def data_url(image: Image.Image, most: int = 0) -> str:
    """A picture as it can stand in a page; its longer side at most so many pixels, unless that is 0: then, as a photograph, by
    JPEG where that is smaller."""
    written = []
    if most:
        image.thumbnail((most, most))
    for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": 88}))[: 2 if most else 1]:
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        written.append((len(stream.getvalue()), kind, stream.getvalue()))
    _, kind, content = min(written)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def as_page(title: str, strips: Sequence[Strip]) -> str:
    """One HTML file with everything in it."""
    parts = []
    for strip in strips:
        tiles = "".join(f'<img src="{data_url(tile)}" alt="" width="{tile.width}">' for tile in strip.tiles)
        parts.append(f'<section><h3>{html.escape(strip.title)}</h3><div class="strip">{tiles}</div></section>')
    files = resources.files("nas.report")
    template = Template(files.joinpath("sheet.html").read_text(encoding="utf-8"))
    style = files.joinpath("page.css").read_text(encoding="utf-8")
    return template.substitute(title=html.escape(title), style=style, strips="\n".join(parts))


def as_png(strips: Sequence[Strip]) -> bytes:
    """One picture, the rows below each other."""
    gap, line, columns = 4, 18, 12
    rows: list[tuple[str, list[Image.Image]]] = []
    for strip in strips:
        for start in range(0, len(strip.tiles), columns):
            rows.append((strip.title if start == 0 else "", list(strip.tiles[start : start + columns])))
    wide = max(sum(tile.width + gap for tile in tiles) for _, tiles in rows) + gap
    wide = max(wide, columns * (TILE + gap) + gap)
    high = sum((line if title else 0) + max(tile.height for tile in tiles) + gap for title, tiles in rows) + gap
    whole = Image.new("RGB", (wide, high), "white")
    pen, top = ImageDraw.Draw(whole), gap
    for title, tiles in rows:
        if title:
            plain = title.replace("×", "x").encode("ascii", "replace").decode()  # Pillow's own font has no other letters
            pen.text((gap, top), plain, fill="black")
            top += line
        left = gap
        for tile in tiles:
            whole.paste(tile, (left, top))
            left += tile.width + gap
        top += max(tile.height for tile in tiles) + gap
    stream, about = io.BytesIO(), PngInfo()
    about.add_text("Software", SOFTWARE)
    whole.save(stream, "PNG", pnginfo=about)
    return stream.getvalue()
