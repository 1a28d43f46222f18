import errno
from pathlib import Path

import pytest

from lineage import files


def test_an_error_leaves_the_old_file_and_no_other(workspace):
    path = Path("new/folder/results.md")
    files.write_text(path, "old\n")
    with pytest.raises(ZeroDivisionError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_fault_of_the_disk_names_the_file(workspace):
    with pytest.raises(OSError) as error, files.replacing(Path("results.md")):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert error.value.filename == "results.md"


def test_json_comes_back(workspace):
    files.write_json(Path("a.json"), {"name": "José", "n": [1, None]})
    assert files.read_json(Path("a.json")) == {"name": "José", "n": [1, None]}
    assert b"\r" not in Path("a.json").read_bytes()


def test_a_table_is_csv(workspace):
    rows = [
        {"name": "a, b", "n": 3, "loss": 1 / 3, "none": None},
        {"name": "é", "n": 4, "loss": float("nan"), "none": 1},
    ]
    files.write_table(Path("a.csv"), rows)
    assert Path("a.csv").read_bytes().decode() == 'name,n,loss,none\n"a, b",3,0.333333,\né,4,,1\n'
