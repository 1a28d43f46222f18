import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY, as_signs, git, one_line
from test_train import experiment

import unchanged
from lineage.errors import Failure
from lineage.lock import stated, today, tree


@pytest.fixture
def entered(workspace):
    """The code, and a tiny experiment that it has recorded, as dvc.lock says."""
    shutil.copytree(REPOSITORY / "src", "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(REPOSITORY / name, name)
    experiment()
    Path("dvc.lock").write_text("stages: {}\n")
    as_recorded("train@mine", "evaluate@mine")


@pytest.fixture
def recorded(entered, monkeypatch):
    """The same as a Git repository."""
    monkeypatch.setenv("SEEDS_AT_ONCE", "1")  # processes take seconds to start
    Path(".gitignore").write_text("data/\n__pycache__/\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "recorded")
    return lambda *arguments: subprocess.run(
        [sys.executable, "src/unchanged.py", *arguments], capture_output=True, text=True, timeout=500
    )


def as_recorded(*stages):
    """Add entries to dvc.lock that say that the code of the working tree has recorded these stages."""
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    for stage in stages:
        about = stated(stage)
        deps = [today(path) for path in about.recipes + about.code]
        lock["stages"][stage] = {"cmd": " ".join(["python", *about.command]), "deps": deps}
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0"} | lock))


def replace(path, old, new):
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


def extend(path):
    """A change of the code that changes nothing of what it does."""
    with Path(path).open("a") as file:
        file.write("\nUNUSED = 1\n")


def lock(stage):
    deps = yaml.safe_load(Path("dvc.lock").read_text())["stages"][stage]["deps"]
    return {dep["path"]: dep["md5"] for dep in deps}


def test_without_a_change_there_is_nothing_to_prove(recorded):
    before = Path("dvc.lock").read_text()
    result = recorded("mine")
    assert result.returncode == 0, result.stderr
    assert "nothing to prove" in result.stdout
    assert yaml.safe_load(Path("dvc.lock").read_text()) == yaml.safe_load(before)
    assert "dvc.lock has no experiment or stage other; it has mine" in one_line(recorded("other"), 2)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"1", b"1", "the same bytes as at c0ffee00"),
        (b"1", b"2", "NOT the same as at c0ffee00, first in metrics/mine.json"),
        (b"1", Failure("it broke"), "not proven: it broke"),
        (Failure("it broke"), b"1", "not proven: it broke"),
    ],
)
def test_what_the_code_of_then_and_of_today_write_decides(entered, monkeypatch, old, new, said):
    """Of each stage by itself: what the training writes is the same."""

    def written(source, stages, _):
        assert list(stages) == ["train@mine", "evaluate@mine"]
        found = {Path("then"): old, Path(): new}[source]
        evaluated = found if isinstance(found, Failure) else {"metrics/mine.json": found}
        return {"train@mine": {"models/mine.safetensors": b"weights"}, "evaluate@mine": evaluated}

    monkeypatch.setattr(unchanged, "recorded_by", lambda _: "c0ffee00" * 5)
    monkeypatch.setattr(unchanged, "same_syntax", lambda *_: False)
    monkeypatch.setattr(unchanged, "unpacked", lambda *_: Path("then"))
    monkeypatch.setattr(unchanged, "outputs", written)
    extend("src/lineage/engine/recipe.py")
    content, before = unchanged.read(), unchanged.read()["stages"]
    whole, lines = unchanged.prove("mine", content)
    assert lines == ["train@mine: the same bytes as at c0ffee00", f"evaluate@mine: {said}"]
    assert whole == (old == new)
    for stage, proven in (("train@mine", True), ("evaluate@mine", whole)):
        deps = sorted((today(dep["path"]) for dep in before[stage]["deps"]), key=lambda dep: dep["path"])
        assert deps != before[stage]["deps"]
        assert content["stages"][stage] == before[stage] | ({"deps": deps} if proven else {})


def test_comments_and_docstrings_are_not_run(recorded, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["unchanged.py"])
    monkeypatch.setattr(unchanged, "outputs", lambda *_: pytest.fail("it was run"))
    tree.cache_clear()
    before = lock("train@mine"), lock("evaluate@mine")
    replace("src/lineage/models/resnet.py", '"""Residual networks and', '"""Networks with shortcuts and')
    replace("src/evaluate.py", "\n\n\ndef main() -> None:\n", "\n\n\ndef main() -> None:  # a comment\n")
    unchanged.main()
    after = lock("train@mine"), lock("evaluate@mine")
    changed = [{path for path in one if one[path] != other[path]} for one, other in zip(before, after, strict=True)]
    assert changed == [{"src/lineage/models/resnet.py"}, {"src/lineage/models/resnet.py", "src/evaluate.py"}]
    assert all(md5 == today(path)["md5"] for one in after for path, md5 in one.items())


