import gzip
import hashlib
import io
import os
import pickle
import resource
import tarfile
import tempfile
import time
import unicodedata
import warnings
import zipfile
from datetime import timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import REPOSITORY, _add, cifar_twins, folders_zip, sha256
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from hypothesis.extra.numpy import arrays as arrays_of
from PIL import Image

from lineage import archives, parts
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
    members = {}
    for i, mode in enumerate(("L", "P", "RGBA", "CMYK")):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), (200, 100, 50)).convert(mode).save(buffer, "TIFF" if mode == "CMYK" else "PNG")
        members[f"train/{KINDS[i % 2]}/{i}.img"] = buffer.getvalue()
    arrays, _ = archives.read("folders", [folders_zip(tmp_path / "a.zip", small() | members)], KINDS, 8)
    assert arrays["images"].shape == (12, 8, 8, 3)


def test_a_file_that_is_no_image(tmp_path):
    path = folders_zip(tmp_path / "a.zip", small() | {"train/cat/notes.txt": b"not an image"})
    with pytest.raises(Failure, match=r"train/cat/notes.txt is not .*: it has none of the formats .*; take it out, or"):
        archives.read("folders", [path], KINDS, 32)
    arrays, skipped = archives.read("folders", [path], KINDS, 32, "skip")
    assert len(arrays["images"]) == 8
    assert skipped == ["train/cat/notes.txt"]


@pytest.mark.parametrize("classes", [["cat"], ["cat", "dog", "mouse"]])
def test_classes_must_agree(tmp_path, classes):
    with pytest.raises(Mistake, match=r"classes only in the archive or only in data/datasets.yaml: (dog|mouse)"):
        archives.read("folders", [folders_zip(tmp_path / "a.zip", small())], classes, 32)


def test_every_class_must_stand_in_both_parts(tmp_path):
    members = {name: image for name, image in small().items() if not name.startswith("test/dog")}
    with pytest.raises(Mistake, match="there is no image of test/dog; every class needs some in both parts"):
        archives.read("folders", [folders_zip(tmp_path / "a.zip", members)], KINDS, 32)


def split_zip(path, *folders):
    """Four images a class in each folder; `names_of` tells them apart."""
    image = iter(pictures(8 * len(folders)))
    return folders_zip(
        path, {f"{folder}/{kind}/{kind}-{i}.png": next(image) for folder in folders for kind in KINDS for i in range(4)}
    )


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("train", "test", "val"), (0, 1, 2)),
        (("mine/Train", "mine/TEST", "mine/Valid"), (0, 1, 2)),
        (("training", "testing", "validation"), (0, 1, 2)),
        (("ILSVRC/train", "ILSVRC/val"), (0, 1)),  # the labelled images that are not trained with are the test split
        (("test/train", "test/test"), (0, 1)),  # the innermost folder counts
    ],
)
def test_folders_of_splits_whatever_their_case(tmp_path, capsys, folders, expected):
    arrays, _ = archives.read("folders", [split_zip(tmp_path / "a.zip", *folders)], KINDS, 32)
    assert arrays["part"].tolist() == [number for number in expected for _ in range(8)]
    wanted = pictures(8 * len(folders))
    for number, of_split in zip(expected, wanted.reshape(len(folders), 8, 32, 32, 3), strict=True):
        assert (arrays["images"][arrays["part"] == number] == of_split).all()
    said = capsys.readouterr().out
    for folder, number in zip(folders, expected, strict=True):
        assert f"{archives.SPLITS[number]} from {folder.rsplit('/')[-1]}/" in said
    assert ("a tenth of the training images will validate" in said) == (folders[1] == "ILSVRC/val")


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (("fold1", "fold2"), "cat stands in fold1, fold2: call these folders train, test and val"),
        (("train", "dev", "test"), "dev/cat/cat-0.png lies in no class's folder within train, test"),
        (("train", "val", "other"), "other/cat/cat-0.png lies in no class's folder within train, val"),
        (("train",), "there is no image of test/cat, test/dog"),
    ],
)
def test_folders_that_tell_no_layout_are_refused(tmp_path, folders, said):
    with pytest.raises(Mistake, match=said):
        archives.read("folders", [split_zip(tmp_path / "a.zip", *folders)], KINDS, 32)


