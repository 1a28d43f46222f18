import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY, git, one_line
from dvc.utils.serialize import dumps_yaml

BASE = {"recipes": "0", "old": "1", "gone": "1", "sweep": "1"}


def entry(md5):
    """Two experiments with the same code have entries that are alike line for line, but for their own hashes."""
    code = [{"path": f"src/{name}.py", "hash": "md5", "md5": name, "size": 1} for name in ("seed", "train")]
    return {"cmd": "python src/train.py", "deps": code, "outs": [{"path": "models", "hash": "md5", "md5": md5}]}


def write(stages):
    whole = {name: one if isinstance(one, dict) else entry(one) for name, one in stages.items()}
    lock = {"schema": "2.0", "stages": whole}
    Path("dvc.lock").write_text(dumps_yaml(lock))


def hashes():
    """Of each stage in dvc.lock, whose entry must be whole."""
    stages = yaml.safe_load(Path("dvc.lock").read_text())["stages"]
    found = {name: one["outs"][0]["md5"] for name, one in stages.items()}
    assert stages == {name: entry(md5) for name, md5 in found.items()}
    return found


@pytest.fixture
def merge(workspace):
    """Merges two branches, given the stages of theirs and of ours."""

    def conflict(theirs, ours):
        git("init", "-q", "-b", "main")
        shutil.copy(REPOSITORY / ".gitattributes", ".gitattributes")
        for branch, stages in (("main", BASE), ("theirs", theirs), ("ours", ours)):
            if branch != "main":
                git("checkout", "-q", "-b", branch, "main")
            write(stages)
            git("add", "-A")
            git("commit", "-qm", branch)
        with pytest.raises(subprocess.CalledProcessError):
            git("merge", "-q", "theirs")

    return conflict


def test_each_stage_is_that_of_the_branch_that_changed_it(merge, run_here):
    theirs = {"recipes": "b", "old": "3", "sweep": "1", "train@theirs": "4", "train@other": "5"}
    merge(theirs, BASE | {"recipes": "a", "train@mine": "2"})
    result = run_here("merge_lock")
    assert result.returncode == 0, result.stderr
    assert result.stdout == (
        "dvc.lock: 6 stages; 4 changes come from the branch that is merged. Now: git add dvc.lock\n"
    )
    assert hashes() == theirs | {"recipes": "a", "train@mine": "2"}  # and `gone` is gone
    assert Path("dvc.lock").read_text().startswith("schema: '2.0'\nstages:\n")


def test_what_both_have_changed_is_chosen(merge, run_here):
    merge(BASE | {"sweep": "3", "old": "3"}, BASE | {"sweep": "2", "old": "2"})
    before = Path("dvc.lock").read_bytes()
    said = one_line(run_here("merge_lock"), 2)
    assert "both branches have changed old, sweep: choose with `--ours` or `--theirs` and the names" in said
    assert "both branches have changed sweep: " in one_line(run_here("merge_lock", "--ours", "old"), 2)
    assert "old: choose one side, `--ours` or" in one_line(
        run_here("merge_lock", "--ours", "old", "--theirs", "old"), 2
    )
    assert "swep is not a stage in dvc.lock" in one_line(run_here("merge_lock", "--ours", "swep"), 2)
    assert Path("dvc.lock").read_bytes() == before
    assert run_here("merge_lock", "--ours", "old", "--theirs", "sweep").returncode == 0
    assert hashes() == BASE | {"old": "2", "sweep": "3"}


def test_two_changes_in_different_lines_of_one_stage_are_a_conflict(merge, run_here):
    """Line by line they would fit together, and dvc.lock would vouch for code that has never run together."""
    code = entry("1")
    seed, train = (
        [dep | {"md5": "new"} if dep["md5"] == name else dep for dep in code["deps"]] for name in ("seed", "train")
    )
    merge(BASE | {"sweep": code | {"deps": seed}}, BASE | {"sweep": code | {"deps": train}})
    assert "both branches have changed sweep: " in one_line(run_here("merge_lock"), 2)


def test_without_a_conflict(workspace, run_here):
    git("init", "-q")
    assert "Git has no conflict in dvc.lock: run this after a" in one_line(run_here("merge_lock"), 2)
