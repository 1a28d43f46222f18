import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import one_line, sha256

from lineage import checkpoint, tensors
from lineage.recipe import Recipe

KEYS = ["series", "seed", "epoch", "lr", "train_loss", "train_error", "val_loss", "val_error", "scale"]


def experiment(name="mine", scale="full", **recipe):
    """Write a tiny experiment's recipe and, once, the data: classes that differ in brightness."""
    values = {"epochs": 3, "batch_size": 16, "lr": 0.05, "schedule": "onecycle", "input_size": 16, "seeds": 2}
    content = {"experiment": name, "scale": scale, "dataset": "grey", "classes": 3, "max_images": None}
    content |= {"model": "resnet", "network": {"depth": 8, "shortcut": "identity", "stem": "cifar"}}
    content["recipe"] = Recipe(**(values | {"threads": 1} | recipe)).model_dump()
    path = Path("recipes/experiments", f"{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    generator = np.random.default_rng(0)
    for part, n in (("train", 96), ("val", 24), ("test", 30)):
        labels = np.arange(n) % 3
        images = generator.integers(0, 60, (n, 3, 16, 16)) + 90 * labels[:, None, None, None]
        arrays = {"images": images.astype(np.uint8), "labels": labels}
        if part == "train":
            arrays["mean"], arrays["std"] = tensors.channel_statistics(arrays["images"])
        if part == "test":
            arrays["names"] = np.array([list(b"%03d.png" % i) for i in range(n)], np.uint8)
        tensors.save(Path("data/tensors/grey", f"{part}.safetensors"), arrays, ["dark", "grey", "light"])
    return content


def outputs():
    folders = (Path("models"), Path("plots"), Path("metrics"))
    return {path.as_posix(): sha256(path) for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_it_trains_every_seed_without_the_test_part_and_twice_alike(workspace, run_script):
    content = experiment()
    Path("data/tensors/grey/test.safetensors").unlink()
    result = run_script("train", "mine")
    assert result.returncode == 0, result.stderr
    history = pd.read_csv("plots/history/mine.csv")
    assert list(history) == KEYS
    assert (history.scale == "full").all()
    assert history.seed.tolist() == [0, 0, 0, 1, 1, 1]
    assert history.epoch.tolist() == [1, 2, 3] * 2
    metrics = json.loads(Path("metrics/validation/mine.json").read_text())
    last = history[history.epoch == 3]
    assert metrics["scale"] == "full"
    assert metrics["val_top1"] == pytest.approx(1 - last.val_error.mean(), abs=1e-5)
    for seed in range(2):
        _, about = checkpoint.load(Path(f"models/mine/seed-{seed}.safetensors"))
        assert about["seed"] == seed
        assert about["recipe"] == content["recipe"]
    first = outputs()
    assert len(first) == 4
    assert first["models/mine/seed-0.safetensors"] != first["models/mine/seed-1.safetensors"]
    shutil.rmtree("models")
    run_script("train", "mine")
    assert outputs() == first


def test_the_history_shows_the_learning_rate_in_use(workspace, run_script):
    experiment(lr=0.001, seeds=1)
    run_script("train", "mine")
    assert pd.read_csv("plots/history/mine.csv").lr.max() == 0.001


def test_one_line_per_epoch_where_there_is_no_terminal(workspace, run_script):
    experiment(seeds=1)
    result = run_script("train", "mine")
    lines = [line for line in result.stdout.splitlines() if line.startswith("seed 0  epoch")]
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert result.stderr == ""
    assert "at scale full" in result.stdout.splitlines()[-1]


def test_mistakes_are_one_line(workspace, run_script):
    assert "recipes/experiments/nothing.json is missing" in one_line(run_script("train", "nothing"), 2)
    content = experiment()
    content["network"]["depth"] = 9
    Path("recipes/experiments/mine.json").write_text(json.dumps(content))
    assert "depth 9" in one_line(run_script("train", "mine"), 2)
    experiment()
    Path("data/tensors/grey/train.safetensors").unlink()
    assert "run `dvc repro preprocess@grey` first" in one_line(run_script("train", "mine"), 2)


def test_a_loss_that_explodes_is_said(workspace, run_script):
    experiment(lr=1e30)
    assert "the loss is not finite in epoch" in one_line(run_script("train", "mine"), 1)