def test_a_test_split_without_labels_is_refused(tmp_path):
    members = small() | {"test/1.png": pictures(1)[0]}
    with pytest.raises(Mistake, match=r"test/1.png lies in no class's folder"):
        archives.read("folders", [folders_zip(tmp_path / "a.zip", members)], KINDS, 32)


@pytest.mark.parametrize("folders", [("train", "test"), ()])
def test_a_class_may_be_called_like_a_split(tmp_path, folders):
    kinds = ["bus", "train"]
    members = {
        f"{folder}/{kind}/{i}.png".lstrip("/"): image
        for folder in folders or [""]
        for kind in kinds
        for i, image in enumerate(pictures(40, 4))
    }
    arrays, _ = archives.read("folders", [folders_zip(tmp_path / "a.zip", members)], kinds, 4)
    assert np.bincount(arrays["labels"]).tolist() == [len(arrays["labels"]) // 2] * 2
    assert 0 < arrays["part"].sum() < len(arrays["part"])


def encoded(mode, values, format="TIFF", **options):
    buffer = io.BytesIO()
    Image.fromarray(values).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_sixteen_bits_are_scaled(format):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    image = archives.decode(encoded("I;16", ramp, format))
    assert image.dtype == np.uint8
    assert (image == np.arange(256).reshape(16, 16, 1)).all()


def test_twelve_bits_and_zero_as_white_are_minded():
    """TIFF has both; its tags of one number are changed in place."""
    content = encoded("I;16", np.array([[0xF0FF, 0x0000]], np.uint16))  # twelve bits: 0xFFF and 0x000

    def with_tag(number, value):
        start = content.index(number.to_bytes(2, "little") + b"\3\0\1\0\0\0") + 8
        return content[:start] + value.to_bytes(2, "little") + content[start + 2 :]

    assert archives.decode(content)[0, :, 0].tolist() == [round(0xF0FF / 257), 0]
    assert archives.decode(with_tag(258, 12))[0, :, 0].tolist() == [255, 0]
    assert archives.decode(with_tag(262, 0))[0, :, 0].tolist() == [255 - round(0xF0FF / 257), 255]


def test_values_without_a_range_are_refused(tmp_path):
    for mode, values in (("F", np.eye(8, dtype=np.float32)), ("I", np.eye(8, dtype=np.int32))):
        members = small() | {"train/cat/strange.tif": encoded(mode, values)}
        with pytest.raises(Failure, match=r"train/cat/strange.tif is not .*: its values are .* whose range is not def"):
            archives.read("folders", [folders_zip(tmp_path / "a.zip", members)], KINDS, 32)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_come_upright(format, orientation):
    """The tag says where the first row and the first column are: only then is the upper left corner the only white."""
    upright = np.zeros((32, 64, 3), np.uint8)
    upright[:16, :32] = 255
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: upright.swapaxes(0, 1)[::-1],
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: upright.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded("RGB", np.ascontiguousarray(stored), format, exif=exif)
    image = archives.decode(content).astype(int)
    assert image.shape == upright.shape
    assert abs(image - upright)[4:12, 4:28].max() < 60
    assert abs(image - upright).mean() < 10


def test_damaged_exif_data_do_not_lose_an_image():
    content = encoded("RGB", pictures(1)[0], "PNG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12")
    assert (archives.decode(content) == pictures(1)[0]).all()


def test_transparency_lies_on_white():
    image = np.zeros((4, 4, 4), np.uint8)
    image[0] = (10, 20, 30, 255)
    assert archives.decode(encoded("RGBA", image, "PNG"))[:2, 0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_whatever_a_decoder_raises_is_the_files_fault(tmp_path, monkeypatch):
    path, opened = folders_zip(tmp_path / "a.zip", {"train/cat/bad.avif": b"bad"} | small()), Image.open
    for error in (RuntimeError("avif"), SyntaxError("png"), MemoryError(), ZeroDivisionError(), KeyError("tiff")):

        def fails(file, error=error, **options):
            if file.getvalue() == b"bad":
                raise error
            return opened(file, **options)

        monkeypatch.setattr(Image, "open", fails)
        arrays, skipped = archives.read("folders", [path], KINDS, 32, "skip")
        with pytest.raises(Failure, match=r"train/cat/bad.avif is not an image that can be read"):
            archives.read("folders", [path], KINDS, 32)
        assert skipped == ["train/cat/bad.avif"]
        assert len(arrays["images"]) == 8


def test_no_image_runs_a_program(tmp_path):
    eps = encoded("RGB", pictures(1)[0], "EPS")
    with pytest.raises(ValueError, match="none of the formats"):
        archives.decode(eps)


def test_zips_of_windows_and_macos(tmp_path):
    """Backslashes, decomposed accents, and UTF-8 without the flag give what a plain zip gives."""
    kinds = ["café", "thé"]
    images = pictures(8)
    names = [f"{part}/{kind}/ä{i}.png" for part in ("train", "test") for kind in kinds for i in range(2)]

    def read(spelled, unflagged=False):
        path = folders_zip(tmp_path / "a.zip", dict(zip(map(spelled, names), images, strict=True)))
        if unflagged:
            content = bytearray(path.read_bytes())
            for start, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
                at = content.find(start)
                while at >= 0:
                    content[at + flags + 1] &= ~0x08
                    at = content.find(start, at + 4)
            path.write_bytes(content)
            with zipfile.ZipFile(path) as archive:
                assert archive.namelist()[0] != names[0]
        return archives.read("folders", [path], kinds, 32)[0]

    expected = read(str)
    assert expected["names"][0].decode() == "ä0.png"
    for arrays in (
        read(lambda name: name.replace("/", "\\")),
        read(lambda name: unicodedata.normalize("NFD", name)),
        read(str, unflagged=True),
        read(lambda name: unicodedata.normalize("NFD", name).replace("/", "\\"), unflagged=True),
    ):
        assert all((arrays[key] == expected[key]).all() for key in expected)


def test_names_of_classes_in_another_case_or_spelling(tmp_path):
    path = folders_zip(tmp_path / "a.zip", {name.replace("cat", "Cat"): image for name, image in small().items()})
    arrays, _ = archives.read("folders", [path], ["CAT", unicodedata.normalize("NFD", "dog")], 32)
    assert arrays["labels"].tolist() == [0, 0, 1, 1] * 2


def test_a_bomb_is_refused_before_it_unpacks(tmp_path):
    path = folders_zip(tmp_path / "bomb.zip", small())
    content = bytearray(path.read_bytes())
    at = content.find(b"PK\x01\x02") + 24  # where the list of members has the first one's size
    content[at : at + 4] = (3 * 10**9).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(Failure, match=r"bomb.zip would unpack to more than \d+ MiB"):
        archives.read("folders", [path], KINDS, 32)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        for name, content in small().items():
            archive.writestr(name, encoded("RGB", content, "PNG"))
    with pytest.raises(Failure, match="compressed in an unusual way"):
        archives.read("folders", [path], KINDS, 32)
    with pytest.raises(Failure, match="lower image_size"):
        archives.read("folders", [folders_zip(path, small())], KINDS, 8000)
    with pytest.raises(ValueError, match="10000×10000 pixels are too many"):
        archives.decode(encoded("1", np.zeros((10_000, 10_000), bool), "PNG"))


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


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x80\x02}r\xff\xff\xff\x0f.",  # entry 2**28 of the memo: 4 GB of nothing
        b"\x80\x02cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x8a\x07" + b"\x7f" * 7 + b"\x85U\x01b\x87R.",
    ],
)
def test_a_pickle_cannot_ask_for_the_memory(workspace, hostile):
    with tarfile.open("bad.tar.gz", "w:gz") as tar:
        _add(tar, "cifar-10-batches-py/batches.meta", hostile)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Failure, match=r"batches.meta asks for more memory than it can need"):
        archives.read("cifar-python", [Path("bad.tar.gz")], KINDS, 32)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # in KB


