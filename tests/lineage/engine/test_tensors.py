from pathlib import Path

import numpy as np
import pytest
from conftest import sha256

from lineage.engine import tensors
from lineage.errors import Failure, Mistake


def test_saved_parts_come_back_and_give_the_same_bytes(workspace):
    generator = np.random.default_rng(0)
    arrays = {"images": generator.integers(0, 256, (400, 3, 4, 4), np.uint8), "labels": np.arange(400) % 4}
    path = Path("data/tensors/mine/val.safetensors")
    tensors.save(path, arrays, ["a", "b"])
    first = sha256(path)
    tensors.save(path, arrays, ["a", "b"])
    assert sha256(path) == first
    assert (tensors.load("mine", "val")["images"] == arrays["images"]).all()
    few = tensors.load("mine", "val", most=10)
    assert len(few["images"]) == len(few["labels"]) == 10
    assert (few["images"] == arrays["images"][[0, 44, 89, 133, 177, 222, 266, 310, 355, 399]]).all()
    assert len(tensors.load("mine", "val", most=1000)["labels"]) == 400
    assert [tensors.length("mine", "val", most) for most in (None, 10, 1000)] == [400, 10, 400]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(Failure, match=r"val\.safetensors is damaged"):
        tensors.load("mine", "val")
    with pytest.raises(Mistake, match="run `dvc repro preprocess@mine` first"):
        tensors.load("mine", "train")
