import json
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import REPOSITORY, dataset_recipe, folders_zip, one_line

KINDS = ["cat", "dog"]


@pytest.fixture
def archive(workspace):
    Path("data/sample").mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    members = {f"{('train', 'test')[i // 4]}/{KINDS[i % 2]}/{i}.png": image for i, image in enumerate(images)}
    path = folders_zip(workspace / "data/sample/mine.zip", members)
    dataset_recipe("mine", path, "folders", KINDS)
    return path


def test_it_writes_the_images(archive, run_script):
    result = run_script("fetch", "mine")
    assert result.returncode == 0, result.stderr
    with h5py.File("data/raw/mine.h5") as file:
        assert file["images"].shape == (8, 32, 32, 3)
        assert json.loads(file.attrs["classes"]) == KINDS
    said = "mine: 4 train, 4 test images from data/sample/mine.zip in data/raw/mine.h5"
    assert result.stdout.splitlines()[-1] == said
    assert [p.name for p in Path("data/raw").iterdir()] == ["mine.h5"]


def test_without_addresses_it_says_what_to_do(archive, run_here):
    Path("recipes/addresses.json").unlink()
    said = "recipes/addresses.json is missing: run `dvc repro recipes` first"
    assert said in one_line(run_here("fetch", "mine"), 2)


def test_a_mirror_serves(archive, workspace, run_here):
    (workspace / "mirror").mkdir()
    archive.rename(workspace / "mirror/mine.zip")
    said = one_line(run_here("fetch", "mine"), 2)
    assert (
        "cannot get mine.zip: it is not in data/sample or data/archives, and no address" in said
        and "`git add` it" in said
    )
    assert run_here("fetch", "mine", DATA_MIRROR=str(workspace / "mirror")).returncode == 0
    assert "DATA_MIRROR" in one_line(run_here("fetch", "mine", DATA_MIRROR=str(workspace / "nowhere")), 2)


def test_left_out_files_are_counted_and_named(workspace, run_here):
    Path("data/sample").mkdir(parents=True)
    image = np.zeros((4, 4, 3), np.uint8)
    members = {f"PetImages/{kind}/{i}.jpg": image + i for kind in ("Cat", "Dog") for i in range(30)}
    path = folders_zip(workspace / "data/sample/pets.zip", members | {"PetImages/Cat/666.jpg": b""})
    dataset_recipe("pets", path, "folders", KINDS, unreadable="skip")
    result = run_here("fetch", "pets")
    assert result.returncode == 0, result.stderr
    assert "left out 1 files that are no image: PetImages/Cat/666.jpg" in result.stdout
    dataset_recipe("pets", path, "folders", KINDS)
    assert "PetImages/Cat/666.jpg is not an image" in one_line(run_here("fetch", "pets"), 1)


def test_a_subset_of_an_archives_classes(workspace, run_here):
    Path("data/sample").mkdir(parents=True)
    archive = Path(shutil.copy(REPOSITORY / "data/sample/cifar-10-sample.tar", "data/sample"))
    dataset_recipe("pets", archive, "contact-sheets", KINDS, subset=True)
    result = run_here("fetch", "pets")
    assert result.returncode == 0, result.stderr
    with h5py.File("data/raw/pets.h5") as file:
        assert set(file["labels"][:]) == {0, 1} and json.loads(file.attrs["classes"]) == KINDS
    dataset_recipe("pets", archive, "contact-sheets", KINDS)
    assert run_here("fetch", "pets").returncode != 0  # its other classes are a mistake unless it is said


def test_an_unknown_data_set(archive, run_here):
    assert "recipes/datasets/nothing.json is missing" in one_line(run_here("fetch", "nothing"), 2)


def test_a_swapped_archive_is_refused(archive, run_here):
    folders_zip(archive, {"train/cat/1.png": np.zeros((32, 32, 3), np.uint8)})
    assert "damaged or another file" in one_line(run_here("fetch", "mine"), 1)
    assert not Path("data/raw").exists()


def test_a_full_disk_leaves_nothing_half_written(archive, workspace, run_script):
    raw = workspace / "data/raw"
    raw.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", raw], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        assert "No space left on device" in one_line(run_script("fetch", "mine"), 1)
        assert list(raw.iterdir()) == []
    finally:
        subprocess.run(["umount", raw], check=True)
