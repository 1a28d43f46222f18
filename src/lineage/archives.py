"""The archives that the data sets come in, read. Nothing in an archive can run code or write a file.

Whatever the format, the images come out in canonical order (part, class, file name), so that the same pixels give the
same bytes whichever archive brought them.
"""

import csv
import hashlib
import io
import json
import lzma
import pickle
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import h5py
import numpy as np
from PIL import Image

from lineage.errors import Failure, Mistake
from lineage.files import write_bytes

PARTS = ("train", "test")  # in `data/raw` they are 0 and 1
Item = tuple[str, str, str, np.ndarray]  # part, class, name, image as uint8 H×W×3


def read(
    format: str, files: list[Path], classes: list[str], size: int, unreadable: str = "error", subset: bool = False
) -> tuple[dict, list[str]]:
    """All images of an archive in canonical order, as arrays, and the names of the files left out because they are no
    image.

    With `subset`, images of classes that are not in `classes` are left out. Returns `part` (N, uint8: 0 train, 1 test),
    `labels` (N, int64: positions in `classes`), `names` (N, bytes) and `images` (N×size×size×3, uint8; other sizes are
    squashed). Raises `Failure` for a damaged archive, and, unless `unreadable` is "skip", for a file that is no image.
    """
    skipped: list[str] = []
    try:
        found = FORMATS[format](files, skipped if unreadable == "skip" else None)
        items = [(part, kind, name, _squash(image, size)) for part, kind, name, image in found]
    except _DAMAGE as error:
        where = ", ".join(str(file) for file in files)
        raise Failure(f"{where} cannot be read as {format} ({type(error).__name__}: {error})") from None
    if subset:
        items = [item for item in items if item[1] in classes]
    strange = {kind for _, kind, _, _ in items} ^ set(classes)
    if strange:
        raise Mistake(
            f"{files[0]}: classes only in the archive or only in params.yaml: {', '.join(sorted(strange)[:8])}"
        )
    there = {(part, kind) for part, kind, _, _ in items}
    lacking = [f"{part}/{kind}" for part in PARTS for kind in classes if (part, kind) not in there]
    if lacking:
        raise Mistake(
            f"{files[0]}: there is no image of {', '.join(lacking[:8])}; every class needs some in both parts"
        )
    items.sort(key=lambda item: (PARTS.index(item[0]), classes.index(item[1]), item[2]))
    arrays = {
        "part": np.array([PARTS.index(item[0]) for item in items], np.uint8),
        "labels": np.array([classes.index(item[1]) for item in items], np.int64),
        "names": np.array([item[2].encode() for item in items], "S"),
        "images": np.stack([item[3] for item in items]),
    }
    return arrays, sorted(skipped)


# what the readers raise when an archive is not what it should be
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    pickle.UnpicklingError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    RuntimeError,
    lzma.LZMAError,
    OSError,
)


def _squash(image: np.ndarray, size: int) -> np.ndarray:
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


class _PlainUnpickler(pickle.Unpickler):
    """Admits NumPy's arrays and nothing else, so that a swapped pickle cannot run anything."""

    _ADMITTED = frozenset({"_reconstruct", "ndarray", "dtype"})

    def find_class(self, module: str, name: str) -> object:
        if module.split(".")[0] == "numpy" and name in self._ADMITTED:
            return np._core.multiarray._reconstruct if name == "_reconstruct" else getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in protocol 2
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a data set")


