import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY, git, one_line
from test_train import experiment

import unchanged
from lineage.lock import code, today


@pytest.fixture
def recorded(workspace, run_script):
    """A repository with a tiny experiment that its code has recorded, as dvc.lock says."""
    shutil.copytree(REPOSITORY / "src", "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(REPOSITORY / name, name)
    experiment()
    Path(".gitignore").write_text("data/\n__pycache__/\n")
    Path("dvc.lock").write_text("stages: {}\n")
    item = {"model": "resnet"}
    recipe = today("recipes/experiments/mine.json")
    stages = {
        f"{stage}@mine": {
            "cmd": f"python src/{stage}.py mine",
            "deps": [recipe, *(today(path) for path in code(stage, item))],
        }
        for stage in ("train", "evaluate")
    }
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "recorded")
    return lambda *arguments: subprocess.run(
        ["python", "src/unchanged.py", *arguments], capture_output=True, text=True, timeout=500
    )


def replace(path, old, new):
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


def comment(path):
    """A change that changes nothing but the file's hash."""
    with Path(path).open("a") as file:
        file.write("\n# a comment\n")


def lock(stage):
    deps = yaml.safe_load(Path("dvc.lock").read_text())["stages"][f"{stage}@mine"]["deps"]
    return {dep["path"]: dep["md5"] for dep in deps}


def test_without_a_change_there_is_nothing_to_prove(recorded):
    before = Path("dvc.lock").read_text()
    result = recorded("mine")
    assert result.returncode == 0, result.stderr
    assert "nothing to prove" in result.stdout
    assert yaml.safe_load(Path("dvc.lock").read_text()) == yaml.safe_load(before)
    assert "dvc.lock has no experiment other; it has mine" in one_line(recorded("other"), 2)


def test_stages_that_it_does_not_try_are_named(recorded):
    content = yaml.safe_load(Path("dvc.lock").read_text())
    deps = [today("src/sweep.py"), today("src/lineage/options/__init__.py")]
    content["stages"] |= {stage: {"deps": deps} for stage in ("sweep", "compare")}
    Path("dvc.lock").write_text(yaml.safe_dump(content))
    assert "not tried" not in recorded("mine").stdout
    comment("src/sweep.py")
    assert "not tried: sweep, whose code has changed; `dvc commit` accepts that unseen" in recorded("mine").stdout


def test_an_experiment_that_is_gone_does_not_end_the_others(recorded):
    content = yaml.safe_load(Path("dvc.lock").read_text())
    content["stages"] = {"train@gone": content["stages"]["train@mine"]} | content["stages"]
    Path("dvc.lock").write_text(yaml.safe_dump(content))
    result = recorded()
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    gone, mine = result.stdout.splitlines()
    assert gone == "gone: not proven: it is in dvc.lock, but no longer in experiments.yaml"
    assert mine == "mine: nothing to prove, its code has not changed"
    Path("dvc.lock").unlink()
    assert "dvc.lock is missing: run this in the top folder" in one_line(recorded(), 2)


def test_what_differs_between_two_runs():
    before, after = {"a": b"1", "b": b"2", "same": b"0"}, {"a": b"3", "c": b"", "same": b"0"}
    assert unchanged.different(before, after) == ["a", "b", "c"]
    assert unchanged.different(after, after) == []


def test_what_was_recorded_meanwhile_stays(workspace, monkeypatch):
    """Another process writes to dvc.lock while an experiment is being proven."""

    def write(**stages):
        Path("dvc.lock").write_text(yaml.safe_dump({"stages": {name: {"deps": deps} for name, deps in stages.items()}}))

    def prove(name, lock):
        lock["stages"]["train@mine"] = {"deps": ["proven"]}
        lock["stages"]["evaluate@mine"] = {"deps": ["proven"]}
        write(**{"train@mine": ["old"], "evaluate@mine": ["recorded meanwhile"], "sweep": ["recorded meanwhile"]})
        return True, ["said"]

    write(**{"train@mine": ["old"], "evaluate@mine": ["old"]})
    monkeypatch.setattr(unchanged, "prove", prove)
    monkeypatch.setattr(unchanged, "not_tried", lambda lock: [])
    monkeypatch.setattr(sys, "argv", ["unchanged.py"])
    unchanged.main()
    found = yaml.safe_load(Path("dvc.lock").read_text())["stages"]
    assert {name: entry["deps"] for name, entry in found.items()} == {
        "train@mine": ["proven"],
        "evaluate@mine": ["recorded meanwhile"],
        "sweep": ["recorded meanwhile"],
    }


