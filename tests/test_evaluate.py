import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import one_line, outputs
from torch.nn import functional as F

import evaluate
from lineage import anatomy, inspection, measures, parts, pictures
from lineage.engine import augment, checkpoint, tensors
from lineage.engine.experiment import Experiment
from lineage.files import write_json, write_table
from lineage.models import size

pytestmark = pytest.mark.xdist_group("evaluate")  # the study is made once

PARTS = {"train": 96, "val": 30, "test": 36}
COARSE = torch.tensor([0, 0, 0, 1, 1, 1])  # the superclass of each class, in alphabetical order


def experiment(network=None, scale="full", **recipe):
    """Write a tiny experiment's recipe, and return it."""
    values = {"epochs": 3, "seeds": 2, "batch_size": 16, "lr": 0.05, "schedule": "onecycle", "warm_up": 0.25}
    values |= {"input_size": 16, "precision": "fp32", **recipe}
    about = {"name": "mine", "scale": scale, "dataset": "hands", "classes": 6, "model": "resnet"}
    result = Experiment(**about, network={"depth": 8, "shortcut": "identity"} | (network or {}), recipe=values)
    write_json(Path("recipes/experiments/mine.json"), result.changes())
    return result


@pytest.fixture(scope="session")
def hands(signs):
    """The arrays of each part: real photographs of hands, averaged to 16 pixels."""
    chosen, result, first = np.linspace(0, len(signs["labels"]) - 1, sum(PARTS.values())).astype(int), {}, 0
    np.random.default_rng(0).shuffle(chosen)
    for part, n in PARTS.items():
        images = signs["images"][chosen[first : first + n]].reshape(n, 16, 4, 16, 4, 3).mean((2, 4)).round()
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.uint8)
        result[part] = {"images": pixels, "labels": signs["labels"][chosen[first : first + n]].astype(np.int64)}
        first += n
    result["train"]["mean"], result["train"]["std"] = parts.channel_statistics(result["train"]["images"])
    result["test"]["names"] = np.array([list(b"%03d.png" % i) for i in range(PARTS["test"])], np.uint8)
    return result


@pytest.fixture
def data(workspace, hands):
    """The prepared data set in an empty folder."""
    for part, arrays in hands.items():
        tensors.save(Path(f"data/tensors/hands/{part}.safetensors"), arrays, list("012345"))
    labels = {"classes": list("012345"), "superclasses": ["few"] * 3 + ["many"] * 3, "pictures": True}
    write_json(Path("recipes/labels/hands.json"), labels)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder that the first test to need it fills with a trained and evaluated experiment."""
    return tmp_path_factory.mktemp("study")


@pytest.fixture
def trained(study, data, run_script):
    """An experiment of two seeds that was trained and evaluated."""
    described = experiment()
    if not any(study.iterdir()):
        for script in ("train", "evaluate"):
            result = run_script(script, "mine")
            assert result.returncode == 0, result.stderr
        shutil.copytree(Path(), study, dirs_exist_ok=True)
    shutil.copytree(study, Path(), dirs_exist_ok=True)
    return described


def table(name, **options):
    return pd.read_csv(f"plots/tables/mine/{name}.csv", **options)


def metrics(kind="experiments"):
    return json.loads(Path(f"metrics/{kind}/mine.json").read_text())


def pixels(hands, part):
    mean, std = (torch.from_numpy(hands["train"][key]).float()[:, None, None] for key in ("mean", "std"))
    return (torch.from_numpy(hands[part]["images"]).float() / 255 - mean) / std


@torch.no_grad()
def logits(described, hands, part, seed, mirrored=False):
    """What a seed's stored network says, computed without any of the code under test."""
    network = described.build()
    network.load_state_dict(checkpoint.load(Path(f"models/mine/seed-{seed}.safetensors"))[0])
    x = pixels(hands, part)
    return network.eval()(x.flip(3) if mirrored else x)  # N×3×H×W: left and right change places


