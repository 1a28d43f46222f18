"""train: train one experiment's network, seed by seed.

    python src/train.py resnet34-signs

Reads recipes/experiments/<experiment>.json and the train and val parts of its data set (never the test part); writes
the weights, models/<experiment>/seed-<n>.safetensors, the history of all seeds, plots/history/<experiment>.csv, and
metrics/validation/<experiment>.json, by which recipes are judged. Uses the first GPU, or else the CPU.

The state at the end of every epoch goes to runs/<experiment>/: kill the run whenever you like, the same command goes on
and ends with the same bytes. `tensorboard --logdir runs` shows the curves while they grow.
"""

import argparse
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from lineage import models
from lineage.engine import augment, checkpoint, training
from lineage.engine.augment import Images
from lineage.engine.recipe import Recipe, read_experiment
from lineage.errors import Mistake, run
from lineage.files import write_json, write_table

BAR = "{desc} |{bar}| epoch {n}/{total}, {remaining} left{postfix}"


class Trained(NamedTuple):
    """What is left of a seed's training: the rest, on the device, makes room for the next seed."""

    seed: int
    weights: dict[str, torch.Tensor]  # on the CPU
    history: list[training.Epoch]
    kept: training.Epoch
    diverged: bool
    size: dict[str, int]  # of the network


def train_seed(experiment: dict, images: dict[str, Images], seed: int, folder: Path, show: Callable) -> Trained:
    """Train one seed, from the beginning or from where an earlier run of the same was killed; `show` each epoch's line
    and its images per second.
    """
    recipe, device = Recipe(**experiment["recipe"]), images["train"].labels.device
    torch.manual_seed(seed)
    try:
        network = models.build(experiment["model"], experiment["classes"], recipe.input_size, experiment["network"])
    except ValueError as error:
        raise Mistake(f"{experiment['experiment']}: {error}") from None
    network = network.to(device, memory_format=augment.LAYOUTS[recipe.layout])
    job = training.Training(network, images["train"], images["val"], recipe, seed)
    data = [Path("data/tensors", experiment["dataset"], f"{part}.safetensors") for part in images]
    path = folder / f"seed-{seed}-{checkpoint.key(experiment, data, device, recipe.threads)}.state"
    for other in sorted(set(folder.glob(f"seed-{seed}-*.state")) - {path}):
        print(f"ignoring {other}: of other data, code or parameters", flush=True)
    if found := checkpoint.load_state(path):
        job.resume(*found)
        at = f"resuming at epoch {len(job.history) + 1} of {job.epochs}"
        print(f"seed {seed}: {'trained already' if job.finished else at}", flush=True)
    shutil.rmtree(folder / f"seed-{seed}", ignore_errors=True)  # the curves are written anew
    with SummaryWriter(str(folder / f"seed-{seed}")) as curves:
        for line in job.history:
            draw(curves, line)
            show(line, None)
        while not job.finished:
            began = time.monotonic()
            line = job.epoch()
            checkpoint.save_state(path, *job.state())
            draw(curves, line)
            show(line, job.per_epoch * min(recipe.batch_size, len(images["train"])) / (time.monotonic() - began))
    if job.diverged:
        epoch, lr = job.history[-1].epoch, job.history[-1].lr
        print(
            f"seed {seed} diverged: the loss is not finite in epoch {epoch} at lr {lr:g}; a lower lr helps", flush=True
        )
    weights = {name: tensor.cpu() for name, tensor in job.weights().items()}
    return Trained(seed, weights, job.history, job.kept, job.diverged, models.size(network, recipe.input_size))


def draw(curves: SummaryWriter, line: training.Epoch) -> None:
    for name, value in asdict(line).items():
        if name not in ("seed", "epoch"):
            curves.add_scalar(name, value, line.epoch)


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
    epochs, terminal = recipe.epochs_of(len(images["train"])), sys.stderr.isatty()
    with tqdm(total=recipe.seeds * epochs, desc=name, disable=not terminal, bar_format=BAR) as bar:

        def show(line: training.Epoch, speed: float | None) -> None:
            bar.update()
            if speed is None:
                return
            bar.set_postfix_str(f"{speed:.0f} images/s, loss {line.train_loss:.3f}, val error {line.val_error:.1%}")
            if not terminal:
                print(
                    f"seed {line.seed}  epoch {line.epoch:3}/{epochs}  {speed:7.0f} images/s  lr {line.lr:8.2g}  loss "
                    f"{line.train_loss:7.4f}  training error {line.train_error:7.2%}  validation error "
                    f"{line.val_error:7.2%}",
                    flush=True,
                )

        trained = [train_seed(experiment, images, seed, runs, show) for seed in range(recipe.seeds)]
    # No output is written before every seed has gone to its end.
    folder = Path("models", name)
    shutil.rmtree(folder, ignore_errors=True)
    same = checkpoint.versions(device, recipe.threads)
    same |= {key: getattr(images["train"], key).tolist() for key in ("mean", "std")}  # what a picture is normalised by
    for one in trained:
        about = experiment | {"seed": one.seed, "diverged": one.diverged} | same | one.size
        checkpoint.save(folder / f"seed-{one.seed}.safetensors", one.weights, about)
    scale = {"scale": experiment["scale"]}
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
    for path in runs.glob("seed-*.state"):
        path.unlink()
    print(
        f"{name}: {recipe.seeds} seed(s) at scale {experiment['scale']} in {time.monotonic() - started:.0f} s on "
        f"{device}, validation top-1 {metrics['val_top1']:.2%}; weights in {folder}"
    )


if __name__ == "__main__":
    run(main)
