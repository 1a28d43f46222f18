import io
import tarfile

import numpy as np
import pytest
from conftest import REPOSITORY, sha256

import sample
from lineage import archives, decoding, params

FOLDER = REPOSITORY / "data/sample"
BLOCKS = params.read(REPOSITORY).datasets


def test_it_is_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 8_000_000


@pytest.mark.parametrize("name", BLOCKS)
def test_params_yaml_has_its_hash(name):
    block = BLOCKS[name].sample
    assert sha256(FOLDER / block.name) == block.sha256


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "cats-vs-dogs"])
def test_every_class_is_there_equally_often(name):
    block = BLOCKS[name]
    path = FOLDER / block.sample.name
    arrays, _ = archives.read(block.sample.format, [path], block.classes, 32)
    train, test = (400, 200) if name == "cats-vs-dogs" else (1000, 400)
    for part, n in ((0, train), (1, test)):
        counts = np.bincount(arrays["labels"][arrays["part"] == part])
        assert counts.tolist() == [n // len(block.classes)] * len(block.classes)


def test_the_sheets_are_lossless_and_the_same_every_time():
    generator = np.random.default_rng(0)
    raw = {
        "part": np.array([0] * 6 + [1] * 4, np.uint8),
        "labels": np.array([0, 0, 0, 1, 1, 1, 0, 0, 1, 1]),
        "names": np.array([b"%d.png" % i for i in range(10)]),
        "images": generator.integers(0, 256, (10, 32, 32, 3), np.uint8),
    }
    content = sample.make(raw, ["cat", "dog"], ["dog"], {"train": 2, "test": 1})
    assert content == sample.make(raw, ["cat", "dog"], ["dog"], {"train": 2, "test": 1})
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        sheet = decoding.decode(tar.extractfile("train/dog.webp").read())
    assert (sheet[:32, 32:64] == raw["images"][4]).all()