def test_every_score_of_every_seed_and_part(trained, hands):
    scores = table("scores")
    assert [(row.seed, row.part) for row in scores.itertuples()] == [(s, p) for s in (0, 1) for p in PARTS]
    assert "top5" not in scores  # six classes
    for row in scores.itertuples():
        labels = torch.from_numpy(hands[row.part]["labels"])
        plain, mirrored = (logits(trained, hands, row.part, row.seed, how) for how in (False, True))
        assert row.top1 == pytest.approx((plain.argmax(1) == labels).float().mean().item(), abs=1e-5)
        assert row.superclass == pytest.approx(
            (COARSE[plain.argmax(1)] == COARSE[labels]).float().mean().item(), abs=1e-5
        )
        assert row.loss == pytest.approx(F.cross_entropy(plain, labels).item(), rel=1e-4)
        both = (plain.softmax(1) + mirrored.softmax(1)).argmax(1)
        assert row.flip_top1 == pytest.approx((both == labels).float().mean().item(), abs=1e-5)
    assert (scores.flip_top1 != scores.top1).any()


def test_the_metrics_are_means_over_the_seeds(trained):
    scores, found = table("scores").set_index("part"), metrics()
    means = {f"{part}_top1": scores.top1[part].mean() for part in PARTS} | {"test_loss": scores.loss["test"].mean()}
    assert {key: found[key] for key in means} == pytest.approx(means, abs=2e-5)
    assert found["test_top1_std"] == pytest.approx(scores.top1["test"].std(), abs=1e-5)
    assert set(found) == {*means, "test_top1_std", "diverged", "scale"}
    assert (found["diverged"], found["scale"]) == (False, "full")
    # the same weights, measured a second time
    assert found["val_top1"] == metrics("validation")["val_top1"]


def test_the_metrics_that_recipes_are_judged_by(trained):
    history = pd.read_csv("plots/history/mine.csv")
    last, found = history[history.epoch == 3], metrics("validation")
    assert found["running_train_error"] == pytest.approx(last.train_error.mean(), abs=1e-5)
    assert found["val_loss"] == pytest.approx(last.val_loss.mean(), rel=1e-4)
    assert found["val_top1_std"] == pytest.approx(last.val_error.std(), abs=1e-5)
    assert last.val_error.std() > 0
    # the running error is that of the weights as they were on the way, not that of the trained network
    assert found["running_train_error"] != pytest.approx(1 - metrics()["train_top1"], abs=1e-3)


def test_the_same_weights_give_the_same_bytes(trained, run_here):
    first = outputs()
    assert len(first) > 15
    shutil.rmtree("plots/tables")
    assert run_here("evaluate", "mine").returncode == 0
    assert outputs() == first


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
def test_a_gpu_gives_the_same_bytes_twice(data, run_script):
    experiment(precision="bf16")
    ends = []
    for _ in range(2):
        for script in ("train", "evaluate"):
            result = run_script(script, "mine")
            assert result.returncode == 0, result.stderr
        shutil.rmtree("runs")
        ends.append(outputs())
    assert ends[0] == ends[1]
    assert checkpoint.load(Path("models/mine/seed-0.safetensors"))[1]["device"] == torch.cuda.get_device_name()


def test_every_seeds_answers(trained, hands):
    answers, predictions = table("answers"), table("predictions", dtype={"image": str})
    assert list(answers) == ["predicted_0", "confidence_0", "predicted_1", "confidence_1"]
    assert (answers.predicted_0 == predictions.predicted).all()
    assert (answers.confidence_0 - 1000 * predictions.confidence).abs().max() <= 0.51
    for seed in (0, 1):
        confidence, predicted = logits(trained, hands, "test", seed).softmax(1).max(1)
        assert answers[f"predicted_{seed}"].tolist() == predicted.tolist()
        assert np.abs(answers[f"confidence_{seed}"] - 1000 * confidence.numpy()).max() <= 0.51
    assert (answers.predicted_0 != answers.predicted_1).any()
    assert answers.dtypes.map(str).eq("int64").all()


def test_five_seeds_answers_to_ten_thousand_images_are_small(workspace):
    columns = {}
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        columns |= measures.answers(6 * torch.randn(10_000, 100, generator=generator), seed)
    write_table(Path("answers.csv"), pd.DataFrame(columns).to_dict("records"))
    assert Path("answers.csv").stat().st_size < 500_000


