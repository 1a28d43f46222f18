"""README.md and docs/running.md: what people do beyond a first run: their own images, a remote, branches, sweeps.

One tiny study has run once; each test works in a clone of it, over the same cache.
"""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY, dvc, folders_zip, git, make_study, parameters, sha256, shell, write_parameters

from lineage import params
from lineage.experiments import resolve

pytestmark = pytest.mark.xdist_group("workflows")  # the study is made once
NAME = "resnet-8-signs"
HISTORY, VALIDATION = f"plots/history/{NAME}.csv", f"metrics/validation/{NAME}.json"


def weights(folder="."):
    return {path.name: sha256(path) for path in Path(folder, "models", NAME).glob("*.safetensors")}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A repository with one experiment, run at scale sample and committed."""
    line = parameters()["experiments"]["resnet-20-signs32"] | {"depth": 8}
    folder = make_study(tmp_path_factory.mktemp("study"), {NAME: line}, ["signs"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DATA_MIRROR", raising=False)
        dvc("repro", f"evaluate@{NAME}")
        # as recorded: the report reads it, and no test is about it
        shutil.copy(REPOSITORY / "plots/gradients.csv", "plots/gradients.csv")
        git("add", "-A")
        git("commit", "-qm", "results")
    return folder


@pytest.fixture
def clone(study, tmp_path, monkeypatch):
    """A clone of it as the current folder, with all results."""
    monkeypatch.delenv("DATA_MIRROR", raising=False)
    git("clone", "-q", str(study), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    dvc("cache", "dir", "--local", str(study / ".dvc/cache"))
    dvc("checkout")
    return tmp_path / "clone"


def own_data():
    """The commands of the README that lead from a zip to a report: those that write files, and those of DVC."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (block,) = (block for block in re.findall(r"```sh\n(.+?)```", readme, re.S) if "resnet34-mine: {" in block)
    files, found, commands = block.partition("dvc repro")
    assert files.startswith("cp flowers.zip data/sample/mine.zip\n")
    return files, found + commands


def flowers():
    """Photographs that nobody took, of odd sizes."""
    generator, members = np.random.default_rng(0), {}
    for part, n in (("train", 12), ("test", 4)):
        for kind in ("daisy", "rose"):
            for i in range(n):
                members[f"{part}/{kind}/{i}.png"] = generator.integers(0, 256, (40 + i, 60, 3), np.uint8)
    return folders_zip("flowers.zip", members)


def test_the_readmes_own_data_set_fits_the_parameter_files(workspace):
    for name in params.FILES:
        Path(name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, name)
    before, archive = params.read(), flowers()
    Path("data/sample").mkdir()
    shell(own_data()[0])
    after = params.read()
    assert after.experiments.keys() - before.experiments.keys() == {"resnet34-mine"}
    assert after.datasets.keys() - before.datasets.keys() == {"mine"}
    assert after.datasets["mine"].sample.sha256 == sha256(archive)
    assert after.datasets["mine"].classes == ("daisy", "rose")
    experiment = resolve(after, "resnet34-mine")
    assert (experiment.dataset, experiment.network.depth, experiment.classes) == ("mine", 34, 2)


@pytest.mark.slow
def test_the_readmes_own_data_set_becomes_a_trained_network_and_a_report(clone):
    flowers()
    files, commands = own_data()
    shell(files)
    commands, n = re.subn("dvc repro evaluate", "dvc exp run -S scale=full -S train.seeds=1 evaluate", commands)
    assert n == 1
    result = shell(commands)
    ran = re.findall(r"Running stage '(.+)'", result.stdout)
    assert ran[:5] == [
        "recipes",
        *(f"{stage}@mine" for stage in ("fetch", "preprocess")),
        "train@resnet34-mine",
        "evaluate@resnet34-mine",
    ]
    assert ran[-1] == "compare"
    assert Path("models/resnet34-mine/seed-0.safetensors").is_file()
    assert json.loads(Path("metrics/data/mine.json").read_text())["test_images"] == 8
    assert json.loads(Path("metrics/experiments/resnet34-mine.json").read_text())["scale"] == "full"
    report = Path("docs/experiments.md").read_text()
    assert "\n## resnet34-mine\n" in report
    figures = re.findall(r"\]\(\.\./(plots/figures/\S+resnet34-mine\S+)\)", report)
    assert len(figures) >= 2
    for figure in figures:
        assert Path(figure).stat().st_size, figure


@pytest.mark.slow
def test_an_archive_that_git_does_not_know_is_missing_in_a_queue(clone, tmp_path, monkeypatch):
    flowers()
    shell(own_data()[0])
    temporary = ["exp", "run", "--temp", "fetch@mine"]
    failed = dvc(*temporary, check=False)
    assert failed.returncode and "cannot get mine.zip" in failed.stdout + failed.stderr
    assert "Traceback" not in failed.stderr
    git("add", "data/sample/mine.zip")
    dvc(*temporary)
    git("rm", "-q", "--cached", "data/sample/mine.zip")
    shutil.move("data/sample/mine.zip", tmp_path)
    monkeypatch.setenv("DATA_MIRROR", str(tmp_path))
    dvc(*temporary, "--force")


@pytest.mark.slow
def test_what_was_trained_elsewhere_is_not_trained_again(clone, tmp_path, monkeypatch):
    trained = weights()
    assert trained
    dvc("remote", "add", "--default", "store", str(tmp_path / "store"))
    dvc("push", "--run-cache")
    git("commit", "-qam", "a remote")
    git("clone", "-q", str(clone), str(tmp_path / "other"))
    monkeypatch.chdir(tmp_path / "other")
    said = dvc("repro", "--pull", f"evaluate@{NAME}").stdout
    assert "Running stage" not in said
    assert weights() == trained
    assert shell("git status --porcelain").stdout == ""


@pytest.mark.slow
def test_over_a_shared_cache_what_was_trained_is_found_without_the_lock(clone):
    trained = weights()
    assert trained
    for path in ("models", "metrics", "plots"):
        shutil.rmtree(path)
    Path("dvc.lock").unlink()
    said = dvc("repro", f"train@{NAME}").stdout
    assert re.findall(r"Running stage '(.+)'", said) == ["recipes"]  # half a second, and in nobody's cache
    assert weights() == trained
    assert Path(HISTORY).is_file() and Path(VALIDATION).is_file()


@pytest.mark.slow
def test_branches_are_compared(clone):
    git("checkout", "-qb", "slower")
    content = parameters(".")
    content["recipes"]["signs32"]["lr"] = 0.001
    write_parameters(content)
    dvc("repro", f"evaluate@{NAME}")
    changed = json.loads(dvc("metrics", "diff", "main", "--json").stdout)
    assert changed[VALIDATION]["val_loss"]["diff"]
    (parameter,) = json.loads(dvc("params", "diff", "main", "--json").stdout)["params.yaml"].values()
    assert parameter["new"] == 0.001
    page = dvc("plots", "diff", "main", "--targets", HISTORY).stdout.strip()
    text = Path(page.removeprefix("file://")).read_text()
    assert '"rev": "main"' in text and '"rev": "workspace"' in text


@pytest.mark.slow
def test_a_sweep_in_dvcs_queue_is_judged_on_validation(clone):
    dvc("exp", "run", "--queue", "-S", "train.lr=0.05,0.2", f"train@{NAME}")
    dvc("queue", "start", "-j", "2")
    for _ in range(60):
        time.sleep(3)  # to ask takes two seconds of a core
        states = dvc("queue", "status").stdout.split("Worker status")[0]
        if not re.search(r"Queued|Running", states):
            break
    assert states.count("Success") == 2, states
    table = dvc("exp", "show", "--csv", "--sort-by", f"{VALIDATION}:val_top1", "--sort-order", "desc").stdout
    rows = {row["train.lr"]: row for row in csv.DictReader(io.StringIO(table)) if row["Experiment"]}
    assert rows.keys() == {"0.05", "0.2"}
    assert all(row[f"{VALIDATION}:val_top1"] for row in rows.values())
    # no run of the sweep has read the test set: the number is the committed one in every row
    (measured,) = {row["test_loss"] for row in csv.DictReader(io.StringIO(table))}
    assert float(measured) == json.loads(Path(f"metrics/experiments/{NAME}.json").read_text())["test_loss"]
    dvc("exp", "apply", rows["0.05"]["Experiment"])
    assert parameters(".")["train"]["lr"] == 0.05
    assert json.loads(Path(VALIDATION).read_text())["val_top1"] == float(rows["0.05"][f"{VALIDATION}:val_top1"])
    lines = list(csv.DictReader(io.StringIO(Path(HISTORY).read_text())))
    assert {line["lr"] for line in lines} == {"0.05"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="folders of Linux")
def test_without_a_home_and_with_temporary_files_on_another_file_system(clone, monkeypatch):
    monkeypatch.setenv("HOME", "/proc/none")  # where not even root can write
    monkeypatch.setenv("TMPDIR", "/dev/shm")
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AUTHOR", "COMMITTER"):  # Git would read them in that folder
        monkeypatch.setenv(f"GIT_{name}_NAME", "t")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "t@t")
    said = dvc("exp", "run", "--temp", "-S", "train.lr=0.3", f"train@{NAME}").stdout
    assert "Running stage 'train@" in said
    result = subprocess.run([sys.executable, "src/compare.py"], capture_output=True, text=True)
    assert result.returncode == 0 and "Traceback" not in result.stderr, result.stderr
