"""evaluate: measure one experiment's trained networks on its training, validation and test images.

    python src/evaluate.py resnet34-signs

The only reader of the test set. Reads the weights of every seed; writes metrics/experiments/<experiment>.json (means
over the seeds), plots/confusion/<experiment>.csv and, in plots/tables/<experiment>/:

- scores.csv: every seed and split, without augmentation; flip_top1 is the accuracy of the mean of the probabilities for
  an image and its mirror image, superclass how often the superclass is right
- ensemble.csv: of several seeds, the same but flip_top1, by the mean of their probabilities
- answers.csv: each seed's prediction for each test image, and its probability in per mille; rows as in predictions.csv.
  For all that is asked later: agreement, calibration, and intervals over seeds and images at once
- predictions.csv, and mistakes.csv and mistakes.png, the most confident ones: the first seed's, on the test set
- what lineage/inspection.py measures of the first seed's network, trained and untrained
- beginnings.csv: of each seed the layer with the largest ‖gradient‖ / ‖weights‖ before the first step, on 64 training
  images without augmentation, that quotient, and its product with the first learning rate (Nesterov momentum makes the
  first step 1.9 times as long)
- provenance.csv: scale, device, versions, sizes, the beginning of the first seed; experiment.json: the recipe
"""

from lineage.errors import Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import copy
import shutil
import statistics
from pathlib import Path

import numpy as np
import torch

from lineage import anatomy, measures, pictures
from lineage.engine import augment, checkpoint, device, tensors, training
from lineage.engine.experiment import Experiment, read_experiment
from lineage.engine.optimisation import learning_rate
from lineage.files import read_json, write_json, write_table
from lineage.inspection import few, write_inside

PARTS = ("train", "val", "test")
# of the training; `precision` is what the recipe's became on that device
PROVENANCE = ("device", "instructions", "precision", "threads", "torch", "cuda", "parameters", "multiply_adds")
MISTAKES = 12
SAMPLE_LESIONS = {"sample": 2}  # blocks that are removed one by one; at full scale all of them
BEGINNING = 64  # training images that the first gradient is measured with


def untrained(experiment: Experiment, seed: int, place: torch.device) -> torch.nn.Module:
    """One seed's network as its training begins."""
    torch.manual_seed(seed)
    return experiment.build().to(place, memory_format=augment.LAYOUTS[experiment.recipe.layout])


def score(network: torch.nn.Module, images: augment.Images, precision: str, groups: torch.Tensor | None) -> tuple:
    """The scores of one part, and its logits."""
    logits = training.predict(network, images, precision)
    mirrored = copy.copy(images)
    mirrored.pixels = images.pixels.flip(2)
    flip = measures.averaged(logits, training.predict(network, mirrored, precision), images.labels)
    return measures.scores(logits, images.labels, groups) | {"flip_top1": flip}, logits


def beginning(begun: torch.nn.Module, experiment: Experiment, images: augment.Images) -> dict[str, object]:
    """How large the first gradient is beside the weights, in the layer where it is largest."""
    recipe, probes = experiment.recipe, few(images, BEGINNING)
    probes.input_size = recipe.size_in(1, recipe.epochs_of(len(images)))
    layer, ratio = anatomy.steepest(begun, probes.plain(0, len(probes)), probes.labels)
    steps, _ = recipe.steps(len(images))
    first_step = learning_rate(recipe, 0, steps) * ratio
    return {"layer": layer, "initial_gradient_ratio": ratio, "first_step_ratio": first_step}


