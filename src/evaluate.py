"""evaluate: measure one experiment's trained networks, once, on images that training never saw.

    python src/evaluate.py resnet34-signs

The only reader of the test part. Reads the weights of every seed; writes metrics/experiments/<experiment>.json (means
over the seeds), plots/confusion/<experiment>.csv and, in plots/tables/<experiment>/:

- scores.csv: every seed and part, without augmentation; flip_top1 is that of the mean of the predictions for an image
  and its mirror image, superclass how often the superclass is right
- predictions.csv, and mistakes.csv and mistakes.png, the most confident ones: the first seed's, on the test part
- layers.csv and blocks.csv: what lineage/anatomy.py measures of the first seed's network, on 32 training images
- filters.png: the first seed's first layer, where its kernels are 7×7 or larger
- provenance.csv: scale, device, versions, sizes
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
from lineage.files import read_json, write_json, write_table

PARTS = ("train", "val", "test")
PROVENANCE = ("scale", "device", "threads", "torch", "cuda", "parameters", "multiply_adds")
PROBES = 32  # training images that layers and blocks are measured with
MISTAKES = 12
LARGE = 7  # pixels: kernels that are worth looking at


def trained(weights: dict[str, torch.Tensor], experiment: Experiment, place: torch.device) -> torch.nn.Module:
    """One seed's network with its weights."""
    network = experiment.build()
    network.load_state_dict(weights)
    return network.to(place, memory_format=augment.LAYOUTS[experiment.recipe.layout])


def score(network: torch.nn.Module, images: augment.Images, precision: str, groups: torch.Tensor | None) -> tuple:
    """The scores of one part, and its logits."""
    logits = training.predict(network, images, precision)
    mirrored = copy.copy(images)
    mirrored.pixels = images.pixels.flip(2)
    flip = measures.averaged(logits, training.predict(network, mirrored, precision), images.labels)
    return measures.scores(logits, images.labels, groups) | {"flip_top1": flip}, logits


def look_inside(network: torch.nn.Module, experiment: Experiment, place: torch.device, folder: Path) -> None:
    """Write what is measured within the network."""
    few = experiment.model_copy(update={"max_images": min(PROBES, experiment.max_images or PROBES)})
    probes = augment.load(few, ("train",), place)["train"]
    x = probes.plain(0, len(probes))
    gradients, responses = anatomy.gradients(network, x, probes.labels), anatomy.responses(network, x)
    rows = [
        {"layer": name, "gradient": gradient, "weight": weight, "response": responses[name]}
        for name, (gradient, weight) in gradients.items()
    ]
    write_table(folder / "layers.csv", rows)
    if additions := anatomy.additions(network, x):
        write_table(folder / "blocks.csv", [{"block": name, "addition": value} for name, value in additions.items()])
    first = next(iter(anatomy.layers(network).values())).weight
    if first.ndim == 4 and first.shape[-1] >= LARGE:
        pictures.write_strip(folder / "filters.png", pictures.filters(first.detach().cpu().numpy()))


def write_answers(logits: torch.Tensor, test: dict[str, np.ndarray], shown: dict, name: str, folder: Path) -> None:
    """Write what the network says of each test image, and the mistakes of which it is most certain."""
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
    rows, diverged, provenance = [], False, {}
    for seed in range(recipe.seeds):
        weights, about = checkpoint.load(Path("models", name, f"seed-{seed}.safetensors"))
        if about.get("experiment") != experiment.one_seed() or not about.keys() >= set(PROVENANCE):
            raise Mistake(f"models/{name} was trained by another recipe or version: run `dvc repro train@{name}` first")
        network = trained(weights, experiment, place)
        diverged |= about["diverged"]
        for part in PARTS:
            scores, logits = score(network, images[part], recipe.precision, groups)
            rows.append({"seed": seed, "part": part} | scores)
        if seed == 0:
            shutil.rmtree(folder, ignore_errors=True)  # not every network has every table
            test = tensors.load(experiment.dataset, "test", experiment.max_images)
            write_answers(logits, test, shown, name, folder)
            look_inside(network, experiment, place, folder)
            provenance = {key: about[key] for key in PROVENANCE}
    write_table(folder / "scores.csv", rows)
    provenance |= {"evaluated_on": checkpoint.versions(place, recipe)["device"]}
    write_json(folder / "experiment.json", experiment.changes())
    provenance |= {key: getattr(recipe, key) for key in ("seeds", "epochs", "iterations", "input_size")}
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
    print(f"{name}: test top-1 {metrics['test_top1']:.2%} over {recipe.seeds} seeds at scale {experiment['scale']}")


if __name__ == "__main__":
    run(main)
