"""Make the archives of data/sample/ from the full ones: small parts of CIFAR-10 and CIFAR-100, and a stand-in for cats
and dogs.

    DATA_MIRROR=/folder/with/archives dvc repro fetch@cifar10 fetch@cifar100 && python src/sample.py

For maintainers: the archives ship with the repository, and this shows what they are. It needs data/raw/cifar10.h5 and
data/raw/cifar100.h5 at full scale (`dvc repro fetch@{cifar10,cifar100}`), takes seconds, and gives the same bytes
every time. SIGNS ships whole and is not made here. The real cats and dogs must not be re-published, so CIFAR-10's
stand in for them.
"""

from lineage.errors import Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import csv
import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from lineage import parts
from lineage.archive_formats import PARTS
from lineage.files import write_bytes


def sheet(images: np.ndarray, columns: int = 20) -> bytes:
    """N×32×32×3 pictures as one lossless WebP, row by row."""
    rows = -(-len(images) // columns)
    page = np.zeros((rows * columns, 32, 32, 3), np.uint8)
    page[: len(images)] = images
    page = page.reshape(rows, columns, 32, 32, 3).swapaxes(1, 2).reshape(rows * 32, columns * 32, 3)
    buffer = io.BytesIO()
    Image.fromarray(page).save(buffer, "WEBP", lossless=True, quality=100, method=6)
    return buffer.getvalue()


def make(raw: dict[str, np.ndarray], classes: list[str], kept: list[str], images: dict[str, int]) -> bytes:
    """A tar of contact sheets and `names.csv`: so many `images` of each part, every kept class equally often."""
    members: dict[str, bytes] = {}
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["split", "class", "position", "name"])
    for number, part in enumerate(PARTS):
        for kind in kept:
            of_kind = np.flatnonzero((raw["part"] == number) & (raw["labels"] == classes.index(kind)))
            chosen = of_kind[: images[part] // len(kept)]
            members[f"{part}/{kind}.webp"] = sheet(raw["images"][chosen])
            writer.writerows([part, kind, i, raw["names"][j].decode()] for i, j in enumerate(chosen))
    members["names.csv"] = table.getvalue().encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for name, source, kept, images in (
        ("cifar-10", "cifar10", None, {"train": 1000, "test": 400}),
        ("cifar-100", "cifar100", None, {"train": 1000, "test": 400}),
        ("cats-vs-dogs", "cifar10", ["cat", "dog"], {"train": 400, "test": 200}),
    ):
        raw, classes = parts.read_raw(Path("data/raw", f"{source}.h5"))
        if len(raw["labels"]) != 60_000:
            raise Mistake(
                f"data/raw/{source}.h5 is not the full data set: run `dvc repro fetch@{source}` at scale: full"
            )
        target = Path("data/sample", f"{name}-sample.tar")
        write_bytes(target, make(raw, classes, kept or classes, images))
        print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    run(main)