def test_a_bomb_in_a_tar_is_refused(tmp_path):
    member = tarfile.TarInfo("cifar-10-batches-py/batches.meta")
    member.size = 300 * 2**20
    zeros = gzip.compress(b"\0" * 2**20)
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(member.tobuf()) + zeros * 301)
    with pytest.raises(Failure, match=r"bomb.tar.gz would unpack to more than \d+ MiB"):
        archives.read("cifar-python", [path], KINDS, 32)


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


@pytest.mark.parametrize("shape", [(4,), (1, 4), (4, 1)])
def test_h5_labels_as_row_or_column(tmp_path, shape):
    files = [h5_pair(tmp_path, pictures(4), np.array([0, 1, 0, 1]).reshape(shape), part) for part in archives.PARTS]
    assert archives.read("h5", files, KINDS, 32)[0]["labels"].tolist() == [0, 0, 1, 1] * 2


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 1, 0, -1], r"train_set_y in train.h5 has the labels -1, but the classes are 0 to 1"),
        ([0, 1, 0, 2], r"has the labels 2, but"),
        ([0.0, 1.0, 0.5, 1.0], r"is float64 \(4,\), not integers, one for each of the 4 images"),
        ([0, 1, 0], r"int64 \(3,\), not integers, one for each of the 4 images"),
        ([[0, 1], [0, 1]], r"int64 \(2, 2\), not integers"),
    ],
)
def test_h5_labels_that_are_none(tmp_path, labels, said):
    files = [h5_pair(tmp_path, pictures(4), [0, 1, 0, 1], part) for part in archives.PARTS]
    h5_pair(tmp_path, pictures(4), labels, "train")
    with pytest.raises(Failure, match=said):
        archives.read("h5", files, KINDS, 32)


