import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, dataset_recipe, folders_zip, one_line, sha256

from lineage.engine import tensors
from lineage.parts import channel_statistics, split


@pytest.fixture
def raw_signs(workspace, run_here):
    Path("data/sample").mkdir(parents=True)
    archive = Path(shutil.copy(REPOSITORY / "data/sample/signs.zip", "data/sample"))
    dataset_recipe("signs", archive, "folders", list("012345"), 64)
    assert run_here("fetch", "signs").returncode == 0


def test_real_signs_become_tensors(raw_signs, run_script, signs):
    assert run_script("preprocess", "signs").returncode == 0
    metrics = json.loads(Path("metrics/data/signs.json").read_text())
    assert metrics == {"train_images": 961, "val_images": 107, "test_images": 120, "twins_dropped": 12}
    parts = {part: tensors.load("signs", part) for part in ("train", "val", "test")}
    for arrays in parts.values():
        assert arrays["images"].dtype == np.uint8
        assert arrays["images"].shape[1:] == (3, 64, 64)
        assert arrays["labels"].dtype == np.int64
    chosen, _ = split(**signs)
    for part, arrays in parts.items():
        assert (arrays["labels"] == signs["labels"][chosen[part]]).all()
        assert (arrays["images"].transpose(0, 2, 3, 1) == signs["images"][chosen[part]]).all()
    assert parts["test"]["names"].tobytes() == signs["names"][chosen["test"]].tobytes()
    mean, std = channel_statistics(parts["train"]["images"])
    assert parts["train"]["mean"].tolist() == mean.tolist()
    assert parts["train"]["std"].tolist() == std.tolist()
    before = {path: sha256(path) for path in Path("data/tensors/signs").iterdir()}
    shutil.rmtree("data/tensors")
    assert run_script("preprocess", "signs").returncode == 0
    assert {path: sha256(path) for path in Path("data/tensors/signs").iterdir()} == before


def test_a_class_without_training_images_is_one_line(workspace, run_here):
    Path("data/sample").mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    members = {f"train/{'cat' if i < 6 else 'dog'}/{i}.png": image for i, image in enumerate(images)}
    members |= {f"test/dog/{i}.png": images[i] for i in range(6, 12)} | {"test/cat/x.png": images[0] // 2}
    dataset_recipe("mine", folders_zip(Path("data/sample/mine.zip"), members), "folders", ["cat", "dog"], 8)
    assert run_here("fetch", "mine").returncode == 0
    said = one_line(run_here("preprocess", "mine"), 2)
    assert "no image is left in train/dog (train 5 images, 0 to 5 a class; val 1 images, 0 to 1 a class; test 7" in said
    assert not Path("data/tensors").exists()
    assert not Path("metrics").exists()


def test_a_validation_split_of_the_archive_is_used(workspace, run_here):
    Path("data/sample").mkdir(parents=True)
    image = iter(np.random.default_rng(0).integers(0, 256, (18, 8, 8, 3), np.uint8))
    parts = ("Train", "Valid", "Test")
    members = {f"{part}/{kind}/{i}.png": next(image) for part in parts for kind in ("cat", "dog") for i in range(3)}
    dataset_recipe("mine", folders_zip(Path("data/sample/mine.zip"), members), "folders", ["cat", "dog"], 8)
    fetched = run_here("fetch", "mine")
    assert "train from Train/, test from Test/, val from Valid/" in fetched.stdout
    assert "mine: 6 train, 6 test, 6 val images from" in fetched.stdout
    result = run_here("preprocess", "mine")
    assert result.returncode == 0, result.stderr
    assert "mine: train 6 images, 3 to 3 a class; val 6 images, 3 to 3 a class; test 6 images" in result.stdout
    expected = np.stack([members[f"Valid/{kind}/{i}.png"] for kind in ("cat", "dog") for i in range(3)])
    assert (tensors.load("mine", "val")["images"].transpose(0, 2, 3, 1) == expected).all()
    dataset_recipe("mine", Path("data/sample/mine.zip"), "folders", ["cat", "dog"], 8, validation=0.2)
    assert "mine: its archive brings a validation split: take `validation` out" in one_line(
        run_here("preprocess", "mine"), 2
    )


def test_the_share_to_validate_on(workspace, run_here):
    Path("data/sample").mkdir(parents=True)
    image = iter(np.random.default_rng(0).integers(0, 256, (84, 8, 8, 3), np.uint8))
    members = {f"train/{kind}/{i}.png": next(image) for kind in ("cat", "dog") for i in range(40)}
    members |= {f"test/{kind}/{i}.png": next(image) for kind in ("cat", "dog") for i in range(2)}
    archive = folders_zip(Path("data/sample/mine.zip"), members)
    for share, expected in (({}, 4), ({"validation": 0.25}, 10), ({"validation": 0.002}, 1)):
        dataset_recipe("mine", archive, "folders", ["cat", "dog"], 8, **share)
        assert run_here("fetch", "mine").returncode == 0
        said = run_here("preprocess", "mine").stdout
        assert f"val {2 * expected} images, {expected} to {expected} a class" in said
        assert len(tensors.load("mine", "val")["labels"]) == 2 * expected


def test_without_raw_data(workspace, run_here):
    assert "run `dvc repro fetch@signs` first" in one_line(run_here("preprocess", "signs"), 2)
