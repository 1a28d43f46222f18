"""The archives that the data sets come in, read. Nothing in an archive can run code or write a file.

Whatever the format, the images come out in canonical order (part, class, file name), so that the same pixels give the
same bytes whichever archive brought them.
"""

import contextlib
import csv
import hashlib
import io
import json
import pickle
import pickletools
import tarfile
import unicodedata
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import h5py
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from lineage.errors import Failure, Mistake
from lineage.files import write_bytes

PARTS = ("train", "test")  # in `data/raw` they are 0 and 1
SPLITS = (*PARTS, "val")  # 2, the validation split, where the archive brings one
Item = tuple[str, str, str, np.ndarray]  # part, class, name, image as uint8 H×W×3


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
            items.append((part, meant.get(kind, meant.get(_alike(kind), kind)), name, _squash(image, size)))
            _refuse_bomb(len(items) * size * size * 3, files)
    except (Mistake, Failure, MemoryError):
        raise
    except Exception as error:  # on hostile bytes the libraries raise almost anything
        where = ", ".join(str(file) for file in files)
        raise Failure(f"{where} cannot be read as {format} ({type(error).__name__}: {error})") from None
    if subset:
        items = [item for item in items if item[1] in classes]
    strange = {kind for _, kind, _, _ in items} ^ set(classes)
    if strange:
        raise Mistake(
            f"{files[0]}: classes only in the archive or only in data/datasets.yaml: {', '.join(sorted(strange)[:8])}"
        )
    there = {(part, kind) for part, kind, _, _ in items}
    lacking = [f"{part}/{kind}" for part in PARTS for kind in classes if (part, kind) not in there]
    if lacking:
        raise Mistake(
            f"{files[0]}: there is no image of {', '.join(lacking[:8])}; every class needs some in both parts"
        )
    items.sort(key=lambda item: (SPLITS.index(item[0]), classes.index(item[1]), item[2]))
    arrays = {
        "part": np.array([SPLITS.index(item[0]) for item in items], np.uint8),
        "labels": np.array([classes.index(item[1]) for item in items], np.int64),
        "names": np.array([item[2].encode() for item in items], "S"),
        "images": np.stack([item[3] for item in items]),
    }
    return arrays, sorted(skipped)


def _alike(name: str) -> str:
    """Upper and lower case, and both ways to write an accent (macOS has its own), make no difference."""
    return unicodedata.normalize("NFC", name).casefold()


def _refuse_bomb(size: int, files: list[Path]) -> None:
    """Raises `Failure` where `size` bytes are far more than archives of that size hold: they would fill the memory."""
    limit = 2**28 + 100 * sum(file.stat().st_size for file in files)
    if size > limit:
        where = ", ".join(map(str, files))
        raise Failure(f"{where} would unpack to more than {limit >> 20} MiB: replace it, or lower image_size")


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


def _cifar_python(files: list[Path], skipped: list[str] | None) -> Iterator[Item]:
    """The official archives: pickled batches of channel-major rows. CIFAR-100 by its fine classes."""
    with tarfile.open(files[0], "r:gz") as tar:
        _refuse_bomb(sum(m.size for m in tar), files)
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


def _contact_sheets(files: list[Path], skipped: list[str] | None) -> Iterator[Item]:
    """`<part>/<class>.webp`, images of 32×32 row by row in the order of `names.csv` (split, class, position, name)."""
    with tarfile.open(files[0], "r:") as tar:
        _refuse_bomb(sum(m.size for m in tar), files)
        sheets: dict[tuple[str, str], np.ndarray] = {}
        for row in csv.DictReader(io.TextIOWrapper(tar.extractfile("names.csv"), "utf-8")):
            key, position = (row["split"], row["class"]), int(row["position"])
            if key[0] not in PARTS or position < 0:
                raise ValueError(f"names.csv has the split {key[0]!r} and the position {position}")
            if key not in sheets:
                picture = decode(tar.extractfile(f"{key[0]}/{key[1]}.webp").read())
                rows, columns = picture.shape[0] // 32, picture.shape[1] // 32
                sheets[key] = picture.reshape(rows, 32, columns, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)
            yield *key, row["name"], sheets[key][position]


