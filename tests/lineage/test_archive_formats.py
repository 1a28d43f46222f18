import gzip
import hashlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import PEAK, REPOSITORY, add_member, cifar_twins, sha256, takes_at_most
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from hypothesis.extra.numpy import arrays as arrays_of
from test_archives import KINDS, damaged, fuzz, h5_pair, pictures, sound_or_said

from lineage import archive_formats, archives
from lineage.engine import device
from lineage.errors import Failure


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


def test_cifar_100_has_its_fine_classes(tmp_path):
    images, labels = pictures(6), [0, 1, 0, 1, 0, 1]
    kinds = {b"fine_label_names": [b"cat", b"dog"], b"coarse_label_names": [b"pets"]}
    with tarfile.open(tmp_path / "cifar-100.tar.gz", "w:gz") as tar:
        add_member(tar, "cifar-100-python/meta", pickle.dumps(kinds, protocol=2))
        for part, of in (("train", slice(0, 4)), ("test", slice(4, 6))):
            rows = images[of].transpose(0, 3, 1, 2).reshape(-1, 3072)
            names = [f"{i}.png".encode() for i in range(6)][of]
            batch = {b"data": rows, b"fine_labels": labels[of], b"coarse_labels": [0] * len(rows), b"filenames": names}
            add_member(tar, f"cifar-100-python/{part}", pickle.dumps(batch, protocol=2))
    arrays, _ = archives.read("cifar-python", [tmp_path / "cifar-100.tar.gz"], KINDS, 32)
    assert arrays["labels"].tolist() == [0, 0, 1, 1, 0, 1] and arrays["part"].tolist() == [0, 0, 0, 0, 1, 1]
    assert (arrays["images"] == images[[0, 2, 1, 3, 4, 5]]).all()


def in_a_process(code):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


def test_a_pickle_cannot_run_code(workspace):
    for content in (Evil(), {b"data": np.array([Evil()], dtype=object)}):
        with tarfile.open("bad.tar.gz", "w:gz") as tar:
            add_member(tar, "cifar-10-batches-py/batches.meta", pickle.dumps(content))
        with pytest.raises(Failure, match="system has no place in a data set"):
            archives.read("cifar-python", [Path("bad.tar.gz")], KINDS, 32)
    assert not Path("evil").exists()


class Disguised:
    """A dtype of objects that says that it has none: the bytes of an array would be taken for pointers."""

    def __reduce__(self):
        return np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0)


class Labels:
    def __reduce__(self):
        state = 1, (2,), Disguised(), False, b"A" * 16
        return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), state


def test_a_pickle_cannot_say_how_memory_is_read(workspace):
    batch = {b"labels": Labels(), b"data": np.zeros((2, 3072), np.uint8), b"filenames": [b"0.png", b"1.png"]}
    with tarfile.open("bad.tar.gz", "w:gz") as tar:
        add_member(tar, "cifar-10-batches-py/batches.meta", pickle.dumps({b"label_names": [b"cat", b"dog"]}, 2))
        add_member(tar, "cifar-10-batches-py/data_batch_1", pickle.dumps(batch, 2))
    result = in_a_process(
        "from pathlib import Path; from lineage import archives\n"
        "archives.read('cifar-python', [Path('bad.tar.gz')], ['cat', 'dog'], 32)"
    )
    said = result.stderr.splitlines()[-1]
    assert "bad.tar.gz cannot be read as cifar-python (ValueError: buffer size does not match" in said  # and no crash


def doubling(levels):
    """A pickle that encodes a text in hexadecimal digits, and that again, and so on."""
    text, opened = b"X\x02\x00\x00\x00ab", b"c_codecs\nencode\n(" * levels
    return b"\x80\x02" + opened + text + b"X\x03\x00\x00\x00hextR" * levels + b"."


