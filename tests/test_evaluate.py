import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import REPOSITORY, one_line
from test_train import experiment, outputs

from lineage import models, pictures
from lineage.engine import checkpoint, tensors


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with one trained experiment, made once."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        experiment()
        command = [sys.executable, REPOSITORY / "src/train.py", "mine"]
        assert subprocess.run(command, capture_output=True).returncode == 0
    return folder


@pytest.fixture
def trained(study, workspace):
    shutil.copytree(study, workspace, dirs_exist_ok=True)


def test_every_seed_and_part_is_measured(trained, run_script):
    result = run_script("evaluate", "mine")
    assert result.returncode == 0, result.stderr
    scores = pd.read_csv("plots/tables/mine/scores.csv")
    assert scores[["seed", "part"]].values.tolist() == [[s, p] for s in (0, 1) for p in ("train", "val", "test")]
    assert "top5" not in scores  # three classes
    metrics = json.loads(Path("metrics/experiments/mine.json").read_text())
    assert metrics["diverged"] is False
    test = scores[scores.part == "test"].top1
    assert metrics["test_top1"] == pytest.approx(test.mean(), abs=1e-5)
    assert metrics["test_top1_std"] == pytest.approx(test.std(), abs=1e-5)
    # the same weights, measured a second time
    assert metrics["val_top1"] == json.loads(Path("metrics/validation/mine.json").read_text())["val_top1"]
    first = outputs()
    run_script("evaluate", "mine")
    assert outputs() == first


def test_predictions_and_confusion_are_the_first_seeds(trained, run_script):
    run_script("evaluate", "mine")
    predictions = pd.read_csv("plots/tables/mine/predictions.csv", dtype={"image": str})
    assert predictions.image.tolist() == [f"{i:03}" for i in range(30)]
    assert predictions.confidence.between(1 / 3, 1).all()
    scores = pd.read_csv("plots/tables/mine/scores.csv").set_index(["seed", "part"])
    assert (predictions.actual == predictions.predicted).mean() == pytest.approx(scores.top1[0, "test"], abs=1e-5)
    confusion = pd.read_csv("plots/confusion/mine.csv")  # by superclass, where there are any
    assert set(confusion.actual) == {"low", "high"} and confusion["count"].sum() == 30
    right = confusion[confusion.actual == confusion.predicted]["count"].sum()
    assert right / 30 == pytest.approx(scores.superclass[0, "test"], abs=1e-5)
    assert scores.flip_top1.between(0, 1).all()


def test_mistakes_are_the_surest_ones(trained, run_script):
    """The network never sees these classes right: their labels are changed after training."""
    path = Path("data/tensors/grey/test.safetensors")
    arrays = tensors.load("grey", "test")
    tensors.save(path, arrays | {"labels": (arrays["labels"] + 1) % 3}, ["dark", "grey", "light"])
    run_script("evaluate", "mine")
    mistakes = pd.read_csv("plots/tables/mine/mistakes.csv", dtype={"image": str})
    predictions = pd.read_csv("plots/tables/mine/predictions.csv", dtype={"image": str})
    wrong = predictions[predictions.actual != predictions.predicted]
    assert len(mistakes) == min(12, len(wrong)) > 0
    assert mistakes.confidence.is_monotonic_decreasing
    assert mistakes.confidence.min() >= wrong.confidence.nlargest(len(mistakes)).min()
    tiles = pictures.read_strip(Path("plots/tables/mine/mistakes.png"))
    assert (tiles[0] == arrays["images"][int(mistakes.image[0])].transpose(1, 2, 0)).all()
    labels = Path("recipes/labels/grey.json")
    labels.write_text(json.dumps(json.loads(labels.read_text()) | {"pictures": False}))
    run_script("evaluate", "mine")
    assert {path.name for path in Path("plots/tables/mine").iterdir()} == TABLES


TABLES = {"blocks.csv", "layers.csv", "predictions.csv", "provenance.csv", "scores.csv"}


def test_what_is_measured_inside(trained, run_script):
    run_script("evaluate", "mine")
    layers, blocks = (pd.read_csv(f"plots/tables/mine/{name}.csv") for name in ("layers", "blocks"))
    assert len(layers) == 8 and layers.layer.iloc[0] == "stem.0"
    assert (layers[["gradient", "weight", "response"]] > 0).all(axis=None)
    assert blocks.block.tolist() == ["stages.0.0", "stages.1.0", "stages.2.0"] and (blocks.addition > 0).all()


def test_the_first_layers_kernels_where_they_are_large(workspace, run_script):
    content = experiment(seeds=1, epochs=1)
    content["network"]["stem"] = "imagenet"
    Path("recipes/experiments/mine.json").write_text(json.dumps(content))
    run_script("train", "mine")
    run_script("evaluate", "mine")
    assert pictures.read_strip(Path("plots/tables/mine/filters.png")).shape == (16, 7, 7, 3)


def test_scale_and_versions_stand_beside_the_metrics(trained, run_script):
    run_script("evaluate", "mine")
    table = pd.read_csv("plots/tables/mine/provenance.csv", dtype=str, keep_default_na=False)
    provenance = dict(zip(table.key, table.value, strict=True))
    assert (provenance["scale"], provenance["threads"], provenance["seeds"]) == ("full", "1", "2")
    network = models.build("resnet", 3, 16, {"depth": 8, "shortcut": "identity", "stem": "cifar"})
    assert {key: int(provenance[key]) for key in ("parameters", "multiply_adds")} == models.size(network, 16)
    assert provenance["torch"].startswith("2.")


def test_a_run_that_diverged_is_measured_and_says_so(workspace, run_script):
    experiment(lr=1e30, seeds=1)
    run_script("train", "mine")
    result = run_script("evaluate", "mine")
    assert result.returncode == 0, result.stderr
    metrics = json.loads(Path("metrics/experiments/mine.json").read_text())
    assert metrics["diverged"] is True
    assert 0 <= metrics["test_top1"] < 0.6  # weights as initialised
    assert pd.read_csv("plots/tables/mine/scores.csv").loss.notna().all()


def test_weights_of_another_recipe_are_refused(trained, run_script):
    experiment(lr=0.01)
    assert "models/mine was trained by another recipe or version" in one_line(run_script("evaluate", "mine"), 2)
    experiment(scale="sample")
    assert "models/mine was trained by another recipe or version" in one_line(run_script("evaluate", "mine"), 2)


def test_weights_of_another_version_are_refused(trained, run_script):
    path = Path("models/mine/seed-0.safetensors")
    weights, about = checkpoint.load(path)
    del about["multiply_adds"]
    checkpoint.save(path, weights, about)
    assert "models/mine was trained by another recipe or version" in one_line(run_script("evaluate", "mine"), 2)


def test_mistakes_are_one_line(workspace, run_script):
    assert "recipes/experiments/nothing.json is missing" in one_line(run_script("evaluate", "nothing"), 2)
    experiment()
    assert "run `dvc repro train@mine` first" in one_line(run_script("evaluate", "mine"), 2)
