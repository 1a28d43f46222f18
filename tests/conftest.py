"""What the tests share: the repository, small workspaces, small archives, and real images from data/sample."""

import csv
import ctypes
import hashlib
import importlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

# Before torch loads: two tests run at once, on a core each, and not on a GPU unless one is named.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

import sample
from lineage import archives, errors, params

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def all_of_floating_point():
    """What an earlier test's `device.prepare` has switched off: numbers too small for the usual form."""
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """An empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_MIRROR", raising=False)
    return tmp_path


@pytest.fixture
def unchanged():
    """What a stage sets in this process is not for the other tests."""
    threads, hook = torch.get_num_threads(), threading.excepthook
    yield
    threading.excepthook = hook
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


PEAK = Path("/proc/self/clear_refs")


def memory() -> tuple[int, int]:
    """What this process has of memory now, and the most that it had since `takes_at_most` began, in bytes."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return tuple(1024 * int(lines[key].split()[0]) for key in ("VmRSS", "VmHWM"))


@contextmanager
def takes_at_most(size: int) -> Iterator[None]:
    """What happens inside takes no more than so many bytes on top of what the process has. Where the peak that an
    earlier test has reached cannot be forgotten (not on Linux, or not allowed), nothing is checked.
    """
    if not os.access(PEAK, os.W_OK):
        yield
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's: what has been freed is no memory to begin with
    if trim:
        trim(0)
    PEAK.write_text("5", encoding="utf-8")  # proc(5): the peak becomes what there is now
    before, _ = memory()
    yield
    _, peak = memory()
    assert peak - before < size


@pytest.fixture(scope="module")
def within_a_gigabyte():
    """From its first user in a file of tests to the last, no more than a gigabyte is taken."""
    with takes_at_most(10**9):
        yield


@pytest.fixture(scope="session")
def signs():
    """SIGNS as `fetch` reads it: real photographs."""
    classes = [str(digit) for digit in range(6)]
    return archives.read("folders", [REPOSITORY / "data/sample/signs.zip"], classes, 64)[0]


@pytest.fixture
def run_script():
    """Run a stage as DVC does, in the current folder."""

    def run(script, *arguments, **environment):
        command = [sys.executable, REPOSITORY / "src" / f"{script}.py", *arguments]
        ours = "DATA_MIRROR", "OMP_NUM_THREADS", "OMP_WAIT_POLICY"
        inherited = {key: value for key, value in os.environ.items() if key not in ours}
        return subprocess.run(command, capture_output=True, text=True, env=inherited | environment, timeout=300)

    return run


@pytest.fixture
def run_here(monkeypatch, unchanged):
    """As `run_script`, but in this process: for what a stage does rather than how its process begins and ends. It saves
    the seconds in which a new process loads torch.
    """

    def run(script, *arguments, **environment):
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        command = [f"{REPOSITORY}/src/{script}.py", *arguments]
        with monkeypatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", command)
            for name, value in environment.items():
                patch.setenv(name, value)
            try:
                errors.run(importlib.import_module(script).main)
                exit_code = 0
            except SystemExit as end:
                if end.code == 130:
                    raise KeyboardInterrupt from None
                exit_code = end.code or 0
            said = [stream.flush() or stream.buffer.getvalue().decode() for stream in (out, err)]
        return subprocess.CompletedProcess(command, exit_code, *said)

    return run


def content(path):
    """A file of the last commit, whatever a sample run has done to the workspace since."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a Git checkout")
    return subprocess.run(["git", "show", f"HEAD:{path}"], cwd=REPOSITORY, capture_output=True, check=True).stdout


def recorded_errors(place, **where):
    """The errors in per cent, seed by seed, that a committed table has."""
    table = pd.read_csv(io.BytesIO(content(f"plots/tables/{place}.csv")))
    for column, value in where.items():
        table = table[table[column] == value]
    return 100 * (table.train_error if "train_error" in table else 1 - table.top1)


def shell(commands, check=True):
    """Run commands as a user types them."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-euc", commands]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


def parameters(folder=REPOSITORY):
    """The blocks of all parameter files together."""
    content = {}
    for name in params.FILES:
        content |= yaml.safe_load(Path(folder, name).read_text())
    return content


def write_parameters(content, folder="."):
    """Write each block of the parameters to its file; one that belongs nowhere to `params.yaml`."""
    known = [block for blocks in params.FILES.values() for block in blocks]
    for name, blocks in params.FILES.items():
        if name == "params.yaml":
            blocks = [*blocks, *(block for block in content if block not in known)]
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        own = {block: content[block] for block in blocks if block in content}
        path.write_text(yaml.dump(own, Dumper=yaml.CSafeDumper, sort_keys=False, width=10_000))


