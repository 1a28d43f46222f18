"""An image file's bytes as an array. Nothing in a file can run a program or fill the memory.

Every image comes upright, in RGB and 8 bits, whatever its format and mode.
"""

import io
import warnings

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

IMAGES = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")  # EPS would run Ghostscript
PIXELS = 35_000_000  # the most that an image may have: up to 900 MB while it is decoded (transparent WebP)
_TURNS = {  # by EXIF orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(content: bytes) -> np.ndarray:
    """An image as H×W×3 uint8: upright, 16 bits scaled to 8, transparency on white. Raises `ValueError` for anything
    that is none, or whose values have no defined range.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=IMAGES) as image:
                if image.width * image.height > PIXELS:
                    raise ValueError(f"{image.width}×{image.height} pixels are too many: scale it down")
                image.load()
                upright = image.transpose(_TURNS[turn]) if (turn := _orientation(image)) in _TURNS else image
                if image.mode[0] in "IF":
                    return _eight_bits(upright, image)
                if upright.has_transparency_data:
                    upright = upright.convert("RGBA")
                    page = Image.new("RGB", upright.size, "white")
                    page.paste(upright, mask=upright)
                    upright = page
                return np.asarray(upright.convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError(f"it has none of the formats {', '.join(IMAGES)}") from None
    except Exception as error:  # whatever a decoder raises is the file's fault
        raise ValueError(str(error) or type(error).__name__) from error


def squash(image: np.ndarray, size: int) -> np.ndarray:
    """H×W×3 uint8 as size×size×3, whatever its shape was."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged EXIF data tell no orientation; the image may be sound
        return None


def _eight_bits(upright: Image.Image, image: Image.Image) -> np.ndarray:
    """Grey values of 9 to 16 bits as H×W×3 uint8. Raises `ValueError` for floats and 32-bit integers: nobody can tell
    which of their values are black and white.
    """
    if not (image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")):
        kind = "floats" if image.mode == "F" else "32-bit integers"
        raise ValueError(f"its values are {kind}, whose range is not defined: convert it to 8 bits")
    tags = image.tag_v2 if image.format == "TIFF" else {}
    top = 2 ** int(tags.get(ExifTags.Base.BitsPerSample, (16,))[0]) - 1
    grey = (np.asarray(upright).astype(np.float32) * (255 / top)).round().clip(0, 255).astype(np.uint8)
    if isinstance(clear := image.info.get("transparency"), int):  # a PNG's grey value; white stands for it
        grey[np.asarray(upright) == clear] = 255
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:  # zero is white; Pillow minds that for 8 bits only
        grey = 255 - grey
    return np.stack([grey] * 3, axis=2)
