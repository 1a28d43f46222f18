"""train: train one experiment's network, seed by seed.

    python src/train.py resnet34-signs

Reads recipes/experiments/<experiment>.json and the train and val parts of its data set (never the test part); writes
the weights of the last epoch, models/<experiment>/seed-<n>.safetensors, the history of all seeds,
plots/history/<experiment>.csv, and metrics/validation/<experiment>.json, by which recipes are judged. Uses the first
GPU, or else the CPU.
"""

import argparse
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from lineage import checkpoint, models, tensors, training
from lineage.augment import Images
from lineage.errors import Mistake, run
from lineage.files import write_json, write_text
from lineage.recipe import Recipe, read_experiment


def train_seed(
    experiment: dict, recipe: Recipe, seed: int, device: torch.device
) -> tuple[torch.nn.Module, pd.DataFrame]:
    """Train one seed. Returns the network and its history, one row per epoch."""
    parts = {part: tensors.load(experiment["dataset"], part, experiment["max_images"]) for part in ("train", "val")}
    mean, std = (torch.from_numpy(parts["train"][key]) for key in ("mean", "std"))
    images = {
        part: Images(
            torch.from_numpy(a["images"]), mean, std, recipe.input_size, device, recipe.shift * (part == "train")
        )
        for part, a in parts.items()
    }
    labels = {part: torch.from_numpy(arrays["labels"]).to(device) for part, arrays in parts.items()}
    torch.manual_seed(seed)
    try:
        network = models.build(experiment["model"], experiment["classes"], recipe.input_size, experiment["network"])
    except ValueError as error:
        raise Mistake(f"{experiment['experiment']}: {error}") from None
    network = network.to(device, memory_format=torch.channels_last)
    steps, per_epoch = recipe.steps(len(images["train"]))
    lines = training.fit(network, images["train"], labels["train"], images["val"], labels["val"], recipe, seed)
    epochs = -(-steps // per_epoch)
    terminal, history = sys.stderr.isatty(), []
    with tqdm(total=epochs, desc=f"{experiment['experiment']} seed {seed}", unit="epoch", disable=not terminal) as bar:
        for line in lines:
            history.append(asdict(line))
            bar.set_postfix(loss=f"{line.train_loss:.3f}", val_error=f"{line.val_error:.2%}")
            bar.update()
            if not terminal:
                print(
                    f"seed {seed}  epoch {line.epoch:3}/{epochs}  lr {line.lr:8.2g}  loss {line.train_loss:7.4f}  "
                    f"training error {line.train_error:7.2%}  validation error {line.val_error:7.2%}",
                    flush=True,
                )
    return network, pd.DataFrame(history)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", help="a key of `experiments` in params.yaml")
    name = parser.parse_args().experiment
    experiment = read_experiment(name)
    recipe = Recipe(**experiment["recipe"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training.prepare(device, recipe.threads)
    started = time.monotonic()
    networks, histories = zip(
        *(train_seed(experiment, recipe, seed, device) for seed in range(recipe.seeds)), strict=True
    )
    # Nothing is written before every seed has gone well.
    folder = Path("models", name)
    shutil.rmtree(folder, ignore_errors=True)
    for seed, network in enumerate(networks):
        about = experiment | {"seed": seed} | checkpoint.versions(device, recipe.threads)
        checkpoint.save(folder / f"seed-{seed}.safetensors", network, about)
    history = pd.concat(histories).assign(scale=experiment["scale"])
    history.insert(0, "series", name)
    path = Path("plots/history", f"{name}.csv")
    write_text(path, history.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    last = history.groupby("seed").last()
    metrics = {
        "val_top1": round(1 - last.val_error.mean(), 6),
        "val_loss": round(last.val_loss.mean(), 6),
        "running_train_error": round(last.train_error.mean(), 6),
    }
    if len(last) > 1:
        metrics["val_top1_std"] = round(last.val_error.std(), 6)
    write_json(Path("metrics/validation", f"{name}.json"), metrics | {"scale": experiment["scale"]})
    print(
        f"{name}: {recipe.seeds} seed(s) at scale {experiment['scale']} in {time.monotonic() - started:.0f} s on "
        f"{device}, validation top-1 {metrics['val_top1']:.2%}; weights in {folder}"
    )


if __name__ == "__main__":
    run(main)
