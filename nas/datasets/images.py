"""One picture from a file to raw pixels: the same function for training and for predicting.

The whole picture is squeezed to the model's size, as Keras's `image_dataset_from_directory` does by default: nothing is cut
off. A camera's orientation mark is obeyed, transparency is laid on white, deep grey scans are brought to 8 bits.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
_GREY = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L")


def is_image_file(file: Path) -> bool:
    return file.suffix.lower() in ENDINGS


# Pillow only warns of a picture of 90 to 180 million pixels; here it is refused, and a warning would be said for nothing.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


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
    if isinstance(problem, PermissionError | IsADirectoryError):
        return "cannot be read"
    if isinstance(problem, UnidentifiedImageError):
        return "is not a JPEG, PNG, BMP or WebP picture"
    return f"is damaged ({str(problem).splitlines()[0] if str(problem) else type(problem).__name__})"


def measure(file: Path) -> tuple[int, int, bool]:
    """Width, height and whether it is grey, from the header alone. Raises what Pillow raises; `why` reads it."""
    with _open(file) as image:
        return image.width, image.height, image.mode in _GREY


def decode(file: Path, height: int, width: int, channels: int) -> np.ndarray:
    """uint8 [height, width, channels], channels 1 or 3. Raises what Pillow raises; `why` reads it."""
    with _open(file) as image:
        image.draft("RGB" if channels == 3 else "L", (2 * width, 2 * height))  # a JPEG is decoded near the size needed
        return fit(ImageOps.exif_transpose(image), height, width, channels)


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