def test_labels_of_other_formats_are_checked_too(tmp_path):
    official, sheets = cifar_twins(tmp_path, pictures(6), np.array([0, 1] * 3), list("abcdef"), KINDS, test_from=4)
    with tarfile.open(official) as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar}
    batch = pickle.loads(members["cifar-10-batches-py/data_batch_1"], encoding="bytes")
    batch[b"labels"][0] = -1
    members["cifar-10-batches-py/data_batch_1"] = pickle.dumps(batch, protocol=2)
    with tarfile.open(official, "w:gz") as tar:
        for name, content in members.items():
            _add(tar, name, content)
    with pytest.raises(Failure, match="data_batch_1 has the labels -1"):
        archives.read("cifar-python", [official], KINDS, 32)
    with tarfile.open(sheets) as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar}
    for wrong in (b"train,cat,-1,x.png", b"dev,cat,0,x.png"):
        with tarfile.open(sheets, "w") as tar:
            for name, content in members.items():
                _add(tar, name, content + wrong if name == "names.csv" else content)
        with pytest.raises(Failure, match=r"names.csv has the split '(train|dev)' and the position"):
            archives.read("contact-sheets", [sheets], KINDS, 32)


def test_h5_arrays_lie_in_the_file_itself(tmp_path):
    files = [h5_pair(tmp_path, pictures(4), [0, 1, 0, 1], part) for part in archives.PARTS]
    (tmp_path / "secret").write_bytes(b"\0" * 4 * 32 * 32 * 3)

    def external(file):
        space, space_type = h5py.h5s.create_simple((4, 32, 32, 3)), h5py.h5t.NATIVE_UINT8
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_external(str(tmp_path / "secret").encode(), 0, 4 * 32 * 32 * 3)
        h5py.h5d.create(file.id, b"train_set_x", space_type, space, plist)

    def virtual(file):
        layout = h5py.VirtualLayout((4, 32, 32, 3), np.uint8)
        layout[:] = h5py.VirtualSource(files[1], "test_set_x", (4, 32, 32, 3))
        file.create_virtual_dataset("train_set_x", layout)

    def link(file):
        file["train_set_x"] = h5py.ExternalLink(files[1], "test_set_x")

    def group(file):
        file.create_group("train_set_x")

    for other in (external, virtual, link, group):
        h5_pair(tmp_path, pictures(4), [0, 1, 0, 1], "train")
        with h5py.File(files[0], "a") as file:
            del file["train_set_x"]
            other(file)
        with pytest.raises(Failure, match="is no array, or one that lies in another file"):
            archives.read("h5", files, KINDS, 32)


@pytest.mark.parametrize("options", [{"shape": (10**6, 64, 64, 3), "chunks": (1, 64, 64, 3)}, {"shape": (2**40,)}])
def test_an_h5_bomb_is_refused_before_it_unpacks(tmp_path, options):
    files = [h5_pair(tmp_path, pictures(4), [0, 1, 0, 1], part) for part in archives.PARTS]
    with h5py.File(files[0], "a") as file:
        del file["train_set_x"]
        file.create_dataset("train_set_x", dtype=np.uint8, **options)
    with pytest.raises(Failure, match="would unpack to more than"):
        archives.read("h5", files, KINDS, 32)