def test_a_pickle_encodes_texts_in_one_way_alone(workspace):
    with tarfile.open("bad.tar.gz", "w:gz") as tar:
        add_member(tar, "cifar-10-batches-py/batches.meta", doubling(1))
    with pytest.raises(Failure, match="the codec hex has no place in a data set"):
        archives.read("cifar-python", [Path("bad.tar.gz")], KINDS, 32)


@pytest.mark.parametrize("kind", archive_formats._Member.HEADERS)
def test_a_header_of_a_tar_cannot_fill_the_memory(tmp_path, kind):
    member = tarfile.TarInfo("pax")
    member.type, member.size = kind, 2**21
    for format, mode in (("cifar-python", gzip.compress), ("contact-sheets", bytes)):
        path = tmp_path / "bomb.tar"
        path.write_bytes(mode(member.tobuf() + b"\0" * 2**21))
        refused = pytest.raises(Failure, match="the archive has a header of 2097152 bytes: replace it")
        with takes_at_most(100_000_000), refused:
            archives.read(format, [path], KINDS, 32)


@pytest.mark.skipif(not os.access(PEAK, os.W_OK), reason="nothing is checked here")
def test_what_takes_too_much_memory_is_seen_after_more_was_taken():
    device.keep_memory()  # as a training in the same process would
    bytearray(b"1") * 100_000_000
    with takes_at_most(50_000_000):
        bytearray(b"1") * 20_000_000
    with pytest.raises(AssertionError), takes_at_most(20_000_000):
        bytearray(b"1") * 50_000_000


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x80\x02}r\xff\xff\xff\x0f.",  # entry 2**28 of the memo: 4 GB of nothing
        b"\x80\x02}p268435455\n.",  # the same, the number as a text
        b"\x80\x02cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x8a\x07" + b"\x7f" * 7 + b"\x85U\x01b\x87R.",
    ],
)
def test_a_pickle_cannot_ask_for_the_memory(workspace, hostile):
    with tarfile.open("bad.tar.gz", "w:gz") as tar:
        add_member(tar, "cifar-10-batches-py/batches.meta", hostile)
    refused = pytest.raises(Failure, match=r"batches.meta asks for more memory than it can need")
    with takes_at_most(10**9), refused:
        archives.read("cifar-python", [Path("bad.tar.gz")], KINDS, 32)


def test_a_bomb_in_a_tar_is_refused(tmp_path):
    member = tarfile.TarInfo("cifar-10-batches-py/batches.meta")
    member.size = 300 * 2**20
    zeros = gzip.compress(b"\0" * 2**20)
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(member.tobuf()) + zeros * 301)
    with pytest.raises(Failure, match=r"bomb.tar.gz would unpack to more than \d+ MiB"):
        archives.read("cifar-python", [path], KINDS, 32)


def test_h5_pairs(tmp_path):
    files = [h5_pair(tmp_path, pictures(4), [0, 1, 0, 1], part) for part in archive_formats.PARTS]
    arrays, _ = archives.read("h5", files, KINDS, 32)
    assert arrays["names"][:3].tolist() == [b"train-00000", b"train-00002", b"train-00001"]
    assert (arrays["images"][1] == pictures(4)[2]).all()
    with h5py.File(files[0], "a") as file:
        del file["train_set_x"]
    with pytest.raises(Failure, match=r"train_set_x are missing from train.h5"):
        archives.read("h5", files, KINDS, 32)


