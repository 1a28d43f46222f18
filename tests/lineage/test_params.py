import copy
from functools import reduce

import pytest
import yaml
from conftest import REPOSITORY, parameters, write_parameters

from lineage import params
from lineage.errors import Mistake
from lineage.experiments import resolve

REAL = parameters()
REAL["scale"] = "full"
REAL["train"] = dict.fromkeys(REAL["train"])


GROWING = {"dataset": "cifar10", "model": "residual_vgg", "shortcut": "none", "recipe": "onecycle"}
GROWING |= {"input_size": 64, "grow": {32: 0.5}}


def read(content, folder):
    write_parameters(content, folder)
    return params.read(folder)


def changed(key, value):
    content = copy.deepcopy(REAL)
    *path, last = key.split("/")
    place = content
    for step in path:
        place = place[step]
    place[last] = value
    return content


@pytest.mark.parametrize(
    ("file", "override", "place", "value"),
    [
        ("params.yaml", "train.lr=0.001", ("train", "lr"), 0.001),
        ("experiments.yaml", "+experiments.plain-20-signs32.lr=0.2", ("experiments", "plain-20-signs32", "lr"), 0.2),
        ("data/datasets.yaml", "datasets.signs.image_size=32", ("datasets", "signs", "image_size"), 32),
    ],
)
def test_what_dvc_rewrites_for_s_stays_readable(tmp_path, file, override, place, value):
    """`dvc exp run -S` writes the whole file anew. Of params.yaml only the one line may differ."""
    from dvc.utils.hydra import apply_overrides

    before, after = (REPOSITORY / file).read_text().replace("scale: sample", "scale: full"), tmp_path / "file.yaml"
    after.write_text(before)
    apply_overrides(after, [override])
    wanted = yaml.safe_load(before)
    block = reduce(dict.__getitem__, place[:-1], wanted)
    block[place[-1]] = value
    assert yaml.safe_load(after.read_text()) == wanted
    if file == "params.yaml":
        lines = zip(before.splitlines(), after.read_text().splitlines(), strict=True)
        assert [both for both in lines if len({*both}) > 1] == [("  lr:", "  lr: 0.001")]


def test_numbers_in_scientific_notation(tmp_path):
    # YAML 1.1, which PyYAML reads, takes 1e-4 for a word; DVC writes such numbers
    write_parameters(REAL, tmp_path)
    path = tmp_path / "params.yaml"
    assert "weight_decay: 0.0001" in path.read_text()
    path.write_text(path.read_text().replace("weight_decay: 0.0001", "weight_decay: 1e-4"))
    assert resolve(params.read(tmp_path), "plain-20-signs32").recipe.weight_decay == 1e-4


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("scale", "medium", "params.yaml: scale: Input should be 'full' or 'sample', not 'medium'"),
        ("skale", "full", "params.yaml: skale: unknown key; allowed are scale, train, recipes"),
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
        (
            "experiments/vgg16-cifar100/model",
            "vit",
            "'vit' is unknown; choose one of alexnet, lenet, residual_vgg, resnet, vgg, or add yours to NETWORKS",
        ),
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
            "vgg16-cifar100: grow: the sizes rise up to input_size",
        ),
        ("experiments/vgg16-cifar100/cutout", 32, "vgg16-cifar100.cutout: 32 pixels leave nothing of an image of 32"),
        ("experiments/vgg11-cifar100-32px/input_size", 16, "vgg11-cifar100-32px: vgg needs an input of 32 pixels or m"),
        ("experiments/vgg16-cifar100/grow", {64: 0.5}, "grow: the sizes rise up to input_size"),
        ("experiments/vgg16-cifar100/grow", {48: 1}, "grow.48: Input should be less than 1"),
        ("experiments/vgg16-cifar100/grow", {40: 0.5, 48: 0.5}, "grow: the shares add up to less than 1"),
        ("experiments/resnet34-signs/grow", {48: 0.5}, "resnet34-signs.grow: 48 pixels are less than the image has"),
        ("experiments/residual-vgg-cifar10", GROWING, "grow: the weights of this residual_vgg belong to one input"),
        ("experiments/plain-20-signs32/warm_up_steps", -1, "warm_up_steps: Input should be greater than or equal to 0"),
        ("experiments/plain-20-signs32/trust", -1, "trust: Input should be greater than or equal to 0"),
        ("experiments/plain-20-signs32/initialisation", "one", "initialisation: Input should be 'he' or 'dirac'"),
        (
            "experiments/vgg16-cifar100/shift",
            32,
            "vgg16-cifar100.shift: 32 pixels are as many as the image has, or more",
        ),
        ("train/shift", 64, "params.yaml: train.shift: 64 pixels are as many as the image has, or more"),
        (
            "experiments/vgg16-cifar100/keep",
            "best",
            "vgg16-cifar100.keep: with `grow`, the errors of epochs with other",
        ),
        ("train/keep", "best", "params.yaml: train.keep: with `grow`, the errors of epochs with other input sizes"),
        ("experiments/sweep", {"dataset": "signs"}, "experiments.sweep: this is the name of a stage; choose another"),
        ("experiments/train", {"dataset": "signs"}, "experiments.train: this is the name of a stage; choose another"),
        (
            "experiments/Up",
            {"dataset": "signs"},
            "experiments.yaml: experiments.Up.[key]: a name has small letters, dig",
        ),
        (
            "experiments/mine",
            {"datasett": "signs", "model": "lenet"},
            "mine: the key dataset is missing; there are datas",
        ),
        ("datasets/signs", {"clases": "a b"}, "datasets.signs.clases: unknown key; allowed are classes, image_size"),
        ("experiments", [{"sweep": {}}], "experiments.yaml: experiments: Input should be a valid dictionary"),
        ("experiments", {}, "experiments.yaml: experiments: Dictionary should have at least 1 item"),
        ("datasets/signs/archive", [], "data/datasets.yaml: datasets.signs.archive: unknown key; allowed are classes"),
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
            resolve(everything, name)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", params.FILES)
@pytest.mark.parametrize("text", ["scale: [", "", "- a list", "other: full", "scale: \udcff"])
def test_a_file_that_is_no_params(tmp_path, name, text):
    write_parameters(REAL, tmp_path)
    path = tmp_path / name
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(Mistake, match=name):
        params.read(tmp_path)
    path.unlink()
    with pytest.raises(Mistake, match=f"{name} is missing.*top folder"):
        params.read(tmp_path)


def test_the_names_of_all_stages_are_known():
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    assert {*params.STAGES, *params.OTHER_STAGES} == stages.keys()
