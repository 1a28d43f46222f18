"""The few pictures that are kept of an experiment: strips of square tiles, as PNG, which `compare` cuts up again."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from lineage.files import write_bytes


def write_strip(path: Path, tiles: np.ndarray) -> None:
    """N×S×S×3 uint8 tiles side by side."""
    content = io.BytesIO()
    Image.fromarray(np.concatenate(list(tiles), 1)).save(content, "PNG", optimize=True)
    write_bytes(path, content.getvalue())


def read_strip(path: Path) -> np.ndarray:
    """The tiles of a strip, N×S×S×3."""
    strip = np.asarray(Image.open(path))
    return np.stack(np.split(strip, strip.shape[1] // strip.shape[0], 1))


def filters(weight: np.ndarray) -> np.ndarray:
    """A first layer's kernels (N×3×S×S) as tiles, each from its least weight, black, to its greatest."""
    kernels = weight.transpose(0, 2, 3, 1)  # N×S×S×3
    low, high = (extreme((1, 2, 3), keepdims=True) for extreme in (kernels.min, kernels.max))
    return ((kernels - low) / np.maximum(high - low, 1e-12) * 255).round().astype(np.uint8)
