import copy
from pathlib import Path

import pytest
import torch
import yaml
from conftest import REPOSITORY

from lineage import models, params
from lineage.engine.recipe import Recipe
from lineage.errors import Mistake

REAL = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
REAL["scale"] = "full"
REAL["train"] = dict.fromkeys(REAL["train"])


def read(content, folder):
    path = Path(folder, "params.yaml")
    path.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False))
    return params.read(path)


def resolve(content, name, folder):
    return params.resolve(read(content, folder), name)


def changed(key, value):
    content = copy.deepcopy(REAL)
    *path, last = key.split("/")
    place = content
    for step in path:
        place = place[step]
    place[last] = value
    return content


@pytest.mark.parametrize("scale", ["full", "sample"])
def test_every_experiment_is_complete_and_its_network_can_be_built(tmp_path, scale):
    everything = read(changed("scale", scale), tmp_path)
    for name in REAL["experiments"]:
        experiment = params.resolve(everything, name)
        assert Recipe(**experiment["recipe"]).model_dump() == experiment["recipe"]
        assert experiment["scale"] == scale
        with torch.device("meta"):
            size = experiment["recipe"]["input_size"]
            network = models.build(experiment["model"], experiment["classes"], size, experiment["network"])
            assert network(torch.empty(2, 3, size, size)).shape == (2, experiment["classes"]), name


def test_train_wins_over_the_experiment_and_the_experiment_over_its_recipe(tmp_path):
    content = changed("experiments/resnet34-signs/lr", 0.3)
    assert resolve(content, "resnet34-signs", tmp_path)["recipe"]["lr"] == 0.3
    content["train"]["lr"] = 0.001
    everything = read(content, tmp_path)
    for name in content["experiments"]:
        assert params.resolve(everything, name)["recipe"]["lr"] == 0.001


def test_epochs_replace_iterations(tmp_path):
    assert resolve(REAL, "plain-20-cifar10", tmp_path)["recipe"]["iterations"] == 64000
    recipe = resolve(changed("train/epochs", 3), "plain-20-cifar10", tmp_path)["recipe"]
    assert (recipe["epochs"], recipe["iterations"]) == (3, None)


def test_sample_caps_everything(tmp_path):
    content = changed("train/epochs", 500)
    content["scale"], content["train"]["seeds"] = "sample", 7
    everything = read(content, tmp_path)
    for name in content["experiments"]:
        experiment = params.resolve(everything, name)
        recipe = experiment["recipe"]
        assert (recipe["seeds"], recipe["epochs"], recipe["iterations"]) == (1, params.SAMPLE["epochs"], None)
        assert recipe["input_size"] <= (63 if name.startswith("alexnet-") else 32)
        assert experiment["max_images"] == 2 * recipe["batch_size"] <= 32


def test_changing_a_key_as_dvc_does_leaves_the_rest_of_the_file(tmp_path):
    from dvc.utils.serialize import modify_yaml

    path = tmp_path / "params.yaml"
    text = (REPOSITORY / "params.yaml").read_text().replace("scale: sample", "scale: full")
    path.write_text(text)
    with modify_yaml(path) as content:
        content["scale"] = "sample"
    before, after = text.splitlines(), path.read_text().splitlines()
    start, end = text.index("\nexperiments:"), text.index("\n# A data set")  # flow maps are wrapped anew
    flow = set(text[start:end].splitlines())
    assert [line for line in before if line not in after and line not in flow] == [before[3]]
    assert before[3].startswith("scale: full")


def test_a_cap_never_raises_a_value(tmp_path):
    content = changed("scale", "sample")
    content["train"] |= {"epochs": 1, "batch_size": 8}
    recipe = resolve(content, "resnet34-signs", tmp_path)["recipe"]
    assert (recipe["epochs"], recipe["batch_size"]) == (1, 8)


def test_numbers_in_quotes_are_numbers_at_any_scale(tmp_path):
    for scale in ("full", "sample"):
        content = changed("scale", scale)
        content["train"] |= {"epochs": "1", "batch_size": "8"}
        recipe = resolve(content, "resnet34-signs", tmp_path)["recipe"]
        assert (recipe["epochs"], recipe["batch_size"]) == (1, 8)


