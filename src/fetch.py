"""fetch: bring a data set's archive, verify it, and write its images to data/raw/<data set>.h5.

    python src/fetch.py cifar100
    DATA_MIRROR=/folder/with/archives python src/fetch.py cifar100

The archive comes from `data/sample`, from the folder $DATA_MIRROR, from an earlier download (`data/archives`), or from
the first address that works. Expect minutes for a download, then seconds; CIFAR-100 takes 190 MB in `data/raw`.
"""

from lineage.errors import Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import os
from pathlib import Path

from lineage import archives, sources
from lineage.files import read_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="a key of `datasets` in data/datasets.yaml")
    name = parser.parse_args().dataset
    recipe = Path("recipes/datasets", f"{name}.json")
    if not recipe.is_file():
        raise Mistake(
            f"{recipe} is missing: {name!r} is no data set in data/datasets.yaml, or `dvc repro recipes` has not run"
        )
    wanted = read_json(recipe)
    # Addresses cannot change what comes of them (the hash decides), so this stage does not depend on them.
    addresses = Path("recipes/addresses.json")
    if not addresses.is_file():
        raise Mistake(f"{addresses} is missing: run `dvc repro recipes` first")
    urls = read_json(addresses)
    mirror = os.environ.get("DATA_MIRROR")
    if mirror and not Path(mirror).is_dir():
        raise Mistake(f"DATA_MIRROR is {mirror!r}, which is not a folder: give its full path, or unset it")
    downloads = Path("data/archives")
    places = [Path("data/sample"), *([Path(mirror)] if mirror else []), downloads]
    format, files = sources.find(wanted["archives"], urls, places, downloads)
    arrays, skipped = archives.read(
        format, files, wanted["classes"], wanted["image_size"], wanted["unreadable"], wanted.get("subset", False)
    )
    target = Path("data/raw", f"{name}.h5")
    archives.write(target, arrays, wanted["classes"])
    if skipped:
        print(f"{name}: left out {len(skipped)} files that are no image: {', '.join(skipped)}")
    counts = {split: int((arrays["part"] == number).sum()) for number, split in enumerate(archives.SPLITS)}
    found = ", ".join(f"{n} {split}" for split, n in counts.items() if n)
    print(f"{name}: {found} images from {', '.join(map(str, files))} in {target}")


if __name__ == "__main__":
    run(main)
