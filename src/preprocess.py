"""preprocess: split a data set into train, validation and test, and turn it into tensors.

    python src/preprocess.py cifar100

Reads data/raw/<data set>.h5 and recipes/splits/<data set>.json; writes data/tensors/<data set>/{train,val,
test}.safetensors and metrics/data/<data set>.json. Training images whose pixels also stand in the test set are dropped.
A validation split that the archive brings is kept; else a tenth of each class of the training images becomes it, or the
share that the data set's `validation` names. Expect seconds; CIFAR-100 takes 185 MB.
"""

from lineage.errors import Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
from pathlib import Path

import numpy as np

from lineage import parts
from lineage.engine import tensors
from lineage.files import read_json, write_json


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="a key of `datasets` in data/datasets.yaml")
    name = parser.parse_args().dataset
    raw, classes = parts.read_raw(Path("data/raw", f"{name}.h5"))
    share = read_json(Path("recipes/splits", f"{name}.json"))["validation"]
    if share and (raw["part"] == 2).any():
        raise Mistake(f"{name}: its archive brings a validation split: take `validation` out of data/datasets.yaml")
    positions, dropped = parts.split(**raw, share=share or parts.VALIDATION)
    counts = parts.count(positions, raw["labels"], classes, dropped)
    for part, chosen in positions.items():
        arrays = {
            "images": np.ascontiguousarray(raw["images"][chosen].transpose(0, 3, 1, 2)),
            "labels": raw["labels"][chosen],
        }
        if part == "train":
            arrays["mean"], arrays["std"] = parts.channel_statistics(arrays["images"])
        if part == "test":
            arrays["names"] = np.frombuffer(raw["names"][chosen].tobytes(), np.uint8).reshape(len(chosen), -1)
        tensors.save(Path("data/tensors", name, f"{part}.safetensors"), arrays, classes)
    sizes = {f"{part}_images": len(chosen) for part, chosen in positions.items()}
    write_json(Path("metrics/data", f"{name}.json"), sizes | {"twins_dropped": dropped})
    print(f"{name}: {parts.table(counts, dropped)}")


if __name__ == "__main__":
    run(main)
