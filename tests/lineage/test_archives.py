import hashlib
import os
import pickle
import tarfile
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import _add, cifar_twins, folders_zip, sha256

from lineage import archives
from lineage.errors import Failure, Mistake

KINDS = ["cat", "dog"]


def pictures(n, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), np.uint8)


def test_the_official_archive_and_its_contact_sheets_give_the_same_bytes(tmp_path):
    images, labels = pictures(14), np.array([0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 1, 0])
    names = [f"{hashlib.md5(bytes([i])).hexdigest()[:6]}.png" for i in range(14)]
    official, sheets = cifar_twins(tmp_path, images, labels, names, KINDS, test_from=9)
    for number, (format, file) in enumerate((("cifar-python", official), ("contact-sheets", sheets))):
        arrays, skipped = archives.read(format, [file], KINDS, 32)
        assert skipped == []
        archives.write(tmp_path / f"{number}.h5", arrays, KINDS)
    assert sha256(tmp_path / "0.h5") == sha256(tmp_path / "1.h5")
    order = sorted(range(14), key=lambda i: (i >= 9, labels[i], names[i]))
    assert (arrays["images"] == images[order]).all()
    assert (arrays["labels"] == labels[order]).all()
    assert arrays["part"].tolist() == [0] * 9 + [1] * 5


def test_bytes_do_not_depend_on_the_clock(tmp_path):
    arrays = archives.read("folders", [folders_zip(tmp_path / "a.zip", small())], KINDS, 32)[0]
    archives.write(tmp_path / "a.h5", arrays, KINDS)
    time.sleep(1.1)
    archives.write(tmp_path / "b.h5", arrays, KINDS)
    assert sha256(tmp_path / "a.h5") == sha256(tmp_path / "b.h5")


def small():
    image = iter(pictures(8))
    return {f"{part}/{kind}/{i}.png": next(image) for part in ("train", "test") for kind in KINDS for i in range(2)}


def test_folders_of_any_depth_and_size(tmp_path):
    members = {f"mine/{name}": np.repeat(np.repeat(image, 2, 0), 3, 1) for name, image in small().items()}
    members["mine/train/cat/.DS_Store"] = b"rubbish"
    members["__MACOSX/mine/train/cat/x.png"] = b"rubbish"
    arrays, _ = archives.read("folders", [folders_zip(tmp_path / "a.zip", members)], KINDS, 32)
    assert arrays["images"].shape == (8, 32, 32, 3)
    assert arrays["labels"].tolist() == [0, 0, 1, 1] * 2


def test_without_parts_a_tenth_is_the_test_part_by_name(tmp_path):
    images = pictures(400, size=2)
    members = {f"PetImages/{('Cat', 'Dog')[i % 2]}/{i // 2}.png": images[i] for i in range(400)}
    arrays, _ = archives.read("folders", [folders_zip(tmp_path / "a.zip", members)], KINDS, 2)
    assert 20 < arrays["part"].sum() < 60
    few = dict(list(members.items())[::3])
    fewer, _ = archives.read("folders", [folders_zip(tmp_path / "b.zip", few)], KINDS, 2)

    def test_names(a):
        return {(label, name) for part, label, name in zip(a["part"], a["labels"], a["names"], strict=True) if part}

    kept = {("Cat", "Dog").index(name.split("/")[1]): set() for name in few}
    for name in few:
        kept[("Cat", "Dog").index(name.split("/")[1])].add(name.split("/")[2].encode())
    assert test_names(fewer) == {(label, name) for label, name in test_names(arrays) if name in kept[label]}


def test_grey_palette_and_transparent_images_become_rgb(tmp_path):
    from io import BytesIO

    from PIL import Image

    members = {}
    for i, mode in enumerate(("L", "P", "RGBA", "CMYK")):
        buffer = BytesIO()
        Image.new("RGB", (8, 8), (200, 100, 50)).convert(mode).save(buffer, "TIFF" if mode == "CMYK" else "PNG")
        members[f"train/{KINDS[i % 2]}/{i}.img"] = buffer.getvalue()
    arrays, _ = archives.read("folders", [folders_zip(tmp_path / "a.zip", small() | members)], KINDS, 8)
    assert arrays["images"].shape == (12, 8, 8, 3)


def test_a_file_that_is_no_image(tmp_path):
    path = folders_zip(tmp_path / "a.zip", small() | {"train/cat/notes.txt": b"not an image"})
    with pytest.raises(Failure, match=r"train/cat/notes.txt is not an image that can be read: it has none of.*; take it out, or"):
        archives.read("folders", [path], KINDS, 32)
    arrays, skipped = archives.read("folders", [path], KINDS, 32, "skip")
    assert len(arrays["images"]) == 8
    assert skipped == ["train/cat/notes.txt"]


@pytest.mark.parametrize("classes", [["cat"], ["cat", "dog", "mouse"]])
def test_classes_must_agree(tmp_path, classes):
    with pytest.raises(Mistake, match=r"classes only in the archive or only in params.yaml: (dog|mouse)"):
        archives.read("folders", [folders_zip(tmp_path / "a.zip", small())], classes, 32)


