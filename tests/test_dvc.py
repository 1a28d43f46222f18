"""dvc.yaml: what each stage depends on, and what a change makes stale."""

import ast
import csv
import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import (
    REPOSITORY,
    dvc,
    folders_zip,
    git,
    make_study,
    outputs,
    parameters,
    sha256,
    shell,
    write_parameters,
)

from lineage.options import NETWORKS

pytestmark = pytest.mark.xdist_group("dvc")  # small_study is made once

STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
BODIES = {name: stage.get("do", stage) for name, stage in STAGES.items()}


@functools.cache
def modules(path):
    """The project's own files that a Python file imports, directly or not. Networks are imported by name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            place = REPOSITORY / "src" / name.replace(".", "/")
            found |= {file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}
    return found.union(*(modules(file) for file in found))


def fields(template):
    """The columns that a plot's template reads, without those that it makes itself or that DVC adds."""
    if isinstance(template, list):
        return set().union(*map(fields, template))
    if not isinstance(template, dict):
        return set()
    named = {template["field"]} if isinstance(template.get("field"), str) else set()
    return named.union(*map(fields, template.values()))


@pytest.mark.parametrize("stage", [name for name, body in BODIES.items() if body.get("plots")])
def test_the_templates_of_plots_read_columns_that_are_there(stage):
    for plot in BODIES[stage]["plots"]:
        ((path, about),) = plot.items()
        if "template" not in about:
            continue
        text = (REPOSITORY / f".dvc/plots/{about['template']}.json").read_text()
        made = set(re.findall(r'"as": "(\w+)"', text)) | {"rev"}
        needed = {about["x"], about["y"]} | {field for field in fields(json.loads(text)) if field[0] != "<"} - made
        recorded = sorted(REPOSITORY.glob(path.replace("${key}", "*")))
        assert recorded
        for table in recorded:
            with table.open() as file:
                assert needed <= set(next(csv.reader(file))), table


@pytest.mark.parametrize("stage", BODIES)
def test_a_stage_depends_on_what_it_imports_and_on_no_other_code(stage):
    script = REPOSITORY / "src" / f"{stage}.py"
    needed = {file.relative_to(REPOSITORY).as_posix() for file in modules(script) | {script}}
    stated = {dep for dep in BODIES[stage]["deps"] if dep.startswith("src/")}
    if "src/lineage/engine/device.py" in needed:  # networks are imported by name
        named = ["${item.model}"] if "foreach" in STAGES[stage] else ["resnet"]  # most of the others have no other
        named += ["vgg"] * (stage == "defects")
        needed |= {f"src/lineage/{folder}/{network}.py" for folder in ("models", "options") for network in named}
        needed.add("src/lineage/models/__init__.py")
    elif "src/lineage/options/__init__.py" in needed:  # every network's
        options = (REPOSITORY / "src/lineage/options").glob("*.py")
        needed |= {path.relative_to(REPOSITORY).as_posix() for path in options}
    needed -= {f"src/lineage/{name}.py" for name in ("errors", "files", "progress")}  # which change no result
    folders = {dep for dep in stated if not dep.endswith(".py")}
    for folder in folders:
        files = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / folder).glob("*.py")}
        assert files <= needed
        needed = needed - files | {folder}
    assert stated == needed


@pytest.mark.parametrize("model", NETWORKS)
def test_a_network_is_one_file(model):
    of = {REPOSITORY / "src/lineage/options" / f"{name}.py" for name in NETWORKS}
    for folder in ("models", "options"):
        own = modules(REPOSITORY / "src/lineage" / folder / f"{model}.py")
        assert own & of <= {REPOSITORY / "src/lineage/options" / f"{model}.py"}
        assert not own & {REPOSITORY / "src/lineage/models" / f"{name}.py" for name in NETWORKS}


def test_only_evaluate_sees_the_test_part():
    readers = {name for name, body in BODIES.items() if any("test.safetensors" in dep for dep in body["deps"])}
    assert readers == {"evaluate"}


