"""The formats of archives other than folders: CIFAR's pickled batches, contact sheets, and pairs of HDF5 files.

Each is a function that yields the images with their part, class and name. Nothing in an archive can run code, bring in
another file, or fill the memory. lineage/image_folders.py reads the zip of folders.
"""

import csv
import io
import pickle
import pickletools
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import h5py
import numpy as np

from lineage.decoding import decode
from lineage.errors import Failure

PARTS = ("train", "test")  # in `data/raw` they are 0 and 1
SPLITS = (*PARTS, "val")  # 2, the validation split, where the archive brings one
Item = tuple[str, str, str, np.ndarray]  # part, class, name, image as uint8 H×W×3


class _PlainUnpickler(pickle.Unpickler):
    """Admits arrays of bytes and nothing else, so that a swapped pickle cannot run anything."""

    def find_class(self, module: str, name: str) -> object:
        if module.split(".")[0] == "numpy" and name in ("_reconstruct", "ndarray", "dtype"):
            # what a pickle says of a dtype would decide how memory is read
            bytes_alone = {"dtype": lambda *_: np.dtype(np.uint8), "_reconstruct": np._core.multiarray._reconstruct}
            return bytes_alone.get(name, np.ndarray)
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in protocol 2
            return _latin1
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a data set")


def _latin1(text: str, codec: str) -> bytes:
    """Raises `UnpicklingError` for any other codec: some make more of a text than it has, again and again."""
    if codec != "latin1":
        raise pickle.UnpicklingError(f"the codec {codec} has no place in a data set")
    return text.encode("latin1")


class _Member(tarfile.TarInfo):
    """A member of an archive. Raises `Failure` for a header that is as long as a file: tarfile reads it whole."""

    LONGEST = 2**20
    HEADERS = (
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    )

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> "_Member":
        member = super().frombuf(buf, encoding, errors)
        if member.type in cls.HEADERS and member.size > cls.LONGEST:
            raise Failure(f"the archive has a header of {member.size} bytes: replace it")
        return member


def _unpickle(content: bytes, name: str) -> dict:
    """Raises `UnpicklingError` too where a few bytes ask for gigabytes: as the number of an entry of the memo, which is
    a list, or as the shape of an array.
    """
    numbers = (arg for opcode, arg, _ in pickletools.genops(content) if opcode.name in ("PUT", "LONG_BINPUT"))
    try:
        if max(numbers, default=0) > len(content):
            raise MemoryError
        return _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
    except MemoryError:
        raise pickle.UnpicklingError(f"{name} asks for more memory than it can need") from None