def _folders(files: list[Path], skipped: list[str] | None) -> Iterator[Item]:
    """A zip of `<split>/<class>/<image>`, at any depth, or of `<class>/<image>`: then a tenth is the test part, by the
    image's name.
    """
    with zipfile.ZipFile(files[0]) as archive:
        members = {member: path for member in archive.infolist() if (path := _path(member))}
        _refuse_bomb(sum(member.file_size for member in members), files)
        splits = _splits(list(members.values()), files[0])
        for member, path in members.items():
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # the others unpack unbounded
                raise ValueError(f"{path} is compressed in an unusual way: make the zip with deflate")
            content = archive.open(member).read(member.file_size)  # with a number it never unpacks more
            try:
                image = decode(content)
            except ValueError as error:
                if skipped is None:
                    advice = "take it out, or set `unreadable: skip` for this data set in data/datasets.yaml"
                    raise Failure(f"{files[0]}: {path} is not an image that can be read: {error}; {advice}") from error
                skipped.append(str(path))
                continue
            kind, folder = path.parent.name, _split_folder(path)
            if splits and not folder:
                raise Mistake(f"{files[0]}: {path} lies in no class's folder within {', '.join(splits)}: take it out")
            yield splits[folder] if splits else PARTS[tenth(f"{kind.lower()}/{path.stem}")], kind, path.name, image


def _path(member: zipfile.ZipInfo) -> PurePosixPath | None:
    """Where a member lies, in one spelling whichever system wrote it; nothing for what is no file in a folder."""
    name = member.filename
    if not member.flag_bits & 0x800:  # the flag that says UTF-8; some programs write UTF-8 without it
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode()
    name = unicodedata.normalize("NFC", name.replace("\\", "/"))
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    if name.endswith("/") or hidden or len(path.parts) < 2:
        return None
    if len(path.name.encode()) > 255:
        raise ValueError(f"the name {path.name[:40]}… is longer than any file's")
    return path


# what folders of splits are called, whatever their case
_SPLIT_FOLDERS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
_SPLIT_FOLDERS |= dict.fromkeys(("val", "valid", "validation"), "val")


def _split_folder(path: PurePosixPath) -> str | None:
    """The innermost folder that names a split, above the class's folder: a class may be called `train`."""
    return next((folder for folder in reversed(path.parts[:-2]) if folder.lower() in _SPLIT_FOLDERS), None)


def _splits(paths: list[PurePosixPath], archive: Path) -> dict[str, str]:
    """The splits of an archive by their folders, and a line that says so; nothing where it has no such folders."""
    splits = {folder: _SPLIT_FOLDERS[folder.lower()] for path in paths if (folder := _split_folder(path))}
    splits = dict(sorted(splits.items(), key=lambda pair: (SPLITS.index(pair[1]), pair[0])))
    note = ""
    if "val" in splits.values() and "test" not in splits.values():  # as ImageNet comes: its test images lack labels
        splits = {folder: "test" if part == "val" else part for folder, part in splits.items()}
        note = "; there is no other test split, and a tenth of the training images will validate"
    if not splits:
        parents = defaultdict(set)
        for path in paths:
            parents[path.parent.name.lower()].add(str(path.parent.parent))
        for kind, folders in parents.items():
            if len(folders) > 1:
                where = ", ".join(sorted(folders)[:4])
                raise Mistake(f"{archive}: {kind} stands in {where}: call these folders train, test and val")
        note = "no folder is called train, test or val: a tenth of the images, by name, is the test split"
    print(f"{archive}: {', '.join(f'{part} from {folder}/' for folder, part in splits.items())}{note}", flush=True)
    return splits


def _h5(files: list[Path], skipped: list[str] | None) -> Iterator[Item]:
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
    _refuse_bomb(int(largest) * dataset.dtype.itemsize, [path])
    return dataset[()]


def _check_labels(labels: Iterable[int], kinds: list[str], where: str) -> None:
    """Raises `ValueError` for a label that is no position in `kinds`: Python counts a negative one from the end."""
    strange = sorted({int(label) for label in np.ravel(labels)} - set(range(len(kinds))))
    if strange:
        wrong = ", ".join(map(str, strange[:4]))
        raise ValueError(f"{where} has the labels {wrong}, but the classes are 0 to {len(kinds) - 1}")


FORMATS = {"cifar-python": _cifar_python, "contact-sheets": _contact_sheets, "folders": _folders, "h5": _h5}


def tenth(name: str) -> bool:
    """True for a fixed tenth of all names, the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % 10 == 0


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
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:  # zero is white; Pillow minds that for 8 bits only
        grey = 255 - grey
    return np.stack([grey] * 3, axis=2)


def write(path: Path, arrays: dict[str, np.ndarray], classes: Iterable[str]) -> None:
    """Write `data/raw/<data set>.h5` all at once or not at all; the same arrays give the same bytes."""
    # Built in memory: HDF5 does not bear a disk that fills up.
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, track_times=False)
        file.attrs["classes"] = json.dumps(list(classes), ensure_ascii=False)
    write_bytes(path, buffer.getbuffer())
