"""docs/extending.md: what it says to write is written into a copy of the project, and works.
The data set is in test_workflows.py."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY
from test_compare import measured

from lineage.files import read_json

PAGE = (REPOSITORY / "docs/extending.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"In\s`([^`]+)`(?:, under `(\w+)`)?:\n\n```\w+\n(.*?)```", re.DOTALL)


@pytest.fixture
def project(workspace):
    """A copy of the code and the parameter files."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("src", "dvc.yaml", "params.yaml", "experiments.yaml", "data/datasets.yaml"):
        source, target = REPOSITORY / name, Path(name)
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(source, target, ignore=ignored) if source.is_dir() else shutil.copy(source, target)
    table = Path("params.yaml")  # which a sample run changes
    table.write_text(table.read_text().replace("scale: sample", "scale: full"))
    return workspace


@pytest.fixture
def extended(project):
    """The copy with every example of the page in its place."""
    for name, block, text in EXAMPLE.findall(PAGE):
        path = Path(name)
        if block:
            before, heading, after = path.read_text().partition(f"\n{block}:\n")
            assert heading, f"{name} has no block {block}"
            text = before + heading + text + after
        path.write_text(text)
    networks = Path("src/lineage/options/__init__.py")
    networks.write_text(networks.read_text().replace("NETWORKS = (", 'NETWORKS = ("tiny", '))
    return project


def script(name, *arguments):
    command = [sys.executable, f"src/{name}.py", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_page_has_an_example_of_each_and_touches_what_its_table_says():
    touched = [(name, block) for name, block, _ in EXAMPLE.findall(PAGE)]
    assert touched == [
        ("src/lineage/options/tiny.py", ""),
        ("src/lineage/models/tiny.py", ""),
        ("params.yaml", "recipes"),
        ("experiments.yaml", "experiments"),
        ("src/lineage/report/study.yaml", "claims"),
        ("src/lineage/report/study.yaml", "figures"),
    ]


def test_network_recipe_and_experiments(extended):
    before = yaml.safe_load((REPOSITORY / "experiments.yaml").read_text(encoding="utf-8"))["experiments"]
    assert f"{len(before) + 2} experiments" in script("recipes")
    recipe = read_json(Path("recipes/experiments/tiny-signs-slow.json"))["recipe"]
    assert (recipe["lr"], recipe["epochs"]) == (0.005, 10)
    assert "19,878 parameters" in script("describe", "tiny-signs")


def test_claim_and_figure(extended):
    """Its verdict in the right direction, and its figure, by study.yaml alone."""
    for name, errors in (("tiny-signs", (0.1, 0.11, 0.1, 0.11)), ("tiny-signs-slow", (0.3, 0.32, 0.31, 0.3))):
        measured(name, errors)
    script("compare")
    text = Path("docs/results.md").read_text()
    (row,) = [line for line in text.splitlines() if line.startswith('| <a id="claim-tiny-rate">')]
    assert "the low learning rate raises the test error of the tiny network | ours | " in row
    assert "tiny-signs-slow" in row and "**holds**, +20.25 pp" in row
    assert "validation error in % by epoch: Two learning rates" in text
    assert "0.005" in Path("plots/figures/tiny.svg").read_text()


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (
            "  measure: test_error\n",
            "  measures: test_error\n",
            "claims, tiny-rate: got an unexpected keyword argument",
        ),
        ("- {id: early-vanish, ", "- {id: early-vanished, ", ""),  # a claim may go, though a finding speaks of it
    ],
)
def test_a_misspelt_key_is_one_line(extended, right, wrong, said):
    measured("tiny-signs")
    study = Path("src/lineage/report/study.yaml")
    assert study.read_text().count(right) == 1
    study.write_text(study.read_text().replace(right, wrong, 1))
    result = subprocess.run([sys.executable, "src/compare.py"], capture_output=True, text=True, timeout=100)
    assert (result.returncode, len(result.stderr.splitlines())) == ((2, 1) if said else (0, 0)), result.stderr
    assert not said or f"study.yaml, {said}" in result.stderr
