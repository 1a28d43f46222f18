"""The archives that the data sets come in, read. Nothing in an archive can run code or write a file.

Whatever the format, the images come out in canonical order (part, class, file name), so that the same pixels give the
same bytes whichever archive brought them. lineage/archive_formats.py and lineage/image_folders.py read the formats.
"""

import io
import json
import unicodedata
import zlib
from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from lineage import decoding
from lineage.archive_formats import PARTS, SPLITS, Item, cifar_python, contact_sheets, h5, refuse_bomb
from lineage.errors import Failure, Mistake
from lineage.files import write_bytes
from lineage.image_folders import folders

FORMATS = {"cifar-python": cifar_python, "contact-sheets": contact_sheets, "folders": folders, "h5": h5}


def read(
    format: str, files: list[Path], classes: list[str], size: int, unreadable: str = "error", subset: bool = False
) -> tuple[dict, list[str]]:
    """All images of an archive in canonical order, as arrays, and the names of the files left out because they are no
    image.

    With `subset`, images of classes that are not in `classes` are left out. Returns `part` (N, uint8: 0 train, 1 test,
    2 val), `labels` (N, int64: positions in `classes`), `names` (N, bytes) and `images` (N×size×size×3, uint8; other
    sizes are squashed). Raises `Failure` for a damaged archive, and, unless `unreadable` is "skip", for a file that is
    no image; `Mistake` for classes or folders other than wanted.
    """
    skipped: list[str] = []
    items: list[Item] = []
    meant = {_alike(kind): kind for kind in classes} | {kind: kind for kind in classes}
    try:
        for part, kind, name, image in FORMATS[format](files, skipped if unreadable == "skip" else None):
            items.append((part, meant.get(kind, meant.get(_alike(kind), kind)), name, decoding.squash(image, size)))
            refuse_bomb(len(items) * size * size * 3, files)
    except (Mistake, Failure, MemoryError, BrokenPipeError):  # the last: nobody reads what is printed
        raise
    except Exception as error:  # on hostile bytes the libraries raise almost anything
        where = ", ".join(str(file) for file in files)
        raise Failure(f"{where} cannot be read as {format} ({type(error).__name__}: {error})") from None
    if subset:
        items = [item for item in items if item[1] in classes]
    found = {kind for _, kind, _, _ in items}
    sides = {"the archive": found - set(classes), "data/datasets.yaml": set(classes) - found}
    if strange := [f"only in {where}: {str(sorted(kinds)[:8])[1:-1]}" for where, kinds in sides.items() if kinds]:
        raise Mistake(f"{files[0]}: the classes differ; {'; '.join(strange)}{_advice(found, classes)}")
    there = {(part, kind) for part, kind, _, _ in items}
    lacking = [f"{part}/{kind}" for part in PARTS for kind in classes if (part, kind) not in there]
    if lacking:
        raise Mistake(
            f"{files[0]}: there is no image of {', '.join(lacking[:8])}; every class needs some in both parts; "
            "folders called train and test say which is where"
        )
    # by the pixels where names are the same, such as those of cat/1.png and Cat/1.png
    items.sort(key=lambda item: (SPLITS.index(item[0]), classes.index(item[1]), item[2], zlib.crc32(item[3].tobytes())))
    arrays = {
        "part": np.array([SPLITS.index(item[0]) for item in items], np.uint8),
        "labels": np.array([classes.index(item[1]) for item in items], np.int64),
        "names": np.array([item[2].encode() for item in items], "S"),
        "images": np.stack([item[3] for item in items]),
    }
    return arrays, sorted(skipped)


def _advice(found: set[str], classes: list[str]) -> str:
    """How to write names like those that were found in data/datasets.yaml; nothing where that is not what is wrong."""
    if any("," in kind for kind in classes):
        return "; there, spaces separate names, without commas"
    if any(" " in kind for kind in found - set(classes)):
        return "; there, names with spaces need a list: [big cat, dog]"
    if any(kind.isdigit() and kind[0] == "0" for kind in found - set(classes)):
        return "; there, names such as 007 need quotes in a list"
    return ""


def _alike(name: str) -> str:
    """Upper and lower case, and both ways to write an accent (macOS has its own), make no difference."""
    return unicodedata.normalize("NFC", name).casefold()


def write(path: Path, arrays: dict[str, np.ndarray], classes: Iterable[str]) -> None:
    """Write `data/raw/<data set>.h5` all at once or not at all; the same arrays give the same bytes."""
    # Built in memory: HDF5 does not bear a disk that fills up.
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, track_times=False)
        file.attrs["classes"] = json.dumps(list(classes), ensure_ascii=False)
    write_bytes(path, buffer.getbuffer())
