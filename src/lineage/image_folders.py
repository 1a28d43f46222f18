"""The zip of folders, read: which images it holds, and which split and class each belongs to.

The folders say both. A zip that has no folders of splits gets a test set: a tenth of the images, by name.
"""

import contextlib
import hashlib
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from lineage.archive_formats import PARTS, SPLITS, Item, refuse_bomb
from lineage.decoding import decode
from lineage.errors import Failure, Mistake


def folders(files: list[Path], skipped: list[str] | None) -> Iterator[Item]:
    """A zip of `<split>/<class>/<image>`, at any depth, or of `<class>/<image>`: then a tenth is the test set, by the
    image's name.
    """
    with zipfile.ZipFile(files[0]) as archive:
        members = {member: path for member in archive.infolist() if (path := _path(member))}
        if not members:
            raise Mistake(f"{files[0]}: no image lies in a folder that is not hidden; make it of train/<class>/<image>")
        refuse_bomb(sum(member.file_size for member in members), files)
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
    hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in path.parts)  # zip stores ../
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
        note = "; there is no other test split, and a part of the training images will validate"
    if not splits:
        parents = defaultdict(set)
        for path in paths:
            parents[path.parent.name.lower()].add(str(path.parent.parent))
        for kind, folders in parents.items():
            if len(folders) > 1:
                where = ", ".join(sorted(folders)[:4])
                if kind in _SPLIT_FOLDERS:
                    inside = f"these folders belong inside {kind}, not around it"
                    raise Mistake(f"{archive}: {kind} stands in {where}: {inside}")
                raise Mistake(f"{archive}: {kind} stands in {where}: call these folders train, test and val")
        note = "no folder is called train, test or val: a tenth of the images, by name, is the test split"
    print(f"{archive}: {', '.join(f'{part} from {folder}/' for folder, part in splits.items())}{note}", flush=True)
    return splits


def tenth(name: str) -> bool:
    """True for a fixed tenth of all names, the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % 10 == 0
