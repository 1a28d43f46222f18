"""train: train one experiment's network, seed by seed.

    python src/train.py resnet34-signs

Reads recipes/experiments/<experiment>.json and the train and val parts of its data set (never the test part); writes
the weights, models/<experiment>/seed-<n>.safetensors, the history of all seeds, plots/history/<experiment>.csv, and
metrics/validation/<experiment>.json, by which recipes are judged. Uses the first GPU, or else the CPU.

The state at the end of every epoch goes to runs/<experiment>/: kill the run whenever you like, the same command goes on
and ends with the same bytes. Trained seeds stay there until dvc.lock has them. `tensorboard --logdir runs` shows the
curves while they grow.
"""

from lineage.errors import Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import shutil
import statistics
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils.tensorboard import SummaryWriter

from lineage import models
from lineage.engine import augment, checkpoint, training
from lineage.engine.augment import Images
from lineage.engine.recipe import Recipe, read_experiment
from lineage.files import claimed, replacing, write_json, write_table
from lineage.progress import Progress


class Trained(NamedTuple):
    """What is left of a seed's training: the rest, on the device, makes room for the next seed."""

    seed: int
    weights: dict[str, torch.Tensor]  # on the CPU
    history: list[training.Epoch]
    kept: training.Epoch
    diverged: bool
    size: dict[str, int]  # of the network
    state: Path  # where a run that is killed goes on from


def train_seed(experiment: dict, images: dict[str, Images], seed: int, folder: Path, progress: Progress) -> Trained:
    """Train one seed, from the beginning or from where an earlier run of the same was killed."""
    recipe, device = Recipe(**experiment["recipe"]), images["train"].labels.device
    torch.manual_seed(seed)
    try:
        network = models.build(experiment["model"], experiment["classes"], recipe.input_size, experiment["network"])
    except ValueError as error:
        raise Mistake(f"{experiment['name']}: {error}") from None
    network = network.to(device, memory_format=augment.LAYOUTS[recipe.layout])
    job = training.Training(network, images["train"], images["val"], recipe, seed)
    data = [Path("data/tensors", experiment["dataset"], f"{part}.safetensors") for part in images]
    path = folder / f"seed-{seed}-{checkpoint.key(experiment, data, device, recipe.threads)}.state"
    for other in sorted(set(folder.glob(f"seed-{seed}-*.state")) - {path}):
        progress.say(f"ignoring {other}: of other data, code or parameters")
    if found := checkpoint.load_state(path):
        job.resume(*found)
        at = f"resuming at epoch {len(job.history) + 1} of {job.epochs}"
        progress.say(f"seed {seed}: {'trained already' if job.finished else at}")
    shutil.rmtree(folder / f"seed-{seed}", ignore_errors=True)  # the curves are written anew
    with SummaryWriter(str(folder / f"seed-{seed}")) as curves:
        for line in job.history:
            draw(curves, line)
        progress.skip(len(job.history))
        while not job.finished:
            progress.begin(seed, len(job.history) + 1)
            began = time.monotonic()
            line = job.epoch(progress.step)
            checkpoint.save_state(path, *job.state())
            draw(curves, line)
            speed = job.per_epoch * min(recipe.batch_size, len(images["train"])) / (time.monotonic() - began)
            progress.show(seed, line.epoch, speed, line.lr, line.train_loss, line.train_error, line.val_error)
    if job.diverged:
        epoch, lr = job.history[-1].epoch, job.history[-1].lr
        progress.say(f"seed {seed} diverged: the loss is not finite in epoch {epoch} at lr {lr:g}; a lower lr helps")
        progress.skip(job.epochs - epoch)
    weights = {name: tensor.cpu() for name, tensor in job.weights().items()}
    size = models.size(network, recipe.input_size)
    return Trained(seed, weights, job.history, job.kept, job.diverged, size, path)


def draw(curves: SummaryWriter, line: training.Epoch) -> None:
    for name, value in asdict(line).items():
        if name not in ("seed", "epoch"):
            curves.add_scalar(name, value, line.epoch)


def write_history(trained: list[Trained], experiment: dict) -> float:
    """Write the history and the metrics on validation; returns the mean top-1 there."""
    name, scale = experiment["name"], {"scale": experiment["scale"]}
    lines = [{"series": name} | asdict(line) | scale for one in trained for line in one.history]
    write_table(Path("plots/history", f"{name}.csv"), lines)
    kept = [one.kept for one in trained]
    metrics = {
        "val_top1": round(1 - statistics.fmean(line.val_error for line in kept), 6),
        "val_loss": round(statistics.fmean(line.val_loss for line in kept), 6),
        "running_train_error": round(statistics.fmean(line.train_error for line in kept), 6),
        "diverged": any(one.diverged for one in trained),
    }
    if len(kept) > 1:
        metrics["val_top1_std"] = round(statistics.stdev(line.val_error for line in kept), 6)
    write_json(Path("metrics/validation", f"{name}.json"), metrics | scale)
    return metrics["val_top1"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", help="a key of `experiments` in params.yaml")
    name = parser.parse_args().experiment
    experiment = read_experiment(name)
    recipe = Recipe(**experiment["recipe"])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training.prepare(device, recipe.threads)
    threading.excepthook = lambda _: None  # the curves' writer hands its errors on to this thread
    started, runs = time.monotonic(), Path("runs", name)
    images = augment.load(experiment, ("train", "val"), device, recipe.shift)
    pace = *recipe.steps(len(images["train"])), recipe.epochs_of(len(images["train"]))
    with claimed(runs):
        checkpoint.forget_recorded(runs)
        with Progress(name, recipe.seeds, *pace) as progress:
            trained = [train_seed(experiment, images, seed, runs, progress) for seed in range(recipe.seeds)]
        # No output is written before every seed has gone to its end.
        same = checkpoint.versions(device, recipe.threads)
        same |= {key: getattr(images["train"], key).tolist() for key in ("mean", "std")}  # as pictures are normalised
        with replacing(Path("models", name)) as folder:
            for one in trained:
                recipe_of_one = {key: value for key, value in experiment["recipe"].items() if key != "seeds"}
                about = experiment | {"recipe": recipe_of_one, "seed": one.seed, "diverged": one.diverged} | same | one.size
                checkpoint.save(folder / f"seed-{one.seed}.safetensors", one.weights, about)
        top1 = write_history(trained, experiment)
        checkpoint.note_complete(runs, [one.state.name for one in trained], Path("plots/history", f"{name}.csv"))
    print(
        f"{name}: {recipe.seeds} seed(s) at scale {experiment['scale']} in {time.monotonic() - started:.0f} s on "
        f"{same['device']}, validation top-1 {top1:.2%}; weights in models/{name}, curves in plots/history/{name}.csv"
    )


if __name__ == "__main__":
    run(main)
