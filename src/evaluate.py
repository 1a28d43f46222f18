"""evaluate: measure one experiment's trained networks, once, on images that training never saw.

    python src/evaluate.py resnet34-signs

The only reader of the test part. Reads the weights of every seed; writes metrics/experiments/<experiment>.json (means
over the seeds), plots/confusion/<experiment>.csv (the first seed's, on the test part) and, in
plots/tables/<experiment>/, scores.csv (every seed and part), predictions.csv (the first seed's, on the test part) and
provenance.csv (scale, device, versions). Training images are measured without augmentation.
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
import torch

from lineage import measures, models
from lineage.engine import augment, checkpoint, tensors, training
from lineage.engine.recipe import Recipe, fingerprint, read_experiment
from lineage.errors import Mistake, run
from lineage.files import write_json, write_table

PARTS = ("train", "val", "test")
PROVENANCE = ("scale", "device", "threads", "torch", "cuda", "parameters", "multiply_adds")


def trained(weights: dict[str, torch.Tensor], experiment: dict, device: torch.device) -> torch.nn.Module:
    """One seed's network with its weights."""
    size = experiment["recipe"]["input_size"]
    network = models.build(experiment["model"], experiment["classes"], size, experiment["network"])
    network.load_state_dict(weights)
    return network.to(device, memory_format=torch.channels_last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", help="a key of `experiments` in params.yaml")
    name = parser.parse_args().experiment
    experiment = read_experiment(name)
    recipe = Recipe(**experiment["recipe"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training.prepare(device, recipe.threads)
    images = augment.load(experiment, PARTS, device)
    rows, diverged = [], False
    for seed in range(recipe.seeds):
        weights, about = checkpoint.load(Path("models", name, f"seed-{seed}.safetensors"))
        if any(about[key] != value for key, value in experiment.items()):
            raise Mistake(f"models/{name} was trained by another recipe: run `dvc repro train@{name}` first")
        network = trained(weights, experiment, device)
        logits = {part: training.predict(network, images[part], recipe.precision) for part in PARTS}
        for part in PARTS:
            rows.append({"seed": seed, "part": part} | measures.scores(logits[part], images[part].labels))
        diverged |= about["diverged"]
        if seed == 0:
            predicted, confidence = measures.predictions(logits["test"])
            provenance = {key: about[key] for key in PROVENANCE}
    tables = Path("plots/tables", name)
    write_table(tables / "scores.csv", rows)

    test = tensors.load(experiment["dataset"], "test", experiment["max_images"])
    names = test["names"].view(f"S{test['names'].shape[1]}").ravel()
    columns = {
        "image": [n.decode().rsplit(".", 1)[0] for n in names],
        "actual": test["labels"],
        "predicted": predicted,
        "percent": (100 * confidence).round().astype(int),
    }
    write_table(
        tables / "predictions.csv",
        [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
    )
    counts = measures.confusion(test["labels"], predicted, experiment["classes"])
    cells = [{"actual": i, "predicted": j, "count": counts[i, j]} for i, j in zip(*np.nonzero(counts), strict=True)]
    write_table(Path("plots/confusion", f"{name}.csv"), cells)
    provenance |= {"recipe": fingerprint(experiment)}
    provenance |= {key: getattr(recipe, key) for key in ("seeds", "epochs", "iterations", "input_size")}
    write_table(tables / "provenance.csv", [{"key": key, "value": value} for key, value in provenance.items()])

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
    if "top5" in rows[0]:
        metrics["test_top5"] = round(statistics.fmean(over_seeds("test", "top5")), 6)
    write_json(Path("metrics/experiments", f"{name}.json"), metrics | {"scale": experiment["scale"]})
    print(f"{name}: test top-1 {metrics['test_top1']:.2%} over {recipe.seeds} seeds at scale {experiment['scale']}")


if __name__ == "__main__":
    run(main)
