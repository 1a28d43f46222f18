"""A data set's parts: train, val and test, out of the images that `fetch` wrote; and what their channels look like."""

import hashlib
import json
from collections import Counter, defaultdict
from pathlib import Path

import h5py
import numpy as np

from lineage.errors import Failure, Mistake

VALIDATION = 0.1  # of the training part
Split = dict[str, np.ndarray]  # part → positions in data/raw


def split(part: np.ndarray, labels: np.ndarray, names: np.ndarray, images: np.ndarray) -> tuple[Split, int]:
    """Positions of the training, validation and test images, and how many twins of test images were dropped from
    training.

    A tenth of each class of the training part becomes validation, chosen by the hashes of the images' names, hence
    alike on every machine. Images with identical pixels stay on one side, whatever their classes; those that stand in
    the test part too are dropped.
    """
    pixels = [hashlib.sha256(image.tobytes()).digest() for image in images]
    test = np.flatnonzero(part == 1)
    seen_in_test = {pixels[i] for i in test}
    groups = defaultdict(list)  # identical pixels → positions
    training = np.flatnonzero(part == 0)
    for i in training:
        if pixels[i] not in seen_in_test:
            groups[pixels[i]].append(i)
    kept = [i for group in groups.values() for i in group]
    quota = {
        label: max(1, round(VALIDATION * n)) if n > 1 else 0 for label, n in Counter(labels[kept].tolist()).items()
    }

    def drawn(group: list[int]) -> bytes:
        return min(hashlib.sha256(b"%d/%s" % (labels[i], names[i])).digest() for i in group)

    validation: list[int] = []
    for group in sorted(groups.values(), key=drawn):
        needed = Counter(labels[group].tolist())
        if all(quota[label] >= n for label, n in needed.items()):
            validation += group
            for label, n in needed.items():
                quota[label] -= n
    train = np.setdiff1d(kept, validation)
    return {"train": train, "val": np.sort(np.array(validation, int)), "test": test}, len(training) - len(kept)


def read_raw(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of data/raw/<data set>.h5 (`part`, `labels`, `names`, `images` N×H×W×3) and the classes. Raises
    `Mistake`.
    """
    if not path.is_file():
        raise Mistake(f"{path} is missing: run `dvc repro fetch@{path.stem}` first")
    try:
        with h5py.File(path) as file:
            arrays = {name: file[name][()] for name in ("part", "labels", "names", "images")}
            return arrays, json.loads(file.attrs["classes"])
    except (OSError, KeyError) as error:
        raise Failure(f"{path} is damaged ({error}): remove it and run `dvc repro fetch@{path.stem}`") from None


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel over all pixels of N×3×H×W uint8 images, in units of 1, exact to the last
    digit.
    """
    values = np.arange(256)
    counts = np.stack([np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])])
    n = counts.sum(1)
    mean = counts @ values / n
    std = np.sqrt(counts @ values**2 / n - mean**2)
    return mean / 255, std / 255