def test_the_ensemble_answers_by_the_mean_of_the_seeds_probabilities(trained, hands):
    ensemble = table("ensemble").set_index("part")
    assert list(ensemble.index) == list(PARTS) and list(ensemble) == ["top1", "superclass", "loss"]
    for part in PARTS:
        labels = torch.from_numpy(hands[part]["labels"])
        mean = sum(logits(trained, hands, part, seed).softmax(1) for seed in (0, 1)) / 2
        assert ensemble.top1[part] == pytest.approx((mean.argmax(1) == labels).float().mean().item(), abs=1e-5)
        assert ensemble.loss[part] == pytest.approx(F.nll_loss(mean.log(), labels).item(), rel=1e-4)


def test_how_training_begins(trained, hands):
    beginnings = table("beginnings").set_index("seed")
    chosen = np.linspace(0, PARTS["train"] - 1, 64).round().astype(int)
    x, y = pixels(hands, "train")[chosen], torch.from_numpy(hands["train"]["labels"][chosen])
    for seed, row in beginnings.iterrows():
        torch.manual_seed(seed)
        network = trained.build().train()
        F.cross_entropy(network(x), y).backward()
        kernels = {n: module.weight for n, module in anatomy.layers(network).items()}
        ratios = {name: (w.grad.norm() / w.norm()).item() for name, w in kernels.items()}
        assert row.layer == max(ratios, key=ratios.get)
        assert row.initial_gradient_ratio == pytest.approx(max(ratios.values()), rel=1e-3)
        # 3 epochs of 6 steps, a quarter of them (4, rounded) to warm up
        assert row.first_step_ratio == pytest.approx(0.05 / 4 * row.initial_gradient_ratio, rel=1e-4)
    provenance = table("provenance").set_index("key").value
    for key in ("initial_gradient_ratio", "first_step_ratio"):
        assert float(provenance[key]) == beginnings[key][0]


def test_predictions_and_confusion_are_the_first_seeds(trained, hands):
    predictions = table("predictions", dtype={"image": str})
    assert predictions.image.tolist() == [f"{i:03}" for i in range(PARTS["test"])]
    assert predictions.actual.tolist() == hands["test"]["labels"].tolist()
    assert predictions.confidence.between(1 / 6, 1).all()
    scores = table("scores").set_index(["seed", "part"])
    assert (predictions.actual == predictions.predicted).mean() == pytest.approx(scores.top1[0, "test"], abs=1e-5)
    confusion = pd.read_csv("plots/confusion/mine.csv")  # by superclass, where there are any
    assert set(confusion.actual) == {"few", "many"} and confusion["count"].sum() == PARTS["test"]
    kinds = np.array(["few"] * 3 + ["many"] * 3)
    expected = pd.crosstab(kinds[predictions.actual], kinds[predictions.predicted])
    assert expected.loc["few", "many"] != expected.loc["many", "few"]
    for row in confusion.to_dict("records"):
        assert row["count"] == expected.loc[row["actual"], row["predicted"]], row
    right = confusion[confusion.actual == confusion.predicted]["count"].sum()
    assert right / PARTS["test"] == pytest.approx(scores.superclass[0, "test"], abs=1e-5)


TABLES = {"answers", "batch-norm", "beginnings", "blocks", "ensemble", "layers", "lesions", "predictions"}
TABLES |= {"provenance", "scores", "untrained-blocks", "untrained-layers"}


def test_mistakes_are_the_surest_ones(trained, hands, run_here):
    mistakes, predictions = (table(name, dtype={"image": str}) for name in ("mistakes", "predictions"))
    wrong = predictions[predictions.actual != predictions.predicted]
    assert len(mistakes) == min(12, len(wrong)) > 0
    assert mistakes.confidence.is_monotonic_decreasing
    assert mistakes.confidence.min() >= wrong.confidence.nlargest(len(mistakes)).min()
    tiles = pictures.read_strip(Path("plots/tables/mine/mistakes.png"))
    assert (tiles[0] == hands["test"]["images"][int(mistakes.image[0])].transpose(1, 2, 0)).all()
    labels = Path("recipes/labels/hands.json")
    labels.write_text(json.dumps(json.loads(labels.read_text()) | {"pictures": False}))
    run_here("evaluate", "mine")
    assert {path.name for path in Path("plots/tables/mine").iterdir()} == {f"{name}.csv" for name in TABLES} | {
        "experiment.json"
    }