def _cifar_python(files: list[Path], skipped: list[str] | None) -> Iterator[Item]:
    """The official archives: pickled batches of channel-major rows. CIFAR-100 by its fine classes."""
    with tarfile.open(files[0], "r:gz") as tar:
        batches = {PurePosixPath(m.name).name: m for m in tar if m.isfile()}

        def load(name: str) -> dict:
            return _PlainUnpickler(tar.extractfile(batches[name]), encoding="bytes").load()

        meta = load("meta" if "meta" in batches else "batches.meta")
        kinds = [kind.decode() for kind in meta.get(b"fine_label_names") or meta[b"label_names"]]
        for batch in sorted(batches):
            if batch in ("train", "test", "test_batch") or batch.startswith("data_batch_"):
                content = load(batch)
                labels = content.get(b"fine_labels") or content[b"labels"]
                images = content[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
                for label, name, image in zip(labels, content[b"filenames"], images, strict=True):
                    yield "test" if batch.startswith("test") else "train", kinds[label], name.decode(), image


def _contact_sheets(files: list[Path], skipped: list[str] | None) -> Iterator[Item]:
    """`<part>/<class>.webp`, images of 32×32 row by row in the order of `names.csv` (split, class, position, name)."""
    with tarfile.open(files[0], "r:") as tar:
        sheets: dict[tuple[str, str], np.ndarray] = {}
        for row in csv.DictReader(io.TextIOWrapper(tar.extractfile("names.csv"), "utf-8")):
            key = row["split"], row["class"]
            if key not in sheets:
                picture = _decode(tar.extractfile(f"{key[0]}/{key[1]}.webp").read())
                rows, columns = picture.shape[0] // 32, picture.shape[1] // 32
                sheets[key] = picture.reshape(rows, 32, columns, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)
            yield *key, row["name"], sheets[key][int(row["position"])]


def _folders(files: list[Path], skipped: list[str] | None) -> Iterator[Item]:
    """A zip of `train/<class>/<image>` and `test/<class>/<image>`; without these, a tenth is the test part, by the
    image's name.
    """
    with zipfile.ZipFile(files[0]) as archive:
        for member in archive.infolist():
            path = PurePosixPath(member.filename)
            hidden = any(p.startswith((".", "__MACOSX")) for p in path.parts)
            if member.is_dir() or hidden or len(path.parts) < 2:
                continue
            part, kind = next((p for p in path.parts if p in PARTS), None), path.parent.name
            if part is None:
                kind = kind.lower()
                part = PARTS[tenth(f"{kind}/{path.stem}")]
            try:
                yield part, kind, path.name, _decode(archive.read(member))
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                if skipped is None:
                    advice = "take it out, or set `unreadable: skip` for this data set in params.yaml"
                    raise ValueError(f"{member.filename} is not an image: {advice}") from error
                skipped.append(member.filename)


def _h5(files: list[Path], skipped: list[str] | None) -> Iterator[Item]:
    """A pair of HDF5 files with `<part>_set_x` (N×H×W×3, uint8), `<part>_set_y` (N) and `list_classes`; images are
    named by position.
    """
    for part, path in zip(PARTS, files, strict=True):
        with h5py.File(path) as file:
            needed = f"{part}_set_x", f"{part}_set_y", "list_classes"
            missing = [name for name in needed if name not in file]
            if missing:
                raise ValueError(f"the arrays {', '.join(missing)} are missing from {path.name}")
            images, labels, kinds = (file[name][()] for name in needed)
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or len(images) != len(labels):
            raise ValueError(f"{needed[0]} in {path.name} is {images.dtype} {images.shape}, not uint8 N×H×W×3")
        names = [kind.decode() if isinstance(kind, bytes) else str(kind) for kind in kinds]
        for position, (image, label) in enumerate(zip(images, labels.ravel(), strict=True)):
            yield part, names[label], f"{part}-{position:05}", image


FORMATS = {"cifar-python": _cifar_python, "contact-sheets": _contact_sheets, "folders": _folders, "h5": _h5}


def tenth(name: str) -> bool:
    """True for a fixed tenth of all names, the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % 10 == 0


def _decode(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def write(path: Path, arrays: dict[str, np.ndarray], classes: Iterable[str]) -> None:
    """Write `data/raw/<data set>.h5` all at once or not at all; the same arrays give the same bytes."""
    # Built in memory: HDF5 does not bear a disk that fills up.
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, track_times=False)
        file.attrs["classes"] = json.dumps(list(classes), ensure_ascii=False)
    write_bytes(path, buffer.getbuffer())