def test_h5_images_of_another_shape(tmp_path):
    files = [h5_pair(tmp_path, pictures(4)[..., 0], [0, 1, 0, 1], part) for part in archives.PARTS]
    with pytest.raises(Failure, match=r"uint8 \(4, 32, 32\), not uint8 N×H×W×3"):
        archives.read("h5", files, KINDS, 32)


# --- hostile input: any bytes give sound data or one clear error ---

# derandomize: the same inputs every time. Ten thousand and more: FUZZ_EXAMPLES=2500 pytest -k fuzz
fuzz = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", 75)),
    derandomize=True,
    database=None,
    deadline=timedelta(seconds=10),  # neither a hang
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def within_a_gigabyte():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # in KB


@st.composite
def damaged(draw, whole):
    """The bytes with up to three pieces overwritten, cut out or doubled; the first bytes, which rule, more often."""
    content = bytearray(whole)
    numbers = st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\1\0"])
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, min(len(content), draw(st.sampled_from([64, 1024, len(content)])))))
        piece = draw(st.integers(1, 64))
        match draw(st.sampled_from(["overwrite", "cut", "double"])):
            case "overwrite":
                new = draw(st.binary(min_size=1, max_size=4) | numbers)
                content[at : at + len(new)] = new
            case "cut":
                del content[at : at + piece]
            case "double":
                content[at:at] = content[at : at + piece]
    return bytes(content)


