import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from conftest import REPOSITORY, git, one_line, parameters, write_parameters

from lineage.params import FILES


@pytest.fixture
def params(workspace):
    write_parameters(parameters())

    def change(**changes):
        content = parameters(".")
        content["scale"] = "full"
        for key, value in changes.items():
            content[key] = content[key] | value if isinstance(value, dict) else value
        write_parameters(content)
        return content

    return change


def written():
    return {path.as_posix(): path.read_text() for path in Path("recipes").rglob("*.json")}


def test_one_file_per_experiment_and_data_set(params, run_script):
    content = params()
    assert run_script("recipes").returncode == 0
    expected = {f"recipes/experiments/{name}.json" for name in content["experiments"]}
    expected |= {
        f"recipes/{kind}/{name}.json" for kind in ("datasets", "labels", "splits") for name in content["datasets"]
    }
    expected |= {
        f"recipes/{name}.json"
        for name in ("addresses", "sweep", "initialisations", "equalised", "crossed", "float64", "deepened", "defects")
    }
    assert written().keys() == expected


def test_the_committed_parameters_give_the_committed_recipes(workspace, run_here):
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a Git checkout")
    git("archive", "-o", workspace / "committed.tar", "HEAD", *FILES, "recipes", cwd=REPOSITORY)
    with tarfile.open("committed.tar") as archive:
        archive.extractall(filter="data")
    committed = written()
    shutil.rmtree("recipes")
    assert run_here("recipes").returncode == 0
    assert written() == committed


def test_a_change_touches_only_what_it_changes(params, run_here):
    content = params()
    run_here("recipes")
    before = written()
    line = content["experiments"]["plain-20-signs32"] | {"lr": 0.2}
    params(experiments={"plain-20-signs32": line, "resnet-8-signs": line | {"depth": 8}})
    run_here("recipes")
    after = written()
    assert after.keys() - before.keys() == {"recipes/experiments/resnet-8-signs.json"}
    assert {k for k in before if before[k] != after[k]} == {"recipes/experiments/plain-20-signs32.json"}


def test_neither_scale_nor_addresses_touch_a_data_set_that_ships_whole(params, run_here):
    content = params()
    run_here("recipes")
    before = written()
    for archive in content["datasets"]["cifar10"]["archives"]:
        archive["files"][0]["urls"] = ["https://elsewhere.example/file"]
    params(datasets=content["datasets"])
    run_here("recipes")
    after = written()
    assert {k for k in before if before[k] != after[k]} == {"recipes/addresses.json"}
    addresses = json.loads(after["recipes/addresses.json"])
    for archive in content["datasets"]["cifar10"]["archives"]:  # not of the first one alone
        assert addresses[archive["files"][0]["sha256"]] == ["https://elsewhere.example/file"]
    params(scale="sample")
    run_here("recipes")
    sample = written()
    assert sample["recipes/datasets/signs.json"] == before["recipes/datasets/signs.json"]
    assert sample["recipes/datasets/cifar10.json"] != before["recipes/datasets/cifar10.json"]


def test_an_experiment_that_is_gone_leaves_no_recipe(params, run_here):
    params()
    run_here("recipes")
    content = parameters(".")
    del content["experiments"]["resnet34-signs"]
    write_parameters(content)
    run_here("recipes")
    assert not Path("recipes/experiments/resnet34-signs.json").exists()


def test_a_mistake_leaves_the_old_recipes_alone(params, run_here):
    params()
    run_here("recipes")
    before = written()
    params(train={"learning_rate": 0.1})
    assert "train.learning_rate: unknown key" in one_line(run_here("recipes"), 2)
    assert written() == before


def test_the_sample_is_used_at_scale_sample(params, run_here):
    content = params(scale="sample")
    run_here("recipes")
    for name, block in content["datasets"].items():
        (archive,) = json.loads(Path(f"recipes/datasets/{name}.json").read_text())["archives"]
        assert archive["files"] == [{"name": block["sample"]["name"], "sha256": block["sample"]["sha256"]}]


def test_a_subset_is_said_to_be_one(params, run_here):
    content = params()
    run_here("recipes")
    said = {name: json.loads(Path(f"recipes/datasets/{name}.json").read_text()) for name in content["datasets"]}
    assert [name for name, recipe in said.items() if "subset" in recipe] == ["cats-vs-dogs-cifar"]
    assert said["cats-vs-dogs-cifar"]["subset"] is True


def test_the_share_to_validate_on(params, run_here):
    content = params()
    run_here("recipes")
    said = {name: json.loads(Path(f"recipes/splits/{name}.json").read_text()) for name in content["datasets"]}
    assert said == {name: {"validation": None} for name in said} | {"cifar100-all": {"validation": 0.002}}


def test_what_is_shown_of_a_data_set(params, run_here):
    params()
    run_here("recipes")
    labels = {
        name: json.loads(Path(f"recipes/labels/{name}.json").read_text()) for name in ("cifar100", "cats-vs-dogs")
    }
    superclass = dict(zip(labels["cifar100"]["classes"], labels["cifar100"]["superclasses"], strict=True))
    assert superclass["whale"] == superclass["beaver"] == "aquatic_mammals"
    assert set(Counter(superclass.values()).values()) == {5}
    assert labels["cats-vs-dogs"] == {"classes": ["cat", "dog"], "superclasses": [], "pictures": False}
