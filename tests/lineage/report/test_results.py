import json
from pathlib import Path

import pytest
from test_compare import measured

from lineage.report import results


def test_the_name_says_family_depth_and_group():
    assert results.twin("plain-20-signs32") == ("plain", 20, "signs32")
    assert results.twin("resnet-110-cifar10-short") == ("resnet", 110, "cifar10-short")
    assert results.twin("resnet34-signs") is None
    assert results.twin("fp32-plain-56-signs32") is None


def test_an_experiment_as_it_was_measured(workspace):
    measured("resnet-20-hands", (0.1, 0.2))
    result = results.read("resnet-20-hands")
    assert result.error("test").tolist() == pytest.approx([0.1, 0.2])
    assert result.error("train").tolist() == pytest.approx([0.05, 0.1])
    assert result.budget == "3 epochs"
    assert result.table("blocks").addition.tolist() == [0.5, 1.5, 2.5]
    assert result.table("nothing") is None


def test_what_is_incomplete_or_of_another_recipe_has_not_run(workspace):
    measured("plain-20-hands")
    assert results.read("plain-20-hands")
    path = Path("plots/tables/plain-20-hands/layers.csv")
    content = path.read_text()
    path.unlink()
    assert results.read("plain-20-hands") is None
    path.write_text(content)
    recipe = Path("recipes/experiments/plain-20-hands.json")
    recipe.write_text(json.dumps(json.loads(recipe.read_text()) | {"classes": 3}))
    assert results.read("plain-20-hands") is None


def test_groups_go_from_shallow_to_deep(workspace):
    for name in ("resnet-110-hands", "plain-56-hands", "plain-110-hands", "plain-20-feet", "vgg16-hands"):
        measured(name)
    found = results.groups([results.read(path.stem) for path in sorted(Path("recipes/experiments").glob("*"))])
    assert list(found) == ["feet", "hands"]
    assert list(found["hands"]) == [("plain", 56), ("plain", 110), ("resnet", 110)]