def test_all_that_is_recorded_is_tried_but_what_runs_again_within_seconds():
    stages = ["fetch@signs", "preprocess@signs", "recipes", "train@mine", "evaluate@mine", "sweep", "compare"]
    assert unchanged.recorded({"stages": dict.fromkeys(stages)}) == ["mine", "sweep"]


def test_a_stage_with_another_recipe_runs_again(recorded):
    Path("recipes/sweep.json").write_text("{}")
    as_recorded("sweep")
    assert recorded("sweep").stdout.splitlines() == ["sweep: nothing to prove, its code has not changed"]
    Path("recipes/sweep.json").write_text('{"he": []}')
    result = recorded("sweep")
    assert result.stdout.startswith(
        "sweep: not proven: recipes/sweep.json has changed: `dvc repro sweep` runs it again"
    )
    assert "not everything is proven" in one_line(result, 1)


def test_an_experiment_that_is_gone_does_not_end_the_others(recorded):
    content = yaml.safe_load(Path("dvc.lock").read_text())
    content["stages"] = {"train@gone": content["stages"]["train@mine"]} | content["stages"]
    content["stages"]["older"] = content["stages"]["train@mine"]
    Path("dvc.lock").write_text(yaml.safe_dump(content))
    result = recorded()
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    gone, mine, older = result.stdout.splitlines()
    assert older == "older: not proven: it is in dvc.lock, but no longer in dvc.yaml"
    assert gone == "gone: not proven: it is in dvc.lock, but no longer in experiments.yaml"
    assert mine == "mine: nothing to prove, its code has not changed"
    Path("dvc.lock").unlink()
    assert "dvc.lock is missing: run this in the top folder" in one_line(recorded(), 2)


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
    monkeypatch.setattr(unchanged, "recorded", lambda lock: ["mine"])
    Path("dvc.yaml").write_text("stages: {train: {}, evaluate: {}}\n")
    monkeypatch.setattr(sys, "argv", ["unchanged.py"])
    unchanged.main()
    found = yaml.safe_load(Path("dvc.lock").read_text())["stages"]
    assert {name: entry["deps"] for name, entry in found.items()} == {
        "train@mine": ["proven"],
        "evaluate@mine": ["recorded meanwhile"],
        "sweep": ["recorded meanwhile"],
    }


def test_what_is_recorded_while_the_lock_is_written_stays(workspace, monkeypatch):
    """Another process writes between the reading of dvc.lock and its writing."""
    before = {"stages": {"train@mine": {"deps": ["old"]}}}
    Path("dvc.lock").write_text(yaml.safe_dump(before))
    texts = []

    def slowly(content):
        if not texts:
            Path("dvc.lock").write_text(yaml.safe_dump({"stages": before["stages"] | {"sweep": {"deps": []}}}))
        texts.append(yaml.safe_dump(content))
        return texts[-1]

    monkeypatch.setattr(unchanged, "dumps_yaml", slowly)
    unchanged.update({"stages": {"train@mine": {"deps": ["proven"]}}}, before, ["train@mine"])
    assert len(texts) == 2
    found = yaml.safe_load(Path("dvc.lock").read_text())["stages"]
    assert found == {"train@mine": {"deps": ["proven"]}, "sweep": {"deps": []}}


@pytest.mark.slow
def test_another_name_is_proven_to_change_nothing(recorded):
    replace("src/lineage/engine/augment.py", "corner", "first")
    extend("src/lineage/models/resnet.py")
    before = lock("train@mine")
    result = recorded()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "train@mine: the same bytes as at" in result.stdout
    assert "evaluate@mine: the same bytes as at" in result.stdout
    changed = {path for path, md5 in lock("train@mine").items() if before[path] != md5}
    assert changed == {"src/lineage/engine", "src/lineage/models/resnet.py"}
    assert "nothing to prove" in recorded().stdout


