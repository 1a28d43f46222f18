import os
import tempfile
import time
import unicodedata
from datetime import timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import REPOSITORY, cifar_twins, folders_zip, sha256
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from lineage import archive_formats, archives, parts
from lineage.errors import Failure, Mistake

KINDS = ["cat", "dog"]


def pictures(n, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), np.uint8)


def test_bytes_do_not_depend_on_the_clock(tmp_path):
    arrays = archives.read("folders", [folders_zip(tmp_path / "a.zip", small())], KINDS, 32)[0]
    archives.write(tmp_path / "a.h5", arrays, KINDS)
    time.sleep(1.1)
    archives.write(tmp_path / "b.h5", arrays, KINDS)
    assert sha256(tmp_path / "a.h5") == sha256(tmp_path / "b.h5")


def small():
    image = iter(pictures(8))
    return {f"{part}/{kind}/{i}.png": next(image) for part in ("train", "test") for kind in KINDS for i in range(2)}


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["cat"], "only in the archive: 'dog'"),
        (["cat", "dog", "mouse"], "only in data/datasets.yaml: 'mouse'"),
        (
            ["cat,", "dog"],
            "only in the archive: 'cat'; only in data/datasets.yaml: 'cat,'; there, spaces separate names, without comm"
            "as",
        ),
    ],
)
def test_classes_must_agree(tmp_path, classes, said):
    with pytest.raises(Mistake, match=f"a.zip: the classes differ; {said}$"):
        archives.read("folders", [folders_zip(tmp_path / "a.zip", small())], classes, 32)


@pytest.mark.parametrize(
    ("cat", "classes", "said"),
    [
        ("big cat", ["big", "cat", "dog"], "names with spaces need a list: [big cat, dog]"),
        ("007", ["7", "dog"], "names such as 007 need quotes in a list"),
    ],
)
def test_how_to_write_names_that_are_no_single_word(tmp_path, cat, classes, said):
    members = {name.replace("cat", cat): image for name, image in small().items()}
    with pytest.raises(Mistake) as error:
        archives.read("folders", [folders_zip(tmp_path / "a.zip", members)], classes, 32)
    assert str(error.value).endswith(f"; there, {said}")


def test_a_reader_that_has_gone_is_no_fault_of_the_archive(tmp_path, monkeypatch):
    def gone(*_):
        raise BrokenPipeError

    monkeypatch.setitem(archives.FORMATS, "folders", gone)
    with pytest.raises(BrokenPipeError):
        archives.read("folders", [folders_zip(tmp_path / "a.zip", small())], KINDS, 32)


def test_every_class_must_stand_in_both_parts(tmp_path):
    members = {name: image for name, image in small().items() if not name.startswith("test/dog")}
    with pytest.raises(Mistake, match="there is no image of test/dog; every class needs some in both parts"):
        archives.read("folders", [folders_zip(tmp_path / "a.zip", members)], KINDS, 32)


def test_names_of_classes_in_another_case_or_spelling(tmp_path):
    path = folders_zip(tmp_path / "a.zip", {name.replace("cat", "Cat"): image for name, image in small().items()})
    arrays, _ = archives.read("folders", [path], ["CAT", unicodedata.normalize("NFD", "dog")], 32)
    assert arrays["labels"].tolist() == [0, 0, 1, 1] * 2
    kinds = {"cat": "a", "dog": "A"}  # these differ in their case alone
    members = {f"{part}/{kinds[kind]}/{name}": i for key, i in small().items() for part, kind, name in [key.split("/")]}
    arrays, _ = archives.read("folders", [folders_zip(tmp_path / "b.zip", members)], ["A", "a"], 32)
    assert arrays["labels"].tolist() == [0, 0, 1, 1] * 2 and (arrays["images"][0] == members["train/A/0.png"]).all()


@pytest.mark.parametrize("format", archives.FORMATS)
@pytest.mark.parametrize(
    "damage", [lambda whole: whole[: len(whole) // 2], lambda whole: b"rubbish", lambda whole: b""]
)
def test_damaged_archives_are_said_in_one_line(tmp_path, format, damage):
    official, sheets = cifar_twins(tmp_path, pictures(6), np.array([0, 1] * 3), list("abcdef"), KINDS, test_from=4)
    h5 = [h5_pair(tmp_path, pictures(4), [0, 1, 0, 1], part) for part in archive_formats.PARTS]
    files = {"cifar-python": [official], "contact-sheets": [sheets], "h5": h5}
    files["folders"] = [folders_zip(tmp_path / "a.zip", small())]
    broken = tmp_path / "broken"
    broken.write_bytes(damage(files[format][0].read_bytes()))
    with pytest.raises(Failure, match=r"broken.* cannot be read as") as error:
        archives.read(format, [broken, *files[format][1:]], KINDS, 32)
    assert "\n" not in str(error.value).strip()


def h5_pair(folder, images, labels, part):
    path = folder / f"{part}.h5"
    with h5py.File(path, "w") as file:
        file[f"{part}_set_x"], file[f"{part}_set_y"] = images, np.array(labels)
        file["list_classes"] = np.array([b"cat", b"dog"])
    return path


# --- hostile input: any bytes give sound data or one clear error ---

# derandomize: the same inputs every time. Ten thousand and more: FUZZ_EXAMPLES=2500 pytest -k fuzz
fuzz = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", 75)),
    derandomize=True,
    database=None,
    deadline=timedelta(seconds=10),  # neither a hang
    suppress_health_check=list(HealthCheck),
)


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


def test_the_order_in_the_archive_does_not_matter_even_where_names_are_the_same(tmp_path):
    same = {"train/Cat/0.png": pictures(2)[0], "train/cat/0.png": pictures(2)[1]}
    found = []
    for members in (small() | same, dict(reversed((small() | same).items()))):
        arrays, _ = archives.read("folders", [folders_zip(tmp_path / "mine.zip", members)], KINDS, 32)
        found.append({name: array.tolist() for name, array in arrays.items()})
    assert found[0] == found[1] and found[0]["names"].count(b"0.png") >= 2


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        archives.write(tmp_path / "a.h5", {"images": pictures(2), "names": np.array([object()])}, KINDS)
    assert list(tmp_path.iterdir()) == []


def test_a_subset_of_an_archives_classes():
    sheets = REPOSITORY / "data/sample/cifar-10-sample.tar"
    with pytest.raises(Mistake, match="the classes differ; only in the archive: 'airplane', 'automobile'"):
        archives.read("contact-sheets", [sheets], ["cat", "dog"], 32)
    arrays, skipped = archives.read("contact-sheets", [sheets], ["cat", "dog"], 32, subset=True)
    assert not skipped
    assert np.bincount(arrays["part"] * 2 + arrays["labels"]).tolist() == [100, 100, 40, 40]