def photographs():
    """A small image in every format and mode that is read."""
    image = Image.fromarray(pictures(1, 12)[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [(format, "RGB", {}) for format in archives.IMAGES if format != "AVIF"]
    kinds += [("AVIF", "RGB", {"speed": 10}), ("JPEG", "RGB", {"exif": exif, "progressive": True}), ("PNG", "P", {})]
    kinds += [("PNG", "RGBA", {}), ("PNG", "I;16", {}), ("TIFF", "F", {}), ("TIFF", "I;16", {}), ("WEBP", "RGBA", {})]
    kinds += [("TIFF", "RGB", {"compression": way}) for way in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")]
    kinds += [("JPEG", "CMYK", {}), ("GIF", "RGB", {"save_all": True, "append_images": [image.rotate(90)]})]
    for format, mode, options in kinds:
        buffer = io.BytesIO()
        image.convert("L" if mode == "I;16" else "RGB").convert(mode).save(buffer, format, **options)
        yield buffer.getvalue()


any_image = st.sampled_from(list(photographs())).flatmap(damaged) | st.binary(max_size=64)


@fuzz
@given(any_image)
def test_fuzz_images(within_a_gigabyte, content):
    try:
        image = archives.decode(content)
    except ValueError as error:
        assert str(error)
    else:
        assert image.dtype == np.uint8
        assert image.ndim == 3 and image.shape[2] == 3 and 0 < image.size <= 3 * archives.PIXELS


def sound_or_said(format, contents, unreadable="error"):
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{i}.archive") for i in range(len(contents))]
        for file, content in zip(files, contents, strict=True):
            file.write_bytes(content)
        try:
            arrays, skipped = archives.read(format, files, KINDS, 8, unreadable)
            split, dropped = parts.split(**arrays)
            counts = parts.count(split, arrays["labels"], KINDS, dropped)
        except (Mistake, Failure) as error:
            assert str(error)
            return
        assert [file.name for file in sorted(Path(folder).iterdir())] == [file.name for file in files]
    n = len(arrays["images"])
    assert arrays["images"].shape == (n, 8, 8, 3) and arrays["images"].dtype == np.uint8
    assert {len(array) for array in arrays.values()} == {n}
    assert set(arrays["labels"].tolist()) == {0, 1}
    assert {0, 1} <= set(arrays["part"].tolist()) <= {0, 1, 2}
    assert all(of.any() for of in counts.values())
    chosen = np.concatenate(list(split.values()))
    assert len(set(chosen.tolist())) == len(chosen) == n - dropped
    assert unreadable == "skip" or not skipped


PNGS = [encoded("RGB", picture, "PNG") for picture in pictures(12, 8)]


@st.composite
def any_zip(draw):
    """Some sound images, and members with names and contents of every kind."""
    folder = st.sampled_from(["train", "Train", "test", "val", "valid", "dev", "cat", "dog", "..", "", "é", "__MACOSX"])
    name = st.lists(folder | st.text(max_size=4), max_size=4).flatmap(
        lambda folders: st.sampled_from(["/", "\\"]).map(lambda separator: separator.join([*folders, "1.png"]))
    )
    members = [
        (f"{part}/{kind}/{i}.png", PNGS[k * 6 + p * 3 + i])
        for k, kind in enumerate(KINDS)
        for p, part in enumerate(("train", "test"))
        for i in range(3)
    ]
    members += draw(st.lists(st.tuples(name, st.sampled_from(PNGS) | any_image), max_size=4))
    buffer, way = io.BytesIO(), st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "w", draw(way)) as archive:
        for path, content in members:
            member = zipfile.ZipInfo(path.encode("utf-8", "replace").decode())  # whose date is always the same
            member.compress_type = archive.compression
            archive.writestr(member, content)
    return draw(damaged(buffer.getvalue())) if draw(st.booleans()) else buffer.getvalue()


@fuzz
@given(any_zip() | st.binary(max_size=64), st.sampled_from(["error", "skip"]))
def test_fuzz_zips(within_a_gigabyte, content, unreadable):
    sound_or_said("folders", [content], unreadable)


@st.composite
def any_h5(draw):
    """A pair of files: sound ones, or with arrays of every kind of number and shape; whole or damaged."""
    number = st.sampled_from([np.uint8, np.int8, np.int64, np.uint64, np.float32, np.bool_, "S2"])
    filters = [{}, {"compression": "gzip"}, {"compression": "lzf"}, {"shuffle": True, "fletcher32": True}]
    sound, options, contents = draw(st.booleans()), draw(st.sampled_from(filters)), []
    for part in archives.PARTS:
        n = 8 if sound else draw(st.integers(0, 8))
        images = np.random.default_rng(ord(part[1])).integers(0, 256, (n, 8, 8, 3), np.uint8)
        labels, kinds = np.arange(n) % 2, [b"cat", b"dog"]
        if not sound:
            shape = draw(st.just(images.shape) | array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
            images = np.resize(images, shape).astype(draw(st.just(np.uint8) | number))
            shapes = st.sampled_from([n, (1, n), (n, 1), (n, 2), ()])
            labels = draw(st.just(labels) | arrays_of(draw(number), draw(shapes)))
            kinds = draw(st.sampled_from([kinds, ["cat", "dog"], [0, 1], [b"\xff", b"a"], b"cat"]))
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file.create_dataset(f"{part}_set_x", data=images, **(options if images.ndim and images.size else {}))
            file[f"{part}_set_y"], file["list_classes"] = labels, kinds
        contents.append(buffer.getvalue())
    return [draw(damaged(content)) for content in contents] if draw(st.booleans()) else contents


@fuzz
@given(any_h5() | st.lists(st.binary(max_size=64), min_size=2, max_size=2))
def test_fuzz_h5(within_a_gigabyte, contents):
    sound_or_said("h5", contents)


@pytest.fixture(scope="module")
def fixed_archives(tmp_path_factory):
    labels, names = np.array([0, 1] * 8), [f"{i:02}.png" for i in range(16)]
    files = cifar_twins(tmp_path_factory.mktemp("fuzz"), pictures(16), labels, names, KINDS, test_from=8)
    return {"cifar-python": gzip.decompress(files[0].read_bytes()), "contact-sheets": files[1].read_bytes()}


@fuzz
@given(st.data(), st.sampled_from(["cifar-python", "contact-sheets"]))
def test_fuzz_tars(within_a_gigabyte, fixed_archives, data, format):
    content = data.draw(damaged(fixed_archives[format]))
    sound_or_said(format, [gzip.compress(content, 1) if format == "cifar-python" else content])


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


def test_a_subset_of_an_archives_classes():
    sheets = REPOSITORY / "data/sample/cifar-10-sample.tar"
    with pytest.raises(Mistake, match="classes only in the archive"):
        archives.read("contact-sheets", [sheets], ["cat", "dog"], 32)
    arrays, skipped = archives.read("contact-sheets", [sheets], ["cat", "dog"], 32, subset=True)
    assert not skipped
    assert np.bincount(arrays["part"] * 2 + arrays["labels"]).tolist() == [100, 100, 40, 40]
