import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from lineage import files
from lineage.errors import Failure, Mistake


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


def test_a_folder_is_there_whole_or_not_at_all(workspace):
    path = Path("models/mine")
    for name in ("seed-0", "seed-1"):
        with files.replacing(path) as folder:
            files.write_text(folder / name, name)
        assert [file.name for file in path.iterdir()] == [name]  # nothing is left of the one before
    with pytest.raises(OSError), files.replacing(path) as folder:
        files.write_text(folder / "seed-0", "half of them")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (path / "seed-1").read_text() == "seed-1"
    Path("models/mine.part").mkdir()  # of a process that was killed
    Path("models/mine.part/seed-9").touch()
    with files.replacing(path) as folder:
        files.write_text(folder / "seed-2", "new")
    assert [file.name for file in Path("models").rglob("*")] == ["mine", "seed-2"]


def test_a_folder_is_not_lost_between_two_versions(workspace, monkeypatch):
    path = Path("models/mine")
    with files.replacing(path) as folder:
        files.write_text(folder / "seed-0", "earlier")
    replace = os.replace

    def killed(source, target):
        if Path(source).name == "mine.part":
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt), files.replacing(path) as folder:
            files.write_text(folder / "seed-0", "later")
    assert not path.exists()
    with pytest.raises(ZeroDivisionError), files.replacing(path):
        raise ZeroDivisionError
    assert (path / "seed-0").read_text() == "earlier"  # an error leaves the old one, as ever
    with files.replacing(path) as folder:
        files.write_text(folder / "seed-0", "later")
    assert (path / "seed-0").read_text() == "later" and [one.name for one in Path("models").iterdir()] == ["mine"]


def test_a_link_to_a_folder_is_replaced_itself(workspace):
    Path("elsewhere").mkdir()
    Path("elsewhere/seed-0").touch()
    Path("mine").symlink_to("elsewhere")
    with files.replacing(Path("mine")) as folder:
        files.write_text(folder / "seed-1", "new")
    assert [file.name for file in Path("mine").iterdir()] == ["seed-1"] and not Path("mine").is_symlink()
    assert [file.name for file in Path("elsewhere").iterdir()] == ["seed-0"]


def test_a_folder_is_claimed_by_one_process_at_a_time(workspace):
    code = "import sys; from pathlib import Path; from lineage.files import claimed\n"
    code += "with claimed(Path('runs')): print('mine', flush=True); sys.stdin.read()"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environment}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as other:
        assert other.stdout.readline() == b"mine\n"
        with pytest.raises(Mistake, match="runs is in use"), files.claimed(Path("runs")):
            raise AssertionError
        other.kill()
        other.wait()
    Path("runs/seed-0.state.part").touch()  # by the other, when it was killed
    Path("runs/plain-20/models.part").mkdir(parents=True)
    Path("runs/plain-20/models.part/seed-0.part").touch()
    with files.claimed(Path("runs")):
        assert not list(Path("runs").rglob("*.part"))


def test_json_comes_back(workspace):
    files.write_json(Path("a.json"), {"name": "José", "n": [1, None]})
    assert files.read_json(Path("a.json")) == {"name": "José", "n": [1, None]}
    assert b"\r" not in Path("a.json").read_bytes()


def test_a_key_of_yaml_stands_there_once(workspace):
    path = Path("mine.yaml")
    path.write_text("a: {b: 1, c: &c {d: 2}}\ne: {<<: *c, d: 3}\nb: 4\n")
    assert files.read_yaml(path) == {"a": {"b": 1, "c": {"d": 2}}, "e": {"d": 3}, "b": 4}
    path.write_text("a:\n  b: 1\n  c: 2\n  b: 3\n")
    with pytest.raises(Mistake, match=r"^mine.yaml: b occurs twice, the second time on line 4$"):
        files.read_yaml(path)
    path.write_text("a: 2024-13-01\n")
    with pytest.raises(Mistake, match=r"^mine.yaml is not YAML in UTF-8: month must be in 1..12$"):
        files.read_yaml(path)
    path.write_text("a: b: c\n")
    with pytest.raises(
        Mistake, match=r"^mine.yaml is not YAML in UTF-8: mapping values are not allowed here in line 1, column 5"
    ):
        files.read_yaml(path)


def test_the_experiments_of_recipes_in_order_or_a_mistake(workspace):
    for _ in range(2):  # without the folder, and with an empty one
        with pytest.raises(Mistake, match=r"^recipes/experiments is missing: run this in the top folder, after `dvc "):
            files.recipes()
        Path("recipes/experiments").mkdir(parents=True, exist_ok=True)
    for name in ("resnet-20", "plain-20"):
        Path("recipes/experiments", f"{name}.json").touch()
    assert files.recipes() == ["plain-20", "resnet-20"]


@pytest.mark.parametrize(
    ("folder", "advice"),
    [
        ("recipes", "; `dvc repro recipes` writes it again"),
        ("metrics", ": resolve the conflict in it, or `git restore metrics/a.json`"),
        ("plots", ": resolve the conflict in it, or `git restore plots/a.json`"),
    ],
)
def test_a_conflict_of_git_is_one_line(workspace, folder, advice):
    path = Path(folder, "a.json")
    path.parent.mkdir()
    path.write_text('{\n<<<<<<< HEAD\n"lr": 0.1\n')
    with pytest.raises(Failure, match=rf"^{folder}/a.json is not JSON \(.*line 2.*\){re.escape(advice)}$"):
        files.read_json(path)


@pytest.mark.parametrize(
    ("path", "advice"), [("recipes/a.json", ": run `dvc repro recipes` first"), ("metrics/a.json", "")]
)
def test_json_that_is_missing_is_a_mistake(workspace, path, advice):
    with pytest.raises(Mistake) as error:
        files.read_json(Path(path))
    assert str(error.value) == f"{path} is missing{advice}"


def test_json_of_a_run_that_cannot_be_read_may_be_removed(workspace):
    Path("runs").mkdir()
    Path("runs/complete.json").touch()
    with pytest.raises(Failure, match=r"^runs/complete.json is not JSON \(.*\): remove it$"):
        files.read_json(Path("runs/complete.json"))


def test_a_table_is_csv(workspace):
    rows = [
        {"name": "a, b", "n": 3, "loss": 1 / 3, "none": None},
        {"name": "é", "n": 4, "loss": float("nan"), "none": 1},
    ]
    files.write_table(Path("a.csv"), rows)
    assert Path("a.csv").read_bytes().decode() == 'name,n,loss,none\n"a, b",3,0.333333,\né,4,,1\n'
