import io
import unicodedata
import warnings
import zipfile

import numpy as np
import pytest
from conftest import folders_zip, takes_at_most
from hypothesis import given
from hypothesis import strategies as st
from test_archives import KINDS, damaged, fuzz, pictures, small, sound_or_said
from test_decoding import any_image, encoded

from lineage import archive_formats, archives, decoding
from lineage.errors import Failure, Mistake


def test_folders_of_any_depth_and_size(tmp_path):
    members = {f"mine/{name}": np.repeat(np.repeat(image, 2, 0), 3, 1) for name, image in small().items()}
    members["mine/train/cat/.DS_Store"] = b"rubbish"
    members["__MACOSX/mine/train/cat/x.png"] = b"rubbish"
    above = {f"../{name}": image for name, image in members.items()}  # of `zip -r a.zip ../mine`
    for name, content in (("a", members), ("b", above)):
        arrays, _ = archives.read("folders", [folders_zip(tmp_path / f"{name}.zip", content)], KINDS, 32)
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


def test_the_tenth_is_the_same_on_every_machine(tmp_path):
    """By the folder in lower case and the name without its ending."""
    members = {f"{kind}/{i}.png": pictures(1, size=2)[0] for kind in ("Cat", "dog") for i in range(40)}
    arrays, _ = archives.read("folders", [folders_zip(tmp_path / "a.zip", members)], ["cat", "dog"], 2)
    assert arrays["names"][arrays["part"] == 1].tolist() == [b"3.png", b"14.png", b"22.png", b"24.png", b"29.png"]
    assert arrays["labels"][arrays["part"] == 1].tolist() == [0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "no image lies in a folder that is not hidden"),
        (["1.png", ".data/train/cat/1.png"], "no image lies in a folder that is not hidden"),
        (
            [f"{kind}/{part}/1.png" for kind in KINDS for part in ("train", "test")],
            "train stands in cat, dog: these folders belong inside train, not around it",
        ),
    ],
)
def test_folders_that_cannot_be_meant(tmp_path, names, said):
    path = folders_zip(tmp_path / "a.zip", {name: pictures(1)[0] for name in names})
    with pytest.raises(Mistake, match=f"a.zip: {said}"):
        archives.read("folders", [path], KINDS, 32)


def test_a_name_that_is_longer_than_any_files(tmp_path):
    path = folders_zip(tmp_path / "a.zip", small() | {f"train/cat/{'é' * 128}.png": pictures(1)[0]})
    with pytest.raises(Failure, match="is longer than any file's"):
        archives.read("folders", [path], KINDS, 32)


def test_a_file_that_is_no_image(tmp_path):
    path = folders_zip(tmp_path / "a.zip", small() | {"train/cat/notes.txt": b"not an image"})
    with pytest.raises(Failure, match=r"train/cat/notes.txt is not .*: it has none of the formats .*; take it out, or"):
        archives.read("folders", [path], KINDS, 32)
    arrays, skipped = archives.read("folders", [path], KINDS, 32, "skip")
    assert len(arrays["images"]) == 8
    assert skipped == ["train/cat/notes.txt"]


def split_zip(path, *folders):
    """Four images a class in each folder."""
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
        assert f"{archive_formats.SPLITS[number]} from {folder.rsplit('/')[-1]}/" in said
    assert ("a part of the training images will validate" in said) == (folders[1] == "ILSVRC/val")


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


def test_a_bomb_is_refused_before_it_unpacks(tmp_path):
    path = folders_zip(tmp_path / "bomb.zip", small())
    content = bytearray(path.read_bytes())
    at = content.find(b"PK\x01\x02") + 24  # where the list of members has the first one's size
    content[at : at + 4] = (3 * 10**9).to_bytes(4, "little")
    path.write_bytes(content)
    with takes_at_most(100_000_000), pytest.raises(Failure, match=r"bomb.zip would unpack to more than \d+ MiB"):
        archives.read("folders", [path], KINDS, 32)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        for name, content in small().items():
            archive.writestr(name, encoded("RGB", content, "PNG"))
    with pytest.raises(Failure, match="compressed in an unusual way"):
        archives.read("folders", [path], KINDS, 32)
    with pytest.raises(Failure, match="lower image_size"):
        archives.read("folders", [folders_zip(path, small())], KINDS, 8000)
    with pytest.raises(ValueError, match="10000×10000 pixels are too many"):
        decoding.decode(encoded("1", np.zeros((10_000, 10_000), bool), "PNG"))


def test_an_encrypted_zip_is_said(tmp_path):
    path = folders_zip(tmp_path / "a.zip", small())
    content = bytearray(path.read_bytes())
    for start, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # set the flag that says "encrypted"
        content[content.find(start) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(Failure, match="password required"):
        archives.read("folders", [path], KINDS, 32)


def test_archives_cannot_write_files(workspace):
    outside = {"../outside/train/cat/1.png": pictures(1)[0], f"{workspace}/train/dog/1.png": pictures(1)[0]}
    archives.read("folders", [folders_zip(workspace / "a.zip", small() | outside)], KINDS, 32)
    assert [p.name for p in workspace.iterdir()] == ["a.zip"]
    assert not (workspace.parent / "outside").exists()


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