def test_numbers_in_scientific_notation(tmp_path):
    # YAML 1.1, which PyYAML reads, takes 1e-4 for a word; DVC writes such numbers
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(REAL).replace("weight_decay: 0.0001", "weight_decay: 1e-4"))
    assert params.resolve(params.read(path), "plain-20-signs32")["recipe"]["weight_decay"] == 1e-4


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("scale", "medium", "params.yaml: scale: Input should be 'full' or 'sample', not 'medium'"),
        ("skale", "full", "params.yaml: skale: unknown key; allowed are scale, train, recipes, datasets, experiments"),
        (
            "train/learning_rate",
            0.1,
            "params.yaml: train.learning_rate: unknown key; allowed are epochs, iterations, se",
        ),
        ("train/lr", "fast", "params.yaml: train.lr: Input should be a valid number"),
        ("train/lr", -1, "train.lr: Input should be greater than"),
        ("train/lr", True, "lr: should be a number"),
        ("train/epochs", 2.5, "epochs: Input should be a valid integer"),
        ("train/precision", "fp8", "precision: Input should be 'bf16' or 'fp32', not 'fp8'"),
        ("experiments/vgg16-cifar100/dataset", "mnist", "vgg16-cifar100.dataset: 'mnist' is unknown; choose one of c"),
        ("experiments/vgg16-cifar100/model", "vit", "model: 'vit' is unknown; choose one of alexnet, resnet, vgg"),
        ("experiments/vgg16-cifar100/recipe", "none", "recipe: 'none' is unknown; choose one of"),
        ("experiments/vgg16-cifar100/depth", 15, "vgg16-cifar100.depth: Input should be 11, 13, 16 or 19, not 15"),
        (
            "experiments/vgg16-cifar100/shortcut",
            "none",
            "vgg16-cifar100.shortcut: unknown key; allowed are dataset, mo",
        ),
        ("experiments/plain-20-signs32/depth", 21, "depth: 21 is neither 18, 34 or 50 nor of the form 6n+2"),
        ("recipes/he2015/epochs", 3, "give either epochs or iterations"),
        ("recipes/unused", {"lrr": 3}, "params.yaml: recipes.unused.lrr: unknown key; allowed are"),
        ("experiments/vgg16-cifar100/dataset", ["cifar100"], "vgg16-cifar100.dataset: ['cifar100'] is unknown"),
        (
            "experiments/vgg16-cifar100/input_size",
            16,
            "vgg16-cifar100: vgg needs an input of 32 pixels or more, not 16",
        ),
        ("experiments/vgg16-cifar100/shift", 32, "vgg16-cifar100.shift: 32 pixels are more than the image has"),
        ("experiments/Up", {"dataset": "signs"}, "params.yaml: experiments.Up"),
        ("experiments", {}, "params.yaml: experiments: Dictionary should have at least 1 item"),
        ("datasets/signs/archive", [], "params.yaml: datasets.signs.archive: unknown key; allowed are classes"),
        ("datasets/signs/classes", ["1", "1"], "classes: a class stands there twice"),
        ("datasets/signs/superclasses", {"even": "0 2 4", "odd": "1 3"}, "each class belongs to one of them, unlike 5"),
        ("datasets/signs/sample/sha256", "123", "datasets.signs.sample.sha256: String should match"),
        ("datasets/signs/sample/format", "rar", "Input should be 'contact-sheets' or 'folders'"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path, key, value, said):
    with pytest.raises(Mistake) as error:
        everything = read(changed(key, value), tmp_path)
        for name in everything.experiments:
            params.resolve(everything, name)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_key_is_named_without_the_rest(tmp_path):
    with pytest.raises(Mistake) as error:
        params.resolve(read(changed("recipes/vgg/lr", None), tmp_path), "vgg11-cifar100")
    assert str(error.value) == "params.yaml: experiments.vgg11-cifar100.lr: Field required"


@pytest.mark.parametrize("text", ["scale: [", "", "- a list", "scale: full", "scale: \udcff"])
def test_a_file_that_is_no_params(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(Mistake, match=r"params\.yaml"):
        params.read(path)
    path.unlink()
    with pytest.raises(Mistake, match="top folder"):
        params.read(path)