def test_what_is_measured_inside(trained):
    layers, blocks, begun = table("layers"), table("blocks"), table("untrained-layers")
    assert len(layers) == 8 and layers.layer.iloc[0] == "stem.0"
    assert (layers[["gradient", "weight", "response"]] > 0).all(axis=None)
    assert blocks.block.tolist() == ["stages.0.0", "stages.1.0", "stages.2.0"] and (blocks.addition > 0).all()
    lesions = table("lesions").set_index(["trained", "block", "statistics"])
    assert lesions.val_error["yes", "intact", "kept"] == pytest.approx(
        1 - table("scores").set_index(["seed", "part"]).top1[0, "val"], abs=1e-5
    )
    # of the first seed, as it begins
    torch.manual_seed(0)
    weights = [module.weight.norm().item() for module in anatomy.layers(trained.build()).values()]
    assert begun.weight.tolist() == pytest.approx(weights, rel=1e-4)


def test_the_first_layers_kernels_where_they_are_large_and_a_seed_alone(data, run_here):
    experiment({"stem": "imagenet"}, seeds=1, epochs=1)
    run_here("train", "mine")
    result = run_here("evaluate", "mine")
    assert result.returncode == 0, result.stderr
    assert pictures.read_strip(Path("plots/tables/mine/filters.png")).shape == (16, 7, 7, 3)
    assert not Path("plots/tables/mine/ensemble.csv").exists()
    assert "test_top1_std" not in metrics()


def test_scale_and_versions_stand_beside_the_metrics(trained):
    found = table("provenance", dtype=str, keep_default_na=False).set_index("key").value
    assert (found["scale"], found["threads"], found["seeds"], found["precision"]) == ("full", "1", "2", "fp32")
    assert {key: int(found[key]) for key in ("parameters", "multiply_adds")} == size(trained.build(), 16)
    assert found["torch"].startswith("2.")
    assert json.loads(Path("plots/tables/mine/experiment.json").read_text()) == trained.changes()


def test_a_run_that_diverged_is_measured_and_says_so(data, run_here):
    experiment(lr=1e30, seeds=1)
    run_here("train", "mine")
    result = run_here("evaluate", "mine")
    assert result.returncode == 0, result.stderr
    assert metrics()["diverged"] is True
    assert 0 <= metrics()["test_top1"] < 0.6
    assert table("scores").loss.notna().all()
    # its weights are those that training began with: what is called untrained here is where `train` begins
    assert table("layers").weight.tolist() == table("untrained-layers").weight.tolist()


def test_one_seed_that_diverged_is_enough_to_say_so(trained, run_here):
    path = Path("models/mine/seed-0.safetensors")
    weights, about = checkpoint.load(path)
    checkpoint.save(path, weights, about | {"diverged": True})
    assert run_here("evaluate", "mine").returncode == 0
    assert metrics()["diverged"] is True


def test_the_first_gradient_is_that_of_the_first_size(data):
    one = experiment(grow={16: 0.5}, input_size=24)
    images = augment.load(one, ("train",), torch.device("cpu"))["train"]
    found = evaluate.beginning(evaluate.untrained(one, 0, torch.device("cpu")), one, images)
    few = inspection.few(images, 64)
    ratios = {}
    for few.input_size in (16, 24):
        begun = evaluate.untrained(one, 0, torch.device("cpu"))
        ratios[few.input_size] = anatomy.steepest(begun, few.plain(0, 64), few.labels)[1]
    assert found["initial_gradient_ratio"] == pytest.approx(ratios[16]) != pytest.approx(ratios[24])


def test_weights_of_another_recipe_are_refused(trained, run_here):
    experiment(lr=0.01)
    assert "models/mine was trained by another recipe or version" in one_line(run_here("evaluate", "mine"), 2)
    experiment(scale="sample")
    assert "models/mine was trained by another recipe or version" in one_line(run_here("evaluate", "mine"), 2)


def test_weights_of_another_version_are_refused(trained, run_here):
    path = Path("models/mine/seed-0.safetensors")
    weights, about = checkpoint.load(path)
    del about["multiply_adds"]
    checkpoint.save(path, weights, about)
    assert "models/mine was trained by another recipe or version" in one_line(run_here("evaluate", "mine"), 2)


def test_mistakes_are_one_line(data, run_here):
    assert "recipes/experiments/nothing.json is missing" in one_line(run_here("evaluate", "nothing"), 2)
    experiment()
    assert "run `dvc repro train@mine` first" in one_line(run_here("evaluate", "mine"), 2)
