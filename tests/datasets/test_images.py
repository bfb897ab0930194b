"""One picture from a file to raw pixels: formats, modes, orientation, damage."""

from __future__ import annotations

import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.datasets import images
from nas.datasets.images import decode, measure, why
from tests.helpers import picture, save

RNG = np.random.default_rng(0)


def bomb(file: Path, side: int) -> Path:
    """A PNG whose header declares a size that no photograph has, and little behind it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return file


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".bmp", ".webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_format_decodes_grey_or_colour(tmp_path: Path, suffix: str, channels: int) -> None:
    file = save(picture(RNG, 30, 20), tmp_path / f"a{suffix}")
    pixels = decode(file, 16, 12, channels)
    assert pixels.shape == (16, 12, channels)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_lossless_picture_of_the_right_size_is_left_as_it_is(tmp_path: Path, suffix: str) -> None:
    pixels = picture(RNG, 9, 11)
    np.testing.assert_array_equal(decode(save(pixels, tmp_path / f"a{suffix}"), 9, 11, 3), pixels)


def test_jpeg_scaled_down_keeps_its_colours(tmp_path: Path) -> None:
    pixels = np.zeros((400, 300, 3), np.uint8)
    pixels[:200], pixels[200:] = (200, 30, 30), (30, 30, 200)
    small = decode(save(pixels, tmp_path / "a.jpg", quality=95), 8, 8, 3).astype(int)
    assert np.abs(small[0] - (200, 30, 30)).max() < 12
    assert np.abs(small[-1] - (30, 30, 200)).max() < 12


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2] = (10, 20, 30, 255)
    found = decode(save(pixels, tmp_path / "a.png"), 4, 4, 3)
    assert found[0, 0].tolist() == [10, 20, 30]
    assert found[3, 0].tolist() == [255, 255, 255]


def test_palette_keeps_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (6, 6), 1)
    image.putpalette([0, 0, 0, 250, 120, 5])
    image.save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", 6, 6, 3)[0, 0].tolist() == [250, 120, 5]


def test_palette_with_transparency_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (6, 6), 1)
    image.putpalette([0, 0, 0, 250, 120, 5])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "a.png", transparency=0)
    found = decode(tmp_path / "a.png", 6, 6, 3)
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[3, 3].tolist() == [250, 120, 5]


def test_sixteen_bits_are_brought_to_eight(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    found = decode(tmp_path / "a.png", 4, 4, 1)[..., 0]
    assert np.abs(found.astype(int) - ramp / 257).max() <= 1


def test_dark_sixteen_bit_picture_stays_dark(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 200, np.uint16)).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", 4, 4, 1).max() <= 1


def test_orientation_mark_is_obeyed(tmp_path: Path) -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 255  # left half white; turned by 90° clockwise, the upper half is
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decode(save(pixels, tmp_path / "a.jpg", exif=exif, quality=95), 40, 20, 3)
    assert found[:15].min() > 200
    assert found[25:].max() < 50


@pytest.mark.parametrize(("mode", "grey"), [("L", True), ("1", True), ("LA", True), ("RGB", False), ("P", False)])
def test_measure_tells_size_and_grey(tmp_path: Path, mode: str, grey: bool) -> None:
    Image.new(mode, (7, 5)).save(tmp_path / "a.png")
    assert measure(tmp_path / "a.png") == (7, 5, grey)


def test_damaged_orientation_mark_says_nothing_and_the_user_hears_of_no_warning(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    pixels = picture(RNG, 20, 40)
    whole = save(pixels, tmp_path / "a.webp", exif=exif, lossless=True).read_bytes()
    start = whole.index(b"MM\x00*")
    for at in (0, 26):  # the byte order, and how many values the mark has
        damaged = bytearray(whole)
        damaged[start + at : start + at + 2] = b"??"
        (tmp_path / "a.webp").write_bytes(bytes(damaged))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            images.be_quiet()
            np.testing.assert_array_equal(decode(tmp_path / "a.webp", 20, 40, 3), pixels)
        assert said == []


def reason(file: Path) -> str:
    with pytest.raises(Exception) as problem:
        decode(file, 8, 8, 3)
    return why(problem.value)


def test_reasons_are_in_plain_words(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no picture at all")
    whole = save(picture(RNG, 60, 60), tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (8, 8)).save(tmp_path / "other.jpg", format="GIF")
    assert reason(tmp_path / "empty.png") == "is not a JPEG, PNG, BMP or WebP picture"
    assert reason(tmp_path / "text.jpg") == "is not a JPEG, PNG, BMP or WebP picture"
    assert reason(tmp_path / "other.jpg") == "is not a JPEG, PNG, BMP or WebP picture"
    assert reason(tmp_path / "half.png").startswith("is damaged (")
    assert reason(tmp_path / "gone.png") == "does not exist"
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert reason(tmp_path / "loop.png") == "cannot be read (Too many levels of symbolic links)"
    assert reason(tmp_path) == "cannot be read (Is a directory)"
    assert why(ValueError("")) == "is damaged (ValueError)"
    assert why(MemoryError()) == "is too large for the memory there is"
    assert reason(bomb(tmp_path / "bomb.png", 60_000)) == "declares a size that no photograph has"
    assert reason(bomb(tmp_path / "small bomb.png", 11_000)) == "declares a size that no photograph has"


def test_threads_leave_the_warning_filters_as_they_were(tmp_path: Path) -> None:
    """Pictures are decoded in threads, and the filters belong to the whole process."""
    files = [save(picture(RNG, 30, 30), tmp_path / f"{index}.png") for index in range(200)]
    with warnings.catch_warnings():
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda file: decode(file, 8, 8, 3), files))
        assert list(warnings.filters) == before