def test_small_results_are_in_git_and_large_ones_are_not():
    for body in BODIES.values():
        for kind in ("outs", "metrics", "plots"):
            for out in body.get(kind, []):
                path, cached = (out, True) if isinstance(out, str) else next((k, v["cache"]) for k, v in out.items())
                assert cached == path.startswith(("data/", "models/")), path


@pytest.mark.parametrize("script", ["fetch", "preprocess", "recipes", "compare"])
def test_torch_is_left_to_those_who_need_it(script):
    code = f"import sys; sys.path.insert(0, 'src'); import {script}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0


# which train or measure ResNets of their own
UNNAMED = {
    "gradients",
    "sweep",
    "initialisations",
    "equalised",
    "crossed",
    "float64",
    "agreement",
    "deepened",
    "defects",
}
EXPERIMENTS = ("vgg16-cifar100", "plain-20-signs32", "resnet-20-signs32")


@pytest.fixture(scope="module")
def small_study(tmp_path_factory):
    """A repository with three experiments, run at scale sample."""
    experiments = {name: parameters()["experiments"][name] for name in EXPERIMENTS}
    folder = make_study(tmp_path_factory.mktemp("study"), experiments, ("signs", "cifar100"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DATA_MIRROR", raising=False)
        dvc("repro")
        yield folder


def stale():
    """The stages that `dvc repro` would run, given that `recipes` has run."""
    dvc("repro", "recipes")
    return set(json.loads(dvc("status", "--json").stdout))


def appended(path, text="\n# changed\n"):
    path = Path(path)
    before = path.read_text()
    path.write_text(before + text)
    return lambda: path.write_text(before)


def of(*experiments):
    return {f"{stage}@{name}" for stage in ("train", "evaluate") for name in experiments}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("src/lineage/report/figures.py", {"compare"}),
        ("src/lineage/models/vgg.py", of("vgg16-cifar100") | {"defects"}),
        ("src/lineage/models/resnet.py", of("plain-20-signs32", "resnet-20-signs32") | UNNAMED),
        ("src/lineage/options/vgg.py", of("vgg16-cifar100") | {"defects", "compare"}),
        ("src/lineage/params.py src/sample.py data/sample/README.md README.md", set()),
    ],
)
def test_a_change_of_a_file_makes_stale_what_it_can_change(small_study, path, expected):
    Path("README.md").touch()
    restored = [appended(one) for one in path.split()]
    try:
        assert stale() == expected
        planned = set(re.findall(r"Running stage '(.+)'", dvc("repro", "--dry").stdout))
        assert expected <= planned <= expected | ({"compare"} if expected else set())
    finally:
        for restore in restored:
            restore()


@pytest.mark.slow
def test_everything_done_again_by_force_gives_the_same_bytes(small_study):
    assert stale() == set()  # dvc.lock knows a file that another test has changed and changed back
    git("add", "-A")
    git("commit", "-qm", "results", "--allow-empty")
    weights = {path: sha256(path) for path in Path("models").rglob("*.safetensors")}
    assert len(weights) == len(EXPERIMENTS)
    result = dvc("repro", "--force")
    assert all(f"Running stage 'train@{name}'" in result.stdout for name in EXPERIMENTS)
    assert "resuming" not in result.stdout
    assert "trained already" not in result.stdout
    assert "are through already" not in result.stdout
    assert shell("git status --porcelain").stdout == ""
    assert {path: sha256(path) for path in Path("models").rglob("*.safetensors")} == weights


@pytest.mark.slow
def test_a_change_of_a_line_makes_stale_that_experiment(small_study):
    original, content = parameters("."), parameters(".")
    try:
        line = content["experiments"]["plain-20-signs32"] | {"lr": 0.05}
        content["experiments"]["plain-20-signs32"] = line
        write_parameters(content)
        assert stale() == of("plain-20-signs32") | {"compare"}
        content = parameters(".") | {"experiments": dict(original["experiments"])}
        content["experiments"]["resnet-8-signs"] = content["experiments"]["resnet-20-signs32"] | {"depth": 8}
        write_parameters(content)
        assert stale() == of("resnet-8-signs") | {"compare"}
        content["experiments"] = dict(original["experiments"])
        content["datasets"] = original["datasets"] | {
            "cifar100": original["datasets"]["cifar100"] | {"validation": 0.2}
        }
        write_parameters(content)
        assert stale() == {"preprocess@cifar100", "compare"}  # and what needs its tensors; nothing is fetched again
        content["datasets"] = original["datasets"]
        content["experiments"]["plain-20-signs32"] = original["experiments"]["plain-20-signs32"] | {"cutmix": 0}
        write_parameters(content)  # as a new option with a neutral default
        assert stale() == set()
    finally:
        write_parameters(original)
    assert stale() == set()