def cifar_python(files: list[Path], skipped: list[str] | None) -> Iterator[Item]:
    """The official archives: pickled batches of channel-major rows. CIFAR-100 by its fine classes."""
    with tarfile.open(files[0], "r:gz", tarinfo=_Member) as tar:
        refuse_bomb(sum(m.size for m in tar), files)
        batches = {PurePosixPath(m.name).name: m for m in tar if m.isfile()}

        def load(name: str) -> dict:
            return _unpickle(tar.extractfile(batches[name]).read(), name)

        meta = load("meta" if "meta" in batches else "batches.meta")
        kinds = [kind.decode() for kind in meta.get(b"fine_label_names") or meta[b"label_names"]]
        for batch in sorted(batches):
            if batch in ("train", "test", "test_batch") or batch.startswith("data_batch_"):
                content = load(batch)
                labels = content.get(b"fine_labels") or content[b"labels"]
                images = content[b"data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
                part = "test" if batch.startswith("test") else "train"
                _check_labels(labels, kinds, batch)
                for label, name, image in zip(labels, content[b"filenames"], images, strict=True):
                    yield part, kinds[label], name.decode(), image


def contact_sheets(files: list[Path], skipped: list[str] | None) -> Iterator[Item]:
    """`<part>/<class>.webp`, images of 32×32 row by row in the order of `names.csv` (split, class, position, name)."""
    with tarfile.open(files[0], "r:", tarinfo=_Member) as tar:
        refuse_bomb(sum(m.size for m in tar), files)
        sheets: dict[tuple[str, str], np.ndarray] = {}
        for row in csv.DictReader(io.TextIOWrapper(tar.extractfile("names.csv"), "utf-8")):
            key, position = (row["split"], row["class"]), int(row["position"])
            if key[0] not in PARTS or position < 0 or not row["name"]:
                name = "no name" if not row["name"] else repr(row["name"])
                raise ValueError(f"names.csv has the split {key[0]!r}, the position {position} and {name}")
            if key not in sheets:
                picture = decode(tar.extractfile(f"{key[0]}/{key[1]}.webp").read())
                rows, columns = picture.shape[0] // 32, picture.shape[1] // 32
                sheets[key] = picture.reshape(rows, 32, columns, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)
            yield *key, row["name"], sheets[key][position]


def h5(files: list[Path], skipped: list[str] | None) -> Iterator[Item]:
    """A pair of HDF5 files with `<part>_set_x` (N×H×W×3, uint8), `<part>_set_y` (N, 1×N or N×1) and `list_classes`;
    images are named by position.
    """
    for part, path in zip(PARTS, files, strict=True):
        with h5py.File(path) as file:
            needed = f"{part}_set_x", f"{part}_set_y", "list_classes"
            missing = [name for name in needed if name not in file]
            if missing:
                raise ValueError(f"the arrays {', '.join(missing)} are missing from {path.name}")
            images, labels, kinds = (_array(file, name, path) for name in needed)
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or not images.size:
            raise ValueError(f"{needed[0]} in {path.name} is {images.dtype} {images.shape}, not uint8 N×H×W×3")
        if labels.shape not in ((len(images),), (1, len(images)), (len(images), 1)) or labels.dtype.kind not in "iu":
            wanted = f"integers, one for each of the {len(images)} images"
            raise ValueError(f"{needed[1]} in {path.name} is {labels.dtype} {labels.shape}, not {wanted}")
        names = [kind.decode() if isinstance(kind, bytes) else str(kind) for kind in np.atleast_1d(kinds)]
        _check_labels(labels, names, f"{needed[1]} in {path.name}")
        for position, (image, label) in enumerate(zip(images, labels.ravel(), strict=True)):
            yield part, names[label], f"{part}-{position:05}", image


def _array(file: h5py.File, name: str, path: Path) -> np.ndarray:
    """An array that lies in the file itself: a link or a reference could bring any file of this machine."""
    dataset = file[name] if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external or dataset.shape is None:
        raise ValueError(f"{name} in {path.name} is no array, or one that lies in another file")
    largest = max(dataset.size, np.prod(dataset.chunks or (), dtype=object))
    refuse_bomb(int(largest) * dataset.dtype.itemsize, [path])
    if not dataset.dtype.hasobject:
        return dataset[()]
    values, size = np.empty(dataset.shape, object), 0  # texts of any length, which may all be one and the same
    for place in np.ndindex(dataset.shape):
        values[place] = dataset[place]
        size += sys.getsizeof(values[place])
        refuse_bomb(size, [path])
    return values


def _check_labels(labels: Iterable[int], kinds: list[str], where: str) -> None:
    """Raises `ValueError` for a label that is no position in `kinds`: Python counts a negative one from the end."""
    strange = sorted({int(label) for label in np.ravel(labels)} - set(range(len(kinds))))
    if strange:
        wrong = ", ".join(map(str, strange[:4]))
        raise ValueError(f"{where} has the labels {wrong}, but the classes are 0 to {len(kinds) - 1}")


def refuse_bomb(size: int, files: list[Path]) -> None:
    """Raises `Failure` where `size` bytes are far more than archives of that size hold: they would fill the memory."""
    limit = 2**28 + 100 * sum(file.stat().st_size for file in files)
    if size > limit:
        where = ", ".join(map(str, files))
        raise Failure(f"{where} would unpack to more than {limit >> 20} MiB: replace it, or lower image_size")
