"""evaluate: measure one experiment's trained networks, once, on images that training never saw.

    python src/evaluate.py resnet34-signs

The only reader of the test part. Reads the weights of every seed; writes metrics/experiments/<experiment>.json (means
over the seeds) and small tables: plots/scores (every seed and part), plots/predictions and plots/confusion (the first
seed's, on the test part) and plots/provenance (scale, device, versions). Training images are measured without
augmentation.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lineage import augment, checkpoint, measures, models, tensors, training
from lineage.errors import Mistake, run
from lineage.files import write_json, write_text
from lineage.recipe import Recipe, fingerprint, read_experiment

PARTS = ("train", "val", "test")


def trained(weights: dict[str, torch.Tensor], experiment: dict, device: torch.device) -> torch.nn.Module:
    """One seed's network with its weights."""
    size = experiment["recipe"]["input_size"]
    network = models.build(experiment["model"], experiment["classes"], size, experiment["network"])
    network.load_state_dict(weights)
    return network.to(device, memory_format=torch.channels_last)


def write(folder: str, name: str, table: pd.DataFrame) -> None:
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_text(Path("plots", folder, f"{name}.csv"), text)


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
            provenance = {key: about[key] for key in ("scale", "device", "threads", "torch", "cuda")}
    table = pd.DataFrame(rows)
    write("scores", name, table)

    test = tensors.load(experiment["dataset"], "test", experiment["max_images"])
    names = test["names"].view(f"S{test['names'].shape[1]}").ravel()
    columns = {
        "image": [n.decode().rsplit(".", 1)[0] for n in names],
        "actual": test["labels"],
        "predicted": predicted,
        "percent": (100 * confidence).round().astype(int),
    }
    write("predictions", name, pd.DataFrame(columns))
    counts = measures.confusion(test["labels"], predicted, experiment["classes"])
    actual, said = np.nonzero(counts)
    write("confusion", name, pd.DataFrame({"actual": actual, "predicted": said, "count": counts[actual, said]}))
    provenance |= {"recipe": fingerprint(experiment)}
    provenance |= {key: getattr(recipe, key) for key in ("seeds", "epochs", "iterations", "input_size")}
    provenance |= {"parameters": measures.parameters(network)}
    provenance |= {"multiply_adds": measures.multiply_adds(network, recipe.input_size)}
    write("provenance", name, pd.DataFrame({"key": list(provenance), "value": list(provenance.values())}))

    mean, std = (table.groupby("part")[["top1", "loss"]].agg(how) for how in ("mean", "std"))
    metrics = {
        "test_top1": round(mean.top1["test"], 6),
        "test_loss": round(mean.loss["test"], 6),
        "val_top1": round(mean.top1["val"], 6),
        "train_top1": round(mean.top1["train"], 6),
        "diverged": diverged,
    }
    if recipe.seeds > 1:
        metrics["test_top1_std"] = round(std.top1["test"], 6)
    if "top5" in table:
        metrics["test_top5"] = round(table[table.part == "test"].top5.mean(), 6)
    write_json(Path("metrics/experiments", f"{name}.json"), metrics | {"scale": experiment["scale"]})
    print(f"{name}: test top-1 {metrics['test_top1']:.2%} over {recipe.seeds} seeds at scale {experiment['scale']}")


if __name__ == "__main__":
    run(main)