def test_every_class_must_stand_in_both_parts(tmp_path):
    members = {name: image for name, image in small().items() if not name.startswith("test/dog")}
    with pytest.raises(Mistake, match="there is no image of test/dog; every class needs some in both parts"):
        archives.read("folders", [folders_zip(tmp_path / "a.zip", members)], KINDS, 32)


def test_an_encrypted_zip_is_said(tmp_path):
    path = folders_zip(tmp_path / "a.zip", small())
    content = bytearray(path.read_bytes())
    for start, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # set the flag that says "encrypted"
        content[content.find(start) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(Failure, match="password required"):
        archives.read("folders", [path], KINDS, 32)


@pytest.mark.parametrize("format", archives.FORMATS)
@pytest.mark.parametrize(
    "damage", [lambda whole: whole[: len(whole) // 2], lambda whole: b"rubbish", lambda whole: b""]
)
def test_damaged_archives_are_said_in_one_line(tmp_path, format, damage):
    official, sheets = cifar_twins(tmp_path, pictures(6), np.array([0, 1] * 3), list("abcdef"), KINDS, test_from=4)
    h5 = [h5_pair(tmp_path, pictures(4), [0, 1, 0, 1], part) for part in archives.PARTS]
    files = {"cifar-python": [official], "contact-sheets": [sheets], "h5": h5}
    files["folders"] = [folders_zip(tmp_path / "a.zip", small())]
    broken = tmp_path / "broken"
    broken.write_bytes(damage(files[format][0].read_bytes()))
    with pytest.raises(Failure, match=r"broken.* cannot be read as") as error:
        archives.read(format, [broken, *files[format][1:]], KINDS, 32)
    assert "\n" not in str(error.value).strip()


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


def test_a_pickle_cannot_run_code(workspace):
    for content in (Evil(), {b"data": np.array([Evil()], dtype=object)}):
        with tarfile.open("bad.tar.gz", "w:gz") as tar:
            _add(tar, "cifar-10-batches-py/batches.meta", pickle.dumps(content))
        with pytest.raises(Failure, match="system has no place in a data set"):
            archives.read("cifar-python", [Path("bad.tar.gz")], KINDS, 32)
    assert not Path("evil").exists()


def test_archives_cannot_write_files(workspace):
    outside = {"../outside/train/cat/1.png": pictures(1)[0], f"{workspace}/train/dog/1.png": pictures(1)[0]}
    archives.read("folders", [folders_zip(workspace / "a.zip", small() | outside)], KINDS, 32)
    assert [p.name for p in workspace.iterdir()] == ["a.zip"]
    assert not (workspace.parent / "outside").exists()


def h5_pair(folder, images, labels, part):
    path = folder / f"{part}.h5"
    with h5py.File(path, "w") as file:
        file[f"{part}_set_x"], file[f"{part}_set_y"] = images, np.array(labels)
        file["list_classes"] = np.array([b"cat", b"dog"])
    return path


def test_h5_pairs(tmp_path):
    files = [h5_pair(tmp_path, pictures(4), [0, 1, 0, 1], part) for part in archives.PARTS]
    arrays, _ = archives.read("h5", files, KINDS, 32)
    assert arrays["names"][:3].tolist() == [b"train-00000", b"train-00002", b"train-00001"]
    assert (arrays["images"][1] == pictures(4)[2]).all()
    with h5py.File(files[0], "a") as file:
        del file["train_set_x"]
    with pytest.raises(Failure, match=r"train_set_x are missing from train.h5"):
        archives.read("h5", files, KINDS, 32)


def test_h5_images_of_another_shape(tmp_path):
    files = [h5_pair(tmp_path, pictures(4)[..., 0], [0, 1, 0, 1], part) for part in archives.PARTS]
    with pytest.raises(Failure, match=r"uint8 \(4, 32, 32\), not uint8 N×H×W×3"):
        archives.read("h5", files, KINDS, 32)


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        archives.write(tmp_path / "a.h5", {"images": pictures(2), "names": np.array([object()])}, KINDS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif("not Path(os.environ.get('DATA_MIRROR', ''), 'test_signs.h5').is_file()", reason="no archive")
def test_the_real_h5_file_of_signs(tmp_path):
    test = Path(os.environ["DATA_MIRROR"], "test_signs.h5")
    with h5py.File(test) as file, h5py.File(tmp_path / "train.h5", "w") as train:
        train["train_set_x"], train["train_set_y"] = file["test_set_x"][:30], file["test_set_y"][..., :30]
        train["list_classes"] = file["list_classes"][()]
    arrays, _ = archives.read("h5", [tmp_path / "train.h5", test], list("012345"), 64)
    assert arrays["part"].sum() == 120
    assert np.bincount(arrays["labels"][arrays["part"] == 1]).tolist() == [20] * 6
