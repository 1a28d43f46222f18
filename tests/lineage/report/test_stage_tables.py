import hashlib
import json
import os
from pathlib import Path

import pytest
import yaml
from test_first_steps import ERRORS, STEPS, drawn, swept

from lineage.errors import Mistake
from lineage.report import first_steps
from lineage.report.stage_tables import LOCK, of_present_recipes, read

RECIPES = Path("recipes/sweep.json")


def lock(**stages):
    """A dvc.lock in which each stage has the present recipes."""
    md5 = hashlib.md5(RECIPES.read_bytes(), usedforsecurity=False).hexdigest()
    deps = [{"path": "src/sweep.py", "md5": "0"}, {"path": "recipes/sweep.json", "md5": md5}]
    LOCK.write_text(yaml.safe_dump({"stages": {name: {"deps": deps} | about for name, about in stages.items()}}))


@pytest.fixture
def sweep(workspace):
    swept(ERRORS, STEPS)


def test_a_table_of_other_recipes_is_not_shown(sweep):
    lock(sweep={})
    assert of_present_recipes("sweep", RECIPES) and first_steps.sweep({}, drawn) and first_steps.finding()
    RECIPES.write_text(RECIPES.read_text().replace("0.1", "0.01"))  # as `-S train.lr=0.01` leaves it
    assert not of_present_recipes("sweep", RECIPES)
    assert first_steps.sweep({}, drawn) == first_steps.finding() == []
    lock(sweep={})
    os.utime(LOCK, ns=(1, 1))  # a clock may be too coarse to tell the two files apart
    assert of_present_recipes("sweep", RECIPES)


def test_a_table_of_other_depths_or_another_scale_is_not_read(sweep):
    found, recipes = read(first_steps.SWEEP)
    assert len(found) and recipes == json.loads(RECIPES.read_text())
    assert len(read(first_steps.SWEEP, RECIPES)[0]) == len(found)
    found.assign(scale="sample").to_csv(first_steps.SWEEP, index=False)
    assert read(first_steps.SWEEP)[0].empty and read(first_steps.SWEEP, RECIPES)[0].empty
    found.assign(depth=8).to_csv(first_steps.SWEEP, index=False)
    assert read(first_steps.SWEEP)[0].empty
    assert len(read(first_steps.SWEEP, RECIPES)[0]) == len(found)  # the recipes of another stage


def test_what_dvc_has_not_run_is_shown(sweep):
    assert of_present_recipes("sweep", RECIPES)
    lock(float64={})
    assert of_present_recipes("sweep", RECIPES)
    lock(sweep={"deps": []})
    assert of_present_recipes("sweep", RECIPES)
    LOCK.write_text("")
    os.utime(LOCK, ns=(2, 2))
    assert of_present_recipes("sweep", RECIPES)


@pytest.mark.parametrize("content", ["<<<<<<< HEAD\nstages: {}\n=======\n", "stages:\n", "- sweep\n"])
def test_what_dvc_has_not_written_is_one_line(sweep, content):
    LOCK.write_text(content)
    with pytest.raises(
        Mistake, match=r"^dvc\.lock is not as DVC writes it: `python src/merge_lock.py` after a merge, or"
    ):
        of_present_recipes("sweep", RECIPES)
