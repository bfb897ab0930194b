"""One picture from a file to raw pixels: the same function for training and for predicting.

The whole picture is squeezed to the model's size, as Keras's `image_dataset_from_directory` does by default: nothing is cut
off. A camera's orientation mark is obeyed, transparency is laid on white, deep grey scans are brought to 8 bits.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from nas.errors import first_line

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
_GREY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L")


def hidden(name: str) -> bool:
    """Folders that programs leave behind, such as `.ipynb_checkpoints` and `__MACOSX`."""
    return name.startswith((".", "__"))


def files_below(folder: str | Path, onerror: Callable[[OSError], object] | None = None) -> list[Path]:
    """All files in a folder and in those below it, in order, but for hidden folders. A link to a folder stands for itself:
    nobody goes through it."""
    found: list[Path] = []
    for at, folders, names in os.walk(folder, onerror=onerror):
        folders[:] = [name for name in folders if not hidden(name)]
        found += [Path(at) / name for name in (*names, *(each for each in folders if os.path.islink(Path(at) / each)))]
    return sorted(found)


def is_image_file(file: Path) -> bool:
    return file.suffix.lower() in ENDINGS


_TURNS = {  # by the camera's mark
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def be_quiet() -> None:
    """Keep Pillow's warnings from the user: for the whole process, since pictures are decoded in threads."""
    # Of a picture of 90 to 180 million pixels it only warns; here it is refused.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    # Of a damaged orientation mark or animation; what cannot be decoded for it is refused with a reason.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


be_quiet()


def _open(file: Path) -> Image.Image:
    image = Image.open(file, formats=FORMATS)
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or 0):
        image.close()
        raise Image.DecompressionBombError
    return image


def why(problem: BaseException) -> str:
    """The reason of a failed decoding in a few words."""
    if isinstance(problem, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "declares a size that no photograph has"
    if isinstance(problem, FileNotFoundError):
        return "does not exist"
    if isinstance(problem, MemoryError):
        return "is too large for the memory there is"
    if isinstance(problem, UnidentifiedImageError):
        return "is not a JPEG, PNG, BMP or WebP picture"
    if isinstance(problem, OSError) and problem.strerror:  # of the system; Pillow's own have no number
        return f"cannot be read ({problem.strerror})"
    return f"is damaged ({first_line(problem)[:200]})"


def measure(file: Path) -> tuple[int, int, bool]:
    """Width, height and whether it is grey, from the header alone. Raises what Pillow raises; `why` reads it."""
    with _open(file) as image:
        return image.width, image.height, image.mode in _GREY


def decode(file: Path, height: int, width: int, channels: int) -> np.ndarray:
    """uint8 [height, width, channels], channels 1 or 3. Raises what Pillow raises; `why` reads it."""
    with _open(file) as image:
        image.draft("RGB" if channels == 3 else "L", (2 * width, 2 * height))  # a JPEG is decoded near the size needed
        return fit(_upright(image), height, width, channels)


def _upright(image: Image.Image) -> Image.Image:
    """Turned as the camera's orientation mark says; one that cannot be read says nothing."""
    image.load()  # a PNG has its mark behind the pixels
    try:
        mark = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a damaged one can raise anything
        return image
    return image.transpose(_TURNS[mark]) if mark in _TURNS else image


def fit(image: Image.Image, height: int, width: int, channels: int) -> np.ndarray:
    """A Pillow image as uint8 [height, width, channels]."""
    if image.mode in ("I", "F", "I;16", "I;16B", "I;16L"):
        deep = np.asarray(image, dtype=np.float32)
        top = 255.0 if image.mode in ("I", "F") and deep.max(initial=0) <= 255 else 65535.0
        image = Image.fromarray((np.clip(deep / top, 0, 1) * 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "La", "RGBa", "PA") or "transparency" in image.info:
        clear = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    image = image.convert("RGB" if channels == 3 else "L")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(image, dtype=np.uint8).reshape(height, width, channels)


def scaled(pixels: np.ndarray, height: int, width: int, channels: int) -> np.ndarray:
    """A picture in memory, uint8 [any, any, 1 or 3], as uint8 [height, width, channels]."""
    if pixels.shape == (height, width, channels):
        return pixels
    return fit(Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]), height, width, channels)
