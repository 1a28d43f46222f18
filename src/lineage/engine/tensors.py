"""A data set as tensors: what `preprocess` writes to data/tensors/<data set>/*.safetensors, and training reads.

Each file holds `images` (N×3×H×W, uint8) and `labels` (N, int64); train also holds the `mean` and `std` of each channel
(of values from 0 to 1), and test the `names`. Arrays are NumPy's: the training code makes torch tensors of them.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialise

from lineage.errors import Failure, Mistake
from lineage.files import write_bytes


def save(path: Path, arrays: dict[str, np.ndarray], classes: Sequence[str]) -> None:
    """Write one split, all at once or not at all."""
    # One key only: safetensors writes several in an order that changes from run to run.
    metadata = {"classes": json.dumps(list(classes), ensure_ascii=False)}
    write_bytes(path, serialise(arrays, metadata))


def path(dataset: str, part: str) -> Path:
    return Path("data/tensors", dataset, f"{part}.safetensors")


def existing(dataset: str, part: str) -> Path:
    """Its file. Raises `Mistake` where the split has not been prepared."""
    file = path(dataset, part)
    if not file.is_file():
        raise Mistake(f"{file} is missing: run `dvc repro preprocess@{dataset}` first")
    return file


def length(dataset: str, part: str, most: int | None = None) -> int:
    """How many images `load` would give. Raises `Mistake`, `Failure`."""
    with _opened(dataset, part) as file:
        (images,) = file.get_slice("labels").get_shape()
    return min(images, most or images)


def load(dataset: str, part: str, most: int | None = None) -> dict[str, np.ndarray]:
    """The arrays of one split; of its images at most so many, taken evenly from the whole.

    Raises `Mistake` where the split has not been prepared, `Failure` where it is damaged.
    """
    with _opened(dataset, part) as file:
        arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
    if most and most < len(arrays["labels"]):
        chosen = np.linspace(0, len(arrays["labels"]) - 1, most).round().astype(int)
        arrays |= {name: arrays[name][chosen] for name in ("images", "labels", "names") if name in arrays}
    return arrays


@contextmanager
def _opened(dataset: str, part: str) -> Iterator[safe_open]:
    file = existing(dataset, part)
    try:
        with safe_open(file, "numpy") as opened:
            yield opened
    except SafetensorError as error:
        raise Failure(f"{file} is damaged ({error}): run `dvc repro --force preprocess@{dataset}`") from None