@pytest.mark.slow
def test_a_comment_and_another_name_are_proven_to_change_nothing(recorded):
    replace("src/lineage/engine/augment.py", "corner", "first")
    comment("src/lineage/models/resnet.py")
    before = lock("train")
    result = recorded()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "train@mine: the same bytes as at" in result.stdout
    assert "evaluate@mine: the same bytes as at" in result.stdout
    changed = {path for path, md5 in lock("train").items() if before[path] != md5}
    assert changed == {"src/lineage/engine", "src/lineage/models/resnet.py"}
    assert "nothing to prove" in recorded().stdout


@pytest.mark.slow
def test_a_change_that_shows_is_refused_by_name(recorded):
    replace("src/lineage/engine/augment.py", "(x.float() / 255", "(x.float() / 256")
    before = lock("train"), lock("evaluate")
    result = recorded()
    assert result.returncode == 1
    assert "train@mine: NOT the same" in result.stdout and "models/mine/seed-0.safetensors" in result.stdout
    assert "evaluate@mine: NOT the same" in result.stdout
    assert (lock("train"), lock("evaluate")) == before


@pytest.mark.slow
def test_training_and_evaluation_are_judged_apart(recorded):
    replace("src/evaluate.py", '"diverged": diverged,', '"diverged": diverged, "more": 1,')
    comment("src/lineage/engine/recipe.py")
    before = lock("train")["src/lineage/engine"], lock("evaluate")
    result = recorded()
    assert result.returncode == 1
    assert "train@mine: the same bytes" in result.stdout
    assert "evaluate@mine: NOT the same" in result.stdout and "metrics/experiments/mine.json" in result.stdout
    assert lock("train")["src/lineage/engine"] != before[0] and lock("evaluate") == before[1]


@pytest.mark.slow
def test_what_is_proven_of_one_stage_is_said_whatever_becomes_of_the_other(recorded):
    content = yaml.safe_load(Path("dvc.lock").read_text())
    deps = content["stages"]["evaluate@mine"]["deps"]
    (script,) = [dep for dep in deps if dep["path"] == "src/evaluate.py"]
    script["md5"] = "0" * 32  # as if it had been recorded by code that was never committed
    Path("dvc.lock").write_text(yaml.safe_dump(content))
    comment("src/lineage/engine/recipe.py")
    before = lock("train")["src/lineage/engine"], lock("evaluate")
    result = recorded()
    assert "train@mine: the same bytes" in result.stdout and lock("train")["src/lineage/engine"] != before[0]
    assert "evaluate@mine: not proven: no commit has the code" in result.stdout and lock("evaluate") == before[1]
    assert "not everything is proven" in one_line(result, 1)


@pytest.mark.slow
def test_an_evaluation_that_fails_leaves_the_training_proven(recorded):
    replace("src/evaluate.py", "def main() -> None:\n", "def main() -> None:\n    raise SystemExit('broken')\n")
    comment("src/lineage/engine/recipe.py")
    before = lock("train")["src/lineage/engine"], lock("evaluate")
    result = recorded()
    assert "train@mine: the same bytes" in result.stdout and lock("train")["src/lineage/engine"] != before[0]
    assert "evaluate@mine: not proven: evaluate failed: broken" in result.stdout and lock("evaluate") == before[1]


@pytest.mark.slow
def test_what_cannot_be_tried_is_one_line(recorded):
    comment("src/lineage/engine/recipe.py")
    Path("data/tensors/grey/val.safetensors").rename("away")
    result = recorded()
    assert "run `dvc repro preprocess@grey` first" in result.stdout
    assert "not everything is proven" in one_line(result, 1)
    experiment(lr=0.01)
    assert "its recipe has changed" in recorded().stdout