@pytest.mark.parametrize("shape", [(4,), (1, 4), (4, 1)])
def test_h5_labels_as_row_or_column(tmp_path, shape):
    files = [
        h5_pair(tmp_path, pictures(4), np.array([0, 1, 0, 1]).reshape(shape), part) for part in archive_formats.PARTS
    ]
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
    files = [h5_pair(tmp_path, pictures(4), [0, 1, 0, 1], part) for part in archive_formats.PARTS]
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
            add_member(tar, name, content)
    with pytest.raises(Failure, match="data_batch_1 has the labels -1"):
        archives.read("cifar-python", [official], KINDS, 32)
    with tarfile.open(sheets) as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar}
    for wrong in (b"train,cat,-1,x.png", b"dev,cat,0,x.png", b"train,cat,1"):
        with tarfile.open(sheets, "w") as tar:
            for name, content in members.items():
                add_member(tar, name, content + wrong if name == "names.csv" else content)
        said = r"names.csv has the split '(train|dev)', the position -?\d and (no name|'x.png')"
        with pytest.raises(Failure, match=said):
            archives.read("contact-sheets", [sheets], KINDS, 32)


def test_texts_of_an_h5_file_are_counted_one_by_one(tmp_path, monkeypatch):
    """They may all be one and the same in the file; each takes its memory."""
    files = [h5_pair(tmp_path, pictures(4), [0, 1, 0, 1], part) for part in archive_formats.PARTS]
    for file in files:
        with h5py.File(file, "a") as opened:
            del opened["list_classes"]
            opened.create_dataset("list_classes", data=KINDS, dtype=h5py.string_dtype())
    assert archives.read("h5", files, KINDS, 32)[0]["labels"].tolist() == [0, 0, 1, 1] * 2
    sizes = []
    monkeypatch.setattr(archive_formats.sys, "getsizeof", lambda text: sizes.append(len(text)) or 2**40)
    with pytest.raises(Failure, match=r"train.h5 would unpack to more than \d+ MiB"):
        archives.read("h5", files, KINDS, 32)
    assert sizes == [len(KINDS[0])]


def test_h5_arrays_lie_in_the_file_itself(tmp_path):
    files = [h5_pair(tmp_path, pictures(4), [0, 1, 0, 1], part) for part in archive_formats.PARTS]
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
    files = [h5_pair(tmp_path, pictures(4), [0, 1, 0, 1], part) for part in archive_formats.PARTS]
    with h5py.File(files[0], "a") as file:
        del file["train_set_x"]
        file.create_dataset("train_set_x", dtype=np.uint8, **options)
    with takes_at_most(100_000_000), pytest.raises(Failure, match="would unpack to more than"):
        archives.read("h5", files, KINDS, 32)


def test_h5_images_of_another_shape(tmp_path):
    files = [h5_pair(tmp_path, pictures(4)[..., 0], [0, 1, 0, 1], part) for part in archive_formats.PARTS]
    with pytest.raises(Failure, match=r"uint8 \(4, 32, 32\), not uint8 N×H×W×3"):
        archives.read("h5", files, KINDS, 32)


@st.composite
def any_h5(draw):
    """A pair of files: sound ones, or with arrays of every kind of number and shape; whole or damaged."""
    number = st.sampled_from([np.uint8, np.int8, np.int64, np.uint64, np.float32, np.bool_, "S2"])
    filters = [{}, {"compression": "gzip"}, {"compression": "lzf"}, {"shuffle": True, "fletcher32": True}]
    sound, options, contents = draw(st.booleans()), draw(st.sampled_from(filters)), []
    for part in archive_formats.PARTS:
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


@pytest.mark.slow
@pytest.mark.skipif("not os.environ.get('DATA_MIRROR')", reason="no archives")
def test_the_real_h5_file_of_signs(tmp_path):
    test = Path(os.environ["DATA_MIRROR"], "test_signs.h5")
    with h5py.File(test) as file, h5py.File(tmp_path / "train.h5", "w") as train:
        train["train_set_x"], train["train_set_y"] = file["test_set_x"][:30], file["test_set_y"][..., :30]
        train["list_classes"] = file["list_classes"][()]
    arrays, _ = archives.read("h5", [tmp_path / "train.h5", test], list("012345"), 64)
    assert arrays["part"].sum() == 120
    assert np.bincount(arrays["labels"][arrays["part"] == 1]).tolist() == [20] * 6