def write_answers(logits: torch.Tensor, test: dict[str, np.ndarray], shown: dict, name: str, folder: Path) -> None:
    """Write the prediction for each test image, the most confident mistakes, and the confusion counts."""
    predicted, confidence = measures.predictions(logits)
    names = test["names"].view(f"S{test['names'].shape[1]}").ravel()
    rows = [
        {"image": n.decode().rsplit(".", 1)[0], "actual": int(a), "predicted": int(p), "confidence": float(c)}
        for n, a, p, c in zip(names, test["labels"], predicted, confidence, strict=True)
    ]
    write_table(folder / "predictions.csv", rows)
    wrong = np.flatnonzero(predicted != test["labels"])
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    if len(worst) and shown["pictures"]:
        write_table(folder / "mistakes.csv", [rows[i] for i in worst])
        pictures.write_strip(folder / "mistakes.png", test["images"][worst].transpose(0, 2, 3, 1))
    labels, of = shown["classes"], range(len(shown["classes"]))
    if shown["superclasses"]:  # a hundred classes are more than a page can show
        labels = list(dict.fromkeys(shown["superclasses"]))
        of = [labels.index(superclass) for superclass in shown["superclasses"]]
    counts = measures.confusion(np.take(of, test["labels"]), np.take(of, predicted), len(labels))
    cells = [{"actual": labels[i], "predicted": labels[j], "count": counts[i, j]} for i, j in np.argwhere(counts)]
    write_table(Path("plots/confusion", f"{name}.csv"), cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", help="a key of `experiments` in experiments.yaml")
    name = parser.parse_args().experiment
    experiment = read_experiment(name)
    recipe, folder = experiment.recipe, Path("plots/tables", name)
    shown = read_json(Path("recipes/labels", f"{experiment.dataset}.json"))
    place = device.choose()
    device.prepare(place, recipe.threads)
    images, groups = augment.load(experiment, PARTS, place), None
    if superclasses := shown["superclasses"]:
        groups = torch.tensor([sorted(set(superclasses)).index(s) for s in superclasses], device=place)
    rows, beginnings, answers, provenance, diverged = [], [], {}, {}, False
    together = dict.fromkeys(PARTS, 0)  # the seeds' probabilities, added up
    for seed in range(recipe.seeds):
        weights, about = checkpoint.load(Path("models", name, f"seed-{seed}.safetensors"))
        if about.get("experiment") != experiment.one_seed() or not about.keys() >= set(PROVENANCE):
            raise Mistake(f"models/{name} was trained by another recipe or version: run `dvc repro train@{name}` first")
        begun = untrained(experiment, seed, place)
        network = copy.deepcopy(begun)
        network.load_state_dict(weights)
        diverged |= about["diverged"]
        beginnings.append({"seed": seed} | beginning(begun, experiment, images["train"]))
        for part in PARTS:  # the test set comes last: its logits stay
            scores, logits = score(network, images[part], recipe.precision, groups)
            rows.append({"seed": seed, "part": part} | scores)
            together[part] += torch.softmax(logits.double(), 1)
        answers |= measures.answers(logits, seed)
        if seed == 0:
            shutil.rmtree(folder, ignore_errors=True)  # not every network has every table
            test = tensors.load(experiment.dataset, "test", experiment.max_images)
            write_answers(logits, test, shown, name, folder)
            write_inside(network, begun, images, recipe.precision, folder, SAMPLE_LESIONS.get(experiment.scale))
            provenance = {"scale": experiment.scale} | {key: about[key] for key in PROVENANCE}
    write_table(folder / "scores.csv", rows)
    write_table(folder / "beginnings.csv", beginnings)
    lines = zip(*answers.values(), strict=True)
    write_table(folder / "answers.csv", [dict(zip(answers, line, strict=True)) for line in lines])
    if recipe.seeds > 1:
        ensemble = {
            part: measures.ensemble(p / recipe.seeds, images[part].labels, groups) for part, p in together.items()
        }
        write_table(folder / "ensemble.csv", [{"part": part} | scores for part, scores in ensemble.items()])
    write_json(folder / "experiment.json", experiment.changes())
    provenance |= {"evaluated_on": checkpoint.versions(place, recipe)["device"]}
    provenance |= {key: getattr(recipe, key) for key in ("seeds", "epochs", "iterations", "input_size")}
    provenance |= {key: beginnings[0][key] for key in ("initial_gradient_ratio", "first_step_ratio")}
    write_table(folder / "provenance.csv", [{"key": key, "value": value} for key, value in provenance.items()])

    def over_seeds(part: str, key: str) -> list[float]:
        return [row[key] for row in rows if row["part"] == part]

    metrics = {
        "test_top1": round(statistics.fmean(over_seeds("test", "top1")), 6),
        "test_loss": round(statistics.fmean(over_seeds("test", "loss")), 6),
        "val_top1": round(statistics.fmean(over_seeds("val", "top1")), 6),
        "train_top1": round(statistics.fmean(over_seeds("train", "top1")), 6),
        "diverged": diverged,
    }
    if recipe.seeds > 1:
        metrics["test_top1_std"] = round(statistics.stdev(over_seeds("test", "top1")), 6)
    write_json(Path("metrics/experiments", f"{name}.json"), metrics | {"scale": experiment.scale})
    print(f"{name}: test top-1 {metrics['test_top1']:.2%} over {recipe.seeds} seeds at scale {experiment.scale}")


if __name__ == "__main__":
    run(main)
