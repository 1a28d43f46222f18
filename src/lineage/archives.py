"""The archives that the data sets come in: found, verified, read. Nothing in an archive can run code or write a file.

`find` brings an archive's files from `data/sample`, from the folder $DATA_MIRROR, from an earlier download or from the
network, and lets none of them pass whose SHA-256 is another. `read` turns them into images in canonical order (part,
class, file name), so that the same pixels give the same bytes whichever archive brought them.
"""

import csv
import errno
import hashlib
import io
import json
import os
import pickle
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import h5py
import numpy as np
import pooch
from PIL import Image

from lineage.errors import Failure, Mistake

PARTS = ("train", "test")  # in `data/raw` they are 0 and 1
WAYS_OUT = (
    "three ways out: connect to the network; put the file into a folder and set DATA_MIRROR to it; "
    "or run in miniature with `dvc exp run -S scale=sample`"
)
Item = tuple[str, str, str, np.ndarray]  # part, class, name, image as uint8 H×W×3


def find(
    archives: list[dict], urls: dict[str, list[str]], places: list[Path], downloads: Path
) -> tuple[str, list[Path]]:
    """The format and the verified files of the first archive that can be had: first on disk, in `places`, then by
    download.

    `archives` are in order of preference, each with a `format` and `files` (`name`, `sha256`); `urls` has the
    addresses by SHA-256. Raises `Failure` where a file on disk is another than wanted, or where no archive can be had.
    """
    for archive in archives:
        found = [next((p / f["name"] for p in places if (p / f["name"]).is_file()), None) for f in archive["files"]]
        if all(found):
            for path, file in zip(found, archive["files"], strict=True):
                verify(path, file["sha256"])
            return archive["format"], found
    reasons = []
    for archive in archives:
        files = archive["files"]
        if all(urls.get(f["sha256"]) for f in files):
            try:
                return archive["format"], [
                    download(urls[f["sha256"]], f["name"], f["sha256"], downloads) for f in files
                ]
            except Failure as error:
                reasons.append(str(error))
    wanted = " or ".join("+".join(f["name"] for f in archive["files"]) for archive in archives)
    raise Failure(f"cannot get {wanted} ({'; '.join(reasons) or 'no address is known'}); {WAYS_OUT}")


def verify(path: Path, sha256: str) -> None:
    """Raises `Failure` where the file's SHA-256 is another."""
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        raise Failure(
            f"{path} is damaged or another file: its SHA-256 is {actual[:12]}…, not {sha256[:12]}…; replace it"
        )


def download(urls: list[str], name: str, sha256: str, folder: Path, timeout: float = 30) -> Path:
    """The file from the first address that delivers it whole; `timeout` is in seconds without a byte. Raises
    `Failure`.
    """
    pooch.get_logger().setLevel("ERROR")
    reasons = []
    for url in urls:
        print(f"downloading {name} from {url.split('/')[2]}", flush=True)
        fetcher = pooch.HTTPDownloader(timeout=timeout, progressbar=sys.stderr.isatty())
        try:
            return Path(pooch.retrieve(url, f"sha256:{sha256}", fname=name, path=folder, downloader=fetcher))
        except ValueError as error:  # how pooch reports another hash
            reasons.append(
                f"{url.split('/')[2]}: damaged or another file" if "hash" in str(error) else f"{url}: {error}"
            )
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            reasons.append(f"{url.split('/')[2]}: {type(error).__name__}")
    raise Failure(f"no address of {name} works: {', '.join(reasons)}")


def read(
    format: str, files: list[Path], classes: list[str], size: int, unreadable: str = "error"
) -> tuple[dict, list[str]]:
    """All images of an archive in canonical order, as arrays, and the names of the files left out because they are no
    image.

    Returns `part` (N, uint8: 0 train, 1 test), `labels` (N, int64: positions in `classes`), `names` (N, bytes) and
    `images` (N×size×size×3, uint8; other sizes are squashed). Raises `Failure` for a damaged archive, and, unless
    `unreadable` is "skip", for a file that is no image.
    """
    skipped: list[str] = []
    try:
        found = FORMATS[format](files, skipped if unreadable == "skip" else None)
        items = [(part, kind, name, _squash(image, size)) for part, kind, name, image in found]
    except _DAMAGE as error:
        where = ", ".join(str(file) for file in files)
        raise Failure(f"{where} cannot be read as {format} ({type(error).__name__}: {error})") from None
    strange = {kind for _, kind, _, _ in items} ^ set(classes)
    if strange:
        raise Mistake(
            f"{files[0]}: classes only in the archive or only in params.yaml: {', '.join(sorted(strange)[:8])}"
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
    with tarfile.open(files[0]) as tar:
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
    with tarfile.open(files[0]) as tar:
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
    part = path.with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with h5py.File(part, "w") as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=array, track_times=False)
            file.attrs["classes"] = json.dumps(list(classes), ensure_ascii=False)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