# the networks of the stages that train some of their own: those of the study take several times as long
SHALLOW = {
    "sweep": {"depths": [8, 14]},
    "initialisations": {"depth": 8},  # and `agreement`
    "equalised": {"plain": {8: ["he", "random-0.8", "dirac", "looks-linear"]}, "residual": {8: ["he"]}},
    "crossed": {"depth": 8},
    "float64": {"depths": [8], "equalised": {8: 0.01}},
    "deepened": {"shallow": 8, "deep": 14},
}


def make_study(folder, experiments, datasets):
    """A Git repository like this one, at scale sample, with these experiments and data sets alone; nothing has run."""
    for name in ("src", "data/sample", ".dvc/plots"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore"):
        shutil.copy(REPOSITORY / name, folder / name)
    script = folder / "src/gradients.py"  # which is as large at every scale
    text = script.read_text(encoding="utf-8")
    assert "\nSEEDS = 3\n" in text
    script.write_text(text.replace("\nSEEDS = 3\n", "\nSEEDS = 1\n"), encoding="utf-8")
    content = parameters()
    content["scale"], content["train"] = "sample", dict.fromkeys(content["train"]) | {"epochs": 1}
    for block, shallow in SHALLOW.items():
        content[block] |= shallow
    content["experiments"] = experiments
    content["datasets"] = {name: content["datasets"][name] for name in datasets}
    write_parameters(content, folder)
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "a study"]):
        git(*command, cwd=folder)
    return folder


def git(*arguments, cwd=None):
    """Git with a name, which a test's machine may not have."""
    return subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments], cwd=cwd, check=True)


def outputs(*more):
    """The hash of each file that a stage has written in the current folder; `more` names further folders to look in."""
    paths = [path for folder in ("models", "plots", "metrics", *more) for path in Path(folder).rglob("*")]
    return {path.as_posix(): sha256(path) for path in paths if path.is_file()}


def as_signs():
    """Give the prepared data set of three greys the name of SIGNS, without a test set."""
    if not Path("data/tensors/signs").exists():
        Path("data/tensors/grey").rename("data/tensors/signs")
        Path("data/tensors/signs/test.safetensors").unlink()


def dvc(*arguments, check=True):
    result = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


def one_line(result, exit_code):
    """The script's message: one line, no traceback, and the right exit code."""
    lines = result.stderr.strip().splitlines()
    assert result.returncode == exit_code, result.stderr
    assert len(lines) == 1, result.stderr
    return lines[0]


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def folders_zip(path, images):
    """A zip of `{member: array or bytes}`."""
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in images.items():
            if isinstance(content, np.ndarray):
                buffer = io.BytesIO()
                Image.fromarray(content).save(buffer, "PNG")
                content = buffer.getvalue()
            archive.writestr(member, content)
    return path


def cifar_twins(folder, images, labels, names, kinds, test_from):
    """The same images as an official archive and as contact sheets; those from `test_from` on are the test set."""
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    halves = {"data_batch_2": slice(0, 2), "data_batch_1": slice(2, test_from), "test_batch": slice(test_from, None)}
    members = {
        name: {b"data": rows[of], b"labels": labels[of].tolist(), b"filenames": [n.encode() for n in names[of]]}
        for name, of in halves.items()
    } | {"batches.meta": {b"label_names": [kind.encode() for kind in kinds]}}
    official = folder / "official.tar.gz"
    with tarfile.open(official, "w:gz") as tar:
        for name, content in members.items():
            add_member(tar, f"cifar-10-batches-py/{name}", pickle.dumps(content, protocol=2))
    sheets, table = folder / "sheets.tar", io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["split", "class", "position", "name"])
    with tarfile.open(sheets, "w") as tar:
        for part, of in (("train", range(test_from)), ("test", range(test_from, len(images)))):
            for number, kind in enumerate(kinds):
                chosen = sorted((i for i in of if labels[i] == number), key=lambda i: names[i])
                add_member(tar, f"{part}/{kind}.webp", sample.sheet(images[chosen], columns=3))
                writer.writerows([part, kind, position, names[i]] for position, i in enumerate(chosen))
        add_member(tar, "names.csv", table.getvalue().encode())
    return official, sheets


def add_member(tar, name, content):
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def dataset_recipe(name, archive, format, classes, size=32, validation=None, **others):
    """Write what the stage `recipes` writes for a data set whose archive lies in data/sample."""
    files = [{"name": archive.name, "sha256": sha256(archive)}]
    content = {"classes": classes, "image_size": size, "unreadable": "error"} | others
    path = Path("recipes/datasets", f"{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | {"archives": [{"format": format, "files": files}]}))
    Path("recipes/addresses.json").write_text("{}")
    Path("recipes/splits").mkdir(exist_ok=True)
    Path("recipes/splits", f"{name}.json").write_text(json.dumps({"validation": validation}))
