import io
import re
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


def test_how_much_the_test_images_of_signs_resemble_its_training_images():
    """As data/sample/README.md and README.md say; test images that are training images, too, are left out."""
    block = BLOCKS["signs"]
    arrays, _ = archives.read(block.sample.format, [FOLDER / block.sample.name], block.classes, 64)
    images, test = arrays["images"].astype(np.float64), arrays["part"] == 1
    numbers = np.array([int(re.search(rb"IMG_(\d+)", name)[1]) for name in arrays["names"]])
    same = {image.tobytes() for image in images[test]}
    train = np.array([image.tobytes() not in same for image in images]) & ~test
    small = images.reshape(len(images), 32, 2, 32, 2, 3).mean((2, 4)).reshape(len(images), -1)
    distances = (small[test] ** 2).sum(1)[:, None] - 2 * small[test] @ small[train].T + (small[train] ** 2).sum(1)
    nearest = np.flatnonzero(train)[distances.argmin(1)]
    right = arrays["labels"][nearest] == arrays["labels"][test]
    near = right & (abs(numbers[nearest] - numbers[test]) <= 5)
    assert (train.sum(), test.sum(), right.sum(), near.sum()) == (1068, 120, 109, 66)
    chance = [
        np.mean((arrays["labels"][train] == label) & (abs(numbers[train] - number) <= 5))
        for label, number in zip(arrays["labels"][test], numbers[test], strict=True)
    ]
    assert 1 < sum(chance) < 2


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