@pytest.mark.slow
def test_a_change_that_shows_is_refused_by_name(recorded):
    replace("src/lineage/engine/augment.py", "(x.float() / 255", "(x.float() / 256")
    before = lock("train@mine"), lock("evaluate@mine")
    result = recorded()
    assert result.returncode == 1
    assert "train@mine: NOT the same" in result.stdout and "models/mine/seed-0.safetensors" in result.stdout
    assert "evaluate@mine: NOT the same" in result.stdout
    assert (lock("train@mine"), lock("evaluate@mine")) == before


@pytest.mark.slow
def test_training_and_evaluation_are_judged_apart(recorded):
    replace("src/evaluate.py", '"diverged": diverged,', '"diverged": diverged, "more": 1,')
    extend("src/lineage/engine/recipe.py")
    before = lock("train@mine")["src/lineage/engine"], lock("evaluate@mine")
    result = recorded()
    assert result.returncode == 1
    assert "train@mine: the same bytes" in result.stdout
    assert "evaluate@mine: NOT the same" in result.stdout and "metrics/experiments/mine.json" in result.stdout
    assert lock("train@mine")["src/lineage/engine"] != before[0] and lock("evaluate@mine") == before[1]


@pytest.mark.slow
def test_what_is_proven_of_one_stage_is_said_whatever_becomes_of_the_other(recorded):
    content = yaml.safe_load(Path("dvc.lock").read_text())
    deps = content["stages"]["evaluate@mine"]["deps"]
    (script,) = [dep for dep in deps if dep["path"] == "src/evaluate.py"]
    script["md5"] = "0" * 32  # as if it had been recorded by code that was never committed
    Path("dvc.lock").write_text(yaml.safe_dump(content))
    extend("src/lineage/engine/recipe.py")
    before = lock("train@mine")["src/lineage/engine"], lock("evaluate@mine")
    result = recorded()
    assert "train@mine: the same bytes" in result.stdout and lock("train@mine")["src/lineage/engine"] != before[0]
    assert (
        "evaluate@mine: not proven: no commit here has the code" in result.stdout and lock("evaluate@mine") == before[1]
    )
    assert "not everything is proven" in one_line(result, 1)


@pytest.mark.slow
def test_an_evaluation_that_fails_leaves_the_training_proven(recorded):
    replace("src/evaluate.py", "def main() -> None:\n", "def main() -> None:\n    raise SystemExit('broken')\n")
    extend("src/lineage/engine/recipe.py")
    before = lock("train@mine")["src/lineage/engine"], lock("evaluate@mine")
    result = recorded()
    assert "train@mine: the same bytes" in result.stdout and lock("train@mine")["src/lineage/engine"] != before[0]
    assert "evaluate@mine: not proven: evaluate@mine failed: broken" in result.stdout
    assert lock("evaluate@mine") == before[1]


@pytest.mark.slow
def test_what_cannot_be_tried_is_one_line(recorded, monkeypatch):
    monkeypatch.delenv("SEEDS_AT_ONCE")  # so that memory is estimated first, which says which data are missing
    extend("src/lineage/engine/recipe.py")
    Path("data/tensors/grey/val.safetensors").rename("away")
    result = recorded()
    assert "run `dvc repro preprocess@grey` first" in result.stdout
    assert "not everything is proven" in one_line(result, 1)
    experiment(lr=0.01)
    assert "recipes/experiments/mine.json has changed: `dvc repro evaluate@mine`" in recorded().stdout


@pytest.mark.slow
def test_a_stage_that_trains_by_itself_is_proven_or_refused(recorded):
    about = experiment("plain-8-looks-linear") | {"dataset": "signs"}
    about["network"] = {"depth": 8, "shortcut": "none"}
    Path("recipes/initialisations.json").write_text(json.dumps({"looks-linear": about}))
    as_signs()
    as_recorded("initialisations")
    extend("src/lineage/options/__init__.py")
    before = lock("initialisations")
    result = recorded("initialisations")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("initialisations: the same bytes as at")
    proven = lock("initialisations")
    assert {path for path in proven if proven[path] != before[path]} == {"src/lineage/options/__init__.py"}
    git("add", "-A")
    git("commit", "-qm", "proven")
    replace("src/initialisations.py", '"diverged": "yes"', '"diverged": "surely"')
    replace("src/initialisations.py", 'else "no"', 'else "never"')
    result = recorded("initialisations")
    assert "initialisations: NOT the same as at" in result.stdout
    assert "first in plots/tables/initialisations.csv" in result.stdout
    assert "not everything is proven" in one_line(result, 1)
    assert lock("initialisations") == proven
