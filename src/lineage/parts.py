"""A data set's splits: train, val and test, out of the images that `fetch` wrote; and what their channels look like."""

import hashlib
import json
from collections import Counter, defaultdict
from pathlib import Path

import h5py
import numpy as np

from lineage.errors import Failure, Mistake

VALIDATION = 0.1  # of the training images, where a data set says nothing else
Split = dict[str, np.ndarray]  # train, val, test → positions in data/raw


def split(
    part: np.ndarray, labels: np.ndarray, names: np.ndarray, images: np.ndarray, share: float = VALIDATION
) -> tuple[Split, int]:
    """Positions of the training, validation and test images, and how many images were dropped as twins: of test
    images from training and validation, and of an archive's own validation images from training.

    Where `part` has no validation images (2), this share of each class of the training images (0) becomes validation,
    chosen by the hashes of the images' names, hence alike on every machine; of a class with two images or more at least
    one validates and one trains. Images with identical pixels stay on one side, whatever their classes, so that a share
    of a few images may be missed; those that stand in the test set (1) too are dropped, and from training also those
    that stand in a validation split that the archive brings.
    """
    pixels = [hashlib.sha256(image.tobytes()).digest() for image in images]
    test, given = np.flatnonzero(part == 1), np.flatnonzero(part == 2)
    seen = {pixels[i] for i in test}
    validation = [i for i in given if pixels[i] not in seen]
    seen.update(pixels[i] for i in validation)
    groups = defaultdict(list)  # identical pixels → positions
    training = np.flatnonzero(part == 0)
    for i in training:
        if pixels[i] not in seen:
            groups[pixels[i]].append(i)
    kept = np.array([i for group in groups.values() for i in group], int)
    dropped = len(training) - len(kept) + len(given) - len(validation)
    if not len(given):
        validation = _drawn(list(groups.values()), labels, names, share)
    train = np.setdiff1d(kept, validation)
    return {"train": train, "val": np.sort(np.array(validation, int)), "test": test}, dropped


def _drawn(groups: list[list[int]], labels: np.ndarray, names: np.ndarray, share: float) -> list[int]:
    """This share of each class, in whole groups."""
    counts = Counter(int(labels[i]) for group in groups for i in group)
    quota = {label: min(n - 1, max(1, round(share * n))) for label, n in counts.items()}

    def order(group: list[int]) -> bytes:
        return min(hashlib.sha256(b"%d/%s" % (labels[i], names[i])).digest() for i in group)

    validation: list[int] = []
    for group in sorted(groups, key=order):
        needed = Counter(labels[group].tolist())
        if all(quota[label] >= n for label, n in needed.items()):
            validation += group
            for label, n in needed.items():
                quota[label] -= n
    return validation


def count(split: Split, labels: np.ndarray, classes: list[str], dropped: int) -> dict[str, np.ndarray]:
    """How many images of each class each split has. Raises `Mistake` where a split is empty, or where a class has no
    image to train with or to test on.
    """
    counts = {part: np.bincount(labels[chosen], minlength=len(classes)) for part, chosen in split.items()}
    lacking = [f"{part}/{classes[k]}" for part in ("train", "test") for k in np.flatnonzero(counts[part] == 0)]
    lacking += [part for part, of in counts.items() if not of.any()]
    if lacking:
        larger = ", or a larger `validation`" if "val" in lacking else ""
        raise Mistake(
            f"no image is left in {', '.join(lacking[:8])} ({table(counts, dropped)}): the data set needs more images "
            f"that differ, at least two of each class to train with and one to test on{larger}"
        )
    return counts


def table(counts: dict[str, np.ndarray], dropped: int) -> str:
    """The counts in one line."""
    parts = [f"{part} {of.sum()} images, {of.min()} to {of.max()} a class" for part, of in counts.items()]
    return f"{'; '.join(parts)}; {dropped} dropped as twins of test or validation images"


def read_raw(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of data/raw/<data set>.h5 (`part`, `labels`, `names`, `images` N×H×W×3) and the classes. Raises
    `Mistake` where it is missing, `Failure` where it cannot be read.
    """
    if not path.is_file():
        raise Mistake(f"{path} is missing: run `dvc repro fetch@{path.stem}` first")
    try:
        with h5py.File(path) as file:
            arrays = {name: file[name][()] for name in ("part", "labels", "names", "images")}
            classes = json.loads(file.attrs["classes"])
        labels = arrays["labels"]
        if len({len(array) for array in arrays.values()}) > 1 or not set(np.unique(labels)) <= set(range(len(classes))):
            raise ValueError("its labels do not fit its images and classes")
        return arrays, classes
    except OSError as error:
        if error.errno:  # of the system: it may not be read, or another process writes it
            raise Failure(f"{path} cannot be read: {error}") from None
        raise Failure(f"{path} is damaged ({error}): remove it and run `dvc repro fetch@{path.stem}`") from None
    except (KeyError, TypeError, ValueError) as error:
        raise Failure(f"{path} is damaged ({error}): remove it and run `dvc repro fetch@{path.stem}`") from None


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel over all pixels of N×3×H×W uint8 images, scaled to 0 … 1, from exact
    counts. The standard deviation of a channel that is the same everywhere is 1, so that it can be divided by.
    """
    values, counts = np.arange(256), np.zeros((images.shape[1], 256), int)
    for some in range(0, len(images), 1024):  # NumPy counts eight bytes a pixel
        for channel, pixels in zip(counts, images[some : some + 1024].swapaxes(0, 1), strict=True):
            channel += np.bincount(pixels.ravel(), minlength=256)
    n = counts.sum(1)
    mean = counts @ values / n
    std = np.sqrt(counts @ values**2 / n - mean**2)
    std[std == 0] = 255
    return mean / 255, std / 255