@pytest.mark.slow
def test_a_data_set_of_ones_own_is_one_block(small_study):
    images = np.random.default_rng(0).integers(0, 256, (40, 20, 30, 3), np.uint8)
    kinds = ["daisy", "rose"]
    members = {f"{'train' if i < 30 else 'test'}/{kinds[i % 2]}/{i}.png": image for i, image in enumerate(images)}
    archive = folders_zip(Path("data/sample/flowers.zip"), members)
    original, content = parameters("."), parameters(".")
    sample = {"format": "folders", "name": "flowers.zip", "sha256": sha256(archive)}
    content["datasets"]["flowers"] = {"image_size": 32, "classes": "daisy rose", "sample": sample, "archives": []}
    content["experiments"]["resnet-8-flowers"] = content["experiments"]["plain-20-signs32"] | {"dataset": "flowers"}
    try:
        write_parameters(content)
        result = dvc("repro", "evaluate@resnet-8-flowers")
        ran = set(re.findall(r"Running stage '(.+)'", result.stdout))
        assert ran == {"recipes", "fetch@flowers", "preprocess@flowers"} | of("resnet-8-flowers")
        assert json.loads(Path("metrics/data/flowers.json").read_text())["test_images"] == 10
    finally:
        write_parameters(original)


@pytest.mark.slow
def test_an_override_reaches_the_history_and_fetches_nothing_again(small_study):
    result = dvc("exp", "run", "-S", "train.lr=0.001", "evaluate@plain-20-signs32", "evaluate@vgg16-cifar100")
    assert "Running stage 'train@plain-20-signs32'" in result.stdout
    assert "Running stage 'fetch" not in result.stdout
    assert "Running stage 'preprocess" not in result.stdout
    for name in ("plain-20-signs32", "vgg16-cifar100"):
        lines = Path("plots/history", f"{name}.csv").read_text().splitlines()
        column = lines[0].split(",").index("lr")
        assert {line.split(",")[column] for line in lines[1:]} == {"0.001"}
    changed = shell("git diff --name-only HEAD").stdout.split()
    assert "params.yaml" in changed
    assert not {"experiments.yaml", "data/datasets.yaml"} & set(changed)  # the tables stand as they were
    subprocess.run(["git", "checkout", "-q", "params.yaml"], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        ("params.yaml", ("scale: sample", "scale: medium"), "scale: Input should be 'full' or 'sample', not 'medium'"),
        (
            "experiments.yaml",
            ("model: vgg", "model: vit"),
            "experiments.vgg16-cifar100.model: 'vit' is unknown; choose one of alexnet, lenet",
        ),
        (
            "experiments.yaml",
            ("recipe: vgg", "recipe: vggg"),
            "experiments.vgg16-cifar100.recipe: 'vggg' is unknown; choose one of",
        ),
    ],
)
def test_a_mistake_stops_the_run_before_anything_is_deleted(small_study, path, change, said):
    text = Path(path).read_text()
    everything = ("data/raw", "data/tensors", "recipes", "docs")
    kept = outputs(*everything)
    assert any(name.endswith(".safetensors") for name in kept) and any(name.startswith("recipes/") for name in kept)
    assert change[0] in text
    Path(path).write_text(text.replace(*change))
    try:
        result = dvc("repro", check=False)
        assert result.returncode != 0
        assert said in result.stdout + result.stderr
        assert "Traceback" not in result.stderr
    finally:
        Path(path).write_text(text)
    assert outputs(*everything) == kept
