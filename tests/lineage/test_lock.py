import subprocess
from pathlib import Path

import pytest
from conftest import REPOSITORY, git

from lineage import lock
from lineage.errors import Failure, Mistake


def written():
    Path("src/engine").mkdir(parents=True)
    for name in ("b", "a"):
        Path("src/engine", f"{name}.py").write_text(f"{name} = 1\n")


def test_the_hashes_are_dvcs(workspace):
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db.local import LocalHashFileDB
    from dvc_objects.fs import localfs

    written()
    store = LocalHashFileDB(localfs, str(workspace / "store"))
    for path in ("src/engine", "src/engine/a.py"):
        _, _, found = build(store, str(workspace / path), localfs, "md5")
        assert lock.today(path)["md5"] == found.hash_info.value


def test_a_dependency_that_is_gone(workspace):
    with pytest.raises(
        Failure, match=r"^src/engine\.py, which dvc\.yaml names, is missing: `git restore src/engine\.py`, or"
    ):
        lock.today("src/engine.py")


def test_the_commit_that_recorded_it_is_the_newest_with_its_hashes(workspace, monkeypatch):
    def commit():
        git("add", "-A")
        git("commit", "-qm", "t")
        return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    written()
    first = commit()
    entry = {"deps": [lock.today("src/engine"), {"path": "data/x", "md5": "0"}]}
    Path("src/engine/a.py").write_text("a = 2\n")
    second = commit()
    later = {"deps": [lock.today("src/engine")]}
    lock.tree.cache_clear()
    assert (lock.recorded_by(entry), lock.recorded_by(later)) == (first, second)
    Path("src/engine/a.py").write_text("a = 3\n")
    with pytest.raises(Failure, match=r"^no commit here has the code that it was recorded with$"):
        lock.recorded_by({"deps": [lock.today("src/engine")]})
    git("clone", "-q", "--depth", "1", f"file://{workspace}", "shallow")
    monkeypatch.chdir("shallow")
    assert lock.recorded_by(later) == second
    with pytest.raises(Failure, match="recorded with: this clone is shallow, `git fetch --unshallow` brings"):
        lock.recorded_by(entry)


def test_what_dvc_yaml_says_of_a_stage_with_the_names_of_the_experiment(workspace):
    Path("dvc.yaml").write_text((REPOSITORY / "dvc.yaml").read_text())
    Path("recipes/experiments").mkdir(parents=True)
    Path("recipes/experiments/mine.json").write_text('{"dataset": "grey", "model": "vgg", "recipe": {"lr": 0.1}}')
    train, evaluate, sweep = map(lock.stated, ("train@mine", "evaluate@mine", "sweep"))
    assert train.command == ["src/train.py", "mine"] and train.recipes == ["recipes/experiments/mine.json"]
    assert "src/lineage/models/vgg.py" in train.code and "src/lineage/models/resnet.py" not in train.code
    assert train.outputs == ["models/mine", "plots/history/mine.csv", "metrics/validation/mine.json"]
    assert evaluate.recipes == ["recipes/experiments/mine.json", "recipes/labels/grey.json"]
    assert "plots/tables/mine" in evaluate.outputs and "metrics/experiments/mine.json" in evaluate.outputs
    assert sweep.command == ["src/sweep.py"] and sweep.recipes == ["recipes/sweep.json"]
    assert "src/sweep.py" in sweep.code and sweep.outputs == ["plots/tables/sweep.csv"]
    with pytest.raises(Failure, match="no longer in experiments"):
        lock.stated("train@gone")
    with pytest.raises(Failure, match=r"no longer in dvc\.yaml"):
        lock.stated("gone")


@pytest.mark.parametrize("content", ["", "<<<<<<< HEAD\nstages: {}\n", "stages:\n", "- stages", b"\xff"])
def test_a_lock_that_dvc_has_not_written_is_a_mistake(workspace, content):
    with pytest.raises(Mistake, match=r"dvc.lock is missing"):
        lock.read()
    Path("dvc.lock").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(
        Mistake, match=r"not as DVC writes it: `python src/merge_lock.py` after a merge, or `git restore dvc.lock`"
    ):
        lock.read()
    Path("dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    assert lock.read()["stages"] == {}
