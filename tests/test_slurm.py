"""scripts/slurm.sh, without SLURM: what it submits; how a task ends, is killed and goes on; the last `dvc repro`."""

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import REPOSITORY, parameters, write_parameters
from dvc.cli.parser import get_main_parser

SCRIPT = REPOSITORY / "scripts/slurm.sh"
NAMES = ("plain-20-signs32", "resnet-20-signs32")
COMMIT = "git init -q && git add -A && git -c user.name=t -c user.email=t@t commit -qm t"


def run(*command, **environment):
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=300)


def program(name, text):
    """A program in bin/, which comes first on the path: notes its arguments and the folder, then does `text`."""
    path = Path("bin", name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/usr/bin/env bash\necho "{name} $*" >> "$CALLS"\n{text}\n')
    path.chmod(0o755)


@pytest.fixture
def cluster(workspace, monkeypatch):
    """A folder with the script, and with a `sbatch` and a `scontrol` that only note how they were called."""
    Path("scripts").mkdir()
    shutil.copy(SCRIPT, "scripts")
    program("sbatch", "echo 7")
    program("scontrol", "")
    monkeypatch.setenv(
        "PATH", f"{workspace}/bin{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    monkeypatch.setenv("CALLS", f"{workspace}/bin/calls")
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    return workspace


def calls():
    path = Path("bin/calls")
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def without_dvc(cluster):
    """The repository's parameters and recipes, committed, and a `dvc` that only notes how it was called."""
    program("dvc", 'case "$*" in "cache dir") echo /the/cache ;; esac')
    for path in ("recipes", "data/datasets.yaml", "params.yaml", "experiments.yaml", ".dvc/config", ".gitignore"):
        Path(path).parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (REPOSITORY / path).is_dir() else shutil.copy
        copy(REPOSITORY / path, path)
    Path("src").mkdir()
    with Path(".gitignore").open("a") as file:
        file.write("/bin/\n")
    subprocess.run(COMMIT, shell=True, check=True)


def test_bash_finds_no_mistake():
    assert run("bash", "-n", str(SCRIPT)).stderr == ""


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_no_mistake():
    result = run("shellcheck", str(SCRIPT))
    assert (result.returncode, result.stdout) == (0, "")


def test_the_examples_name_experiments_that_exist():
    page = (REPOSITORY / "docs/cluster.md").read_text(encoding="utf-8")
    examples = re.findall(r"^#? *scripts/slurm.sh (--.+?)(?: +#.*)?$", page + SCRIPT.read_text(), re.M)
    examples += re.findall(r"^dvc repro (\S+) +#", page, re.M)
    assert len(examples) == 4
    words = run("bash", "-c", "printf '%s\\n' " + " ".join(examples)).stdout.split()
    names = {word.removeprefix("evaluate@") for word in words if not word.startswith("--")}
    assert len(names) == 8 and names <= set(parameters()["experiments"])


def test_it_prepares_each_data_set_once_and_submits_one_task_per_experiment(without_dvc):
    names = (*NAMES, "lenet5-cifar10")
    Path(".dvc/config.local").write_text("[core]\n    hardlink_lock = true\n")
    result = run("scripts/slurm.sh", "--gres=gpu:1", "--time=60", *names)
    assert result.returncode == 0, result.stderr
    assert calls() == [
        "dvc repro recipes",
        "dvc repro preprocess@cifar10 preprocess@signs",
        "dvc cache dir",
        *(f"dvc --cd runs/slurm/{name} cache dir --local /the/cache" for name in names),
        f"sbatch --parsable --array=0-2 --gres=gpu:1 --time=60 scripts/slurm.sh {' '.join(names)}",
    ]
    assert result.stdout.splitlines()[-1] == "dvc repro " + " ".join(f"evaluate@{name}" for name in names)
    for call in calls():
        if call.startswith("dvc "):
            get_main_parser().parse_args(call.split()[1:])  # SystemExit, were an option unknown
    for name in names:
        tree = Path("runs/slurm", name)
        assert (tree / "params.yaml").read_bytes() == Path("params.yaml").read_bytes()
        assert (tree / ".dvc/config.local").exists()
    assert run("git", "status", "--porcelain").stdout.split() in ([], ["??", ".dvc/config.local"])


def test_submitted_again_a_worktree_has_the_new_commit_and_its_checkpoints(without_dvc):
    assert run("scripts/slurm.sh", NAMES[0]).returncode == 0
    tree = Path("runs/slurm", NAMES[0])
    state = tree / f"runs/{NAMES[0]}/seed-0.state"
    state.parent.mkdir(parents=True)
    state.write_text("kept")
    (tree / "params.yaml").write_text("as a task has left it")
    Path("params.yaml").write_text("committed since")
    subprocess.run(COMMIT, shell=True, check=True)
    result = run("scripts/slurm.sh", NAMES[0])
    assert result.returncode == 0, result.stderr
    assert (tree / "params.yaml").read_text() == "committed since"
    assert state.read_text() == "kept"
    shutil.rmtree(tree)  # without a word to Git
    assert run("scripts/slurm.sh", NAMES[0]).returncode == 0
    assert (tree / "params.yaml").read_text() == "committed since"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name experiments: "),
        (["--gres=gpu:1"], "name experiments: "),
        ([NAMES[0], NAMES[1], NAMES[0]], f"named twice: {NAMES[0]}"),
        (["resnet-21"], "experiments.yaml has no experiment 'resnet-21'"),
        (["--gres", "gpu:1", NAMES[0]], "experiments.yaml has no experiment 'gpu:1'"),
    ],
)
def test_a_mistake_is_one_line_and_submits_nothing(without_dvc, arguments, said):
    result = run("scripts/slurm.sh", *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith(f"scripts/slurm.sh: {said}") and result.stderr.count("\n") == 1
    assert not [call for call in calls() if call.startswith("sbatch")]


@pytest.mark.parametrize("path", ["params.yaml", "src/new.py", "data/datasets.yaml"])
def test_what_is_not_committed_is_refused(without_dvc, path):
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text("changed")
    result = run("scripts/slurm.sh", *NAMES)
    assert result.returncode == 2 and "commit your changes" in result.stderr
    assert calls() == []


def test_without_slurm_it_says_so(without_dvc):
    Path("bin/sbatch").unlink()
    for name in ("bash", "dirname"):
        Path("bin", name).symlink_to(shutil.which(name))
    result = run("scripts/slurm.sh", *NAMES, PATH=str(Path("bin").absolute()))
    assert result.returncode == 2 and "there is no sbatch here" in result.stderr
    program("sbatch", "echo 7")
    Path("bin/dvc").unlink()
    result = run("scripts/slurm.sh", *NAMES, PATH=str(Path("bin").absolute()))
    assert result.returncode == 2 and "there is no dvc here; activate" in result.stderr
    assert calls() == []


def test_without_a_clone_it_says_so(without_dvc):
    shutil.rmtree(".git")
    result = run("scripts/slurm.sh", *NAMES)
    said = "scripts/slurm.sh: tasks need a Git clone, and `git status` fails here\n"
    assert (result.returncode, result.stderr, calls()) == (2, said, [])


def test_a_warning_of_git_is_no_change(without_dvc):
    program("git", f'echo "warning: of no matter" >&2; exec {shutil.which("git")} "$@"')
    result = run("scripts/slurm.sh", NAMES[0])
    assert result.returncode == 0, result.stderr
    assert [call for call in calls() if call.startswith("sbatch")]


def test_a_number_of_tries_that_is_none(without_dvc):
    """It would be no limit."""
    result = run("scripts/slurm.sh", *NAMES, RETRIES="ten")
    assert result.returncode == 2
    assert result.stderr == "scripts/slurm.sh: RETRIES should be a whole number, not 'ten'\n" and calls() == []


def test_a_task_without_an_experiment_is_not_queued_again(without_dvc):
    Path("runs/slurm").mkdir(parents=True)
    result = run("scripts/slurm.sh", *NAMES, SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="2")
    assert result.returncode == 2 and "task 2 has no experiment: submit again, with --array up to 1" in result.stderr
    assert calls() == []


@pytest.mark.parametrize(
    ("fails", "restarts", "expected"),
    [("exit 0", "0", []), ("exit 1", "0", ["requeue"]), ("kill -9 $$", "4", ["requeue"]), ("exit 1", "5", [])],
)
def test_a_task_that_fails_is_queued_again_but_not_for_ever(without_dvc, fails, restarts, expected):
    Path("runs/slurm", NAMES[1]).mkdir(parents=True)
    program("dvc", fails)
    task = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1", "SLURM_RESTART_COUNT": restarts}
    result = run("scripts/slurm.sh", *NAMES, **task)
    assert (result.returncode != 0) == (fails != "exit 0")
    stage = f"evaluate@{NAMES[1]}"
    last = [f"scontrol {what} 7_1" for what in expected] if fails != "exit 0" else [f"dvc commit --force {stage}"]
    assert calls() == [f"dvc repro {stage}", *last]
    get_main_parser().parse_args(["commit", "--force", stage])
    given_up = f"{NAMES[1]}: it failed, see above; no try is left: submit it again, and it goes on"
    assert (given_up in result.stderr) == (restarts == "5")


def test_a_task_is_queued_again_where_its_time_ends(without_dvc):
    Path("runs/slurm", NAMES[0]).mkdir(parents=True)
    program("dvc", 'kill -USR1 "$SCRIPT"; sleep 1; echo "training went on" >> "$CALLS"')
    program("slurmstepd", 'export SCRIPT=$$; exec scripts/slurm.sh "$@"')
    result = run("bin/slurmstepd", *NAMES, SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="0")
    assert result.returncode == 1
    time.sleep(1.5)
    assert calls()[1:] == [f"dvc repro evaluate@{NAMES[0]}", "scontrol requeue 7_0"]
    task = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0", "SLURM_RESTART_COUNT": "5"}
    last = run("bin/slurmstepd", *NAMES, **task)
    assert f"{NAMES[0]}: its time limit was near; no try is left: submit it again" in last.stderr


@pytest.mark.slow
def test_tasks_train_one_is_killed_and_the_last_repro_trains_nothing(cluster, monkeypatch):
    for name in ("src", "data/sample", ".dvc/plots"):
        shutil.copytree(REPOSITORY / name, name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore"):
        shutil.copy(REPOSITORY / name, name)
    content = parameters()
    content["scale"], content["train"] = "sample", dict.fromkeys(content["train"]) | {"epochs": 2, "seeds": 1}
    content["experiments"] = {name: content["experiments"][name] for name in NAMES}
    content["datasets"] = {"signs": content["datasets"]["signs"]}
    write_parameters(content)
    subprocess.run(COMMIT, shell=True, check=True)
    monkeypatch.setenv("CHECKPOINT_SECONDS", "0")
    submitted = run("scripts/slurm.sh", *NAMES)
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    spooled = shutil.copy("scripts/slurm.sh", "bin/slurm_script")  # SLURM runs a copy

    def task(number):
        environment = os.environ | {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(number)}
        command = ["bash", spooled, *NAMES]
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    killed, tree = task(0), Path("runs/slurm", NAMES[0])
    deadline = time.monotonic() + 300
    while not list(tree.glob("runs/*/*.state")):
        assert killed.poll() is None and time.monotonic() < deadline, killed.communicate()
        time.sleep(0.01)
    for process in psutil.Process(killed.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # one whose parent was killed first may have ended by itself
            process.kill()
    assert "Running stage 'fetch" not in killed.communicate()[0]
    assert killed.returncode == 1
    assert calls()[-1] == "scontrol requeue 7_0"
    (tree / ".dvc/tmp/rwlock").write_text('{"write": {"mod')  # as a node leaves it that dies while it writes

    said = [one.communicate()[0] for one in (task(0), task(1))]
    assert "resuming" in said[0] or "trained already" in said[0], said[0]
    for name, text in zip(NAMES, said, strict=True):
        assert f"Running stage 'evaluate@{name}'" in text, text
        assert "Running stage 'fetch" not in text and "Running stage 'preprocess" not in text

    last = run(*submitted.stdout.splitlines()[-1].split())
    assert last.returncode == 0, last.stdout + last.stderr
    assert re.findall(r"Running stage '(.+)'", last.stdout) == []
    cached = set(re.findall(r"Stage '(.+)' is cached", last.stdout))
    assert cached == {f"{stage}@{name}" for stage in ("train", "evaluate") for name in NAMES}
    assert cached < set(yaml.safe_load(Path("dvc.lock").read_text())["stages"])
    for name in NAMES:
        for kind in (f"models/{name}/seed-0.safetensors", f"metrics/experiments/{name}.json"):
            assert Path(kind).read_bytes() == Path("runs/slurm", name, kind).read_bytes()
