"""train: train one experiment's network, every seed of it.

    python src/train.py resnet34-signs

Reads recipes/experiments/<experiment>.json and the train and val splits of its data set (never the test split); writes
the weights, models/<experiment>/seed-<n>.safetensors, the history of all seeds, plots/history/<experiment>.csv, and
metrics/validation/<experiment>.json, by which recipes are judged. Uses the first GPU, or else the CPU
(CUDA_VISIBLE_DEVICES= in front of the command: the CPU).

On a CPU as many seeds train at once as cores and memory allow, on a GPU one; SEEDS_AT_ONCE=3 in front of the command
sets the number, which changes no byte of the results. On a GPU a step is a CUDA graph; CUDA_GRAPHS=0 trains without,
more slowly, and should give the same bytes (not yet tried).

Every half a minute (CHECKPOINT_SECONDS) the state of a seed goes to runs/<experiment>/, when an epoch ends: kill the
run whenever you like, the same command goes on and ends with the same bytes. Trained seeds stay there until dvc.lock
has them and the experiment is trained once more. `tensorboard --logdir runs` shows the curves while they grow.
"""

from lineage.errors import Failure, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import statistics
import time
from functools import partial
from pathlib import Path

import torch

from lineage import models
from lineage.engine import checkpoint, device, tensors
from lineage.engine.experiment import Experiment, read_experiment
from lineage.engine.recipe import Recipe
from lineage.files import claimed, replacing, write_json, write_table
from lineage.parallel import seeds_at_once, side_by_side
from lineage.progress import Progress
from lineage.seed import train_seed


def untrained(states: list[Path], progress: Progress) -> list[int]:
    """The seeds that are not through yet; says what else is known of earlier runs."""
    seeds = []
    for seed, path in enumerate(states):
        for other in sorted(set(path.parent.glob(f"seed-{seed}-*.state")) - {path}):
            progress.say(f"ignoring {other}: of other data, code or parameters")
        _, about = checkpoint.load_state(path, progress.say) or ({}, {})
        if "kept" in about:
            progress.say(f"seed {seed}: trained already")
            progress.skip(seed, progress.epochs)
        else:
            seeds.append(seed)
    return seeds


def write_weights(experiment: Experiment, states: list[Path], same: dict[str, str]) -> list[dict]:
    """Write the weights of all seeds, each from its state; returns what else the states say. `same` is added to what
    the files say of themselves.
    """
    everything = []
    with torch.device("meta"):  # its shapes alone
        same = same | models.size(experiment.build(), experiment.recipe.input_size)
    with replacing(Path("models", experiment.name)) as folder:
        for seed, path in enumerate(states):
            weights, about = checkpoint.load_state(path) or ({}, {})
            if not weights:
                raise Failure(f"seed {seed} is lost: the same command trains it again")
            everything.append(about)
            about = {key: value for key, value in about.items() if key not in ("history", "kept")}
            about |= {"experiment": experiment.one_seed(), "seed": seed} | same
            checkpoint.save(folder / f"seed-{seed}.safetensors", weights, about)
    return everything


def write_history(trained: list[dict], experiment: Experiment) -> float:
    """Write the history and the metrics on validation; returns the mean top-1 there."""
    name, scale = experiment.name, {"scale": experiment.scale}
    lines = [{"series": name} | line | scale for one in trained for line in one["history"]]
    write_table(Path("plots/history", f"{name}.csv"), lines)
    kept = [one["kept"] for one in trained]
    metrics = {
        "val_top1": round(1 - statistics.fmean(line["val_error"] for line in kept), 6),
        "val_loss": round(statistics.fmean(line["val_loss"] for line in kept), 6),
        "running_train_error": round(statistics.fmean(line["train_error"] for line in kept), 6),
        "diverged": any(one["diverged"] for one in trained),
    }
    if len(kept) > 1:
        metrics["val_top1_std"] = round(statistics.stdev(line["val_error"] for line in kept), 6)
    write_json(Path("metrics/validation", f"{name}.json"), metrics | scale)
    return metrics["val_top1"]


def announce(place: torch.device, recipe: Recipe, at_once: int) -> None:
    seeds = "one seed at a time" if at_once == 1 else f"{at_once} seeds at once"
    threads = "1 thread" if recipe.threads == 1 else f"{recipe.threads} threads"
    print(f"training on {device.name(place)}, {seeds} with {threads} each", flush=True)
    if device.precision_on(place, recipe.precision) != recipe.precision:
        print(
            f"this {place.type} has no hardware for bfloat16: the run is in float32, so its results agree with the "
            "recorded ones within their intervals, not byte for byte",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", help="a key of `experiments` in experiments.yaml")
    name = parser.parse_args().experiment
    experiment = read_experiment(name)
    recipe, place, started, runs = experiment.recipe, device.choose(), time.monotonic(), Path("runs", name)
    images = tensors.length(experiment.dataset, "train", experiment.max_images)
    with claimed(runs):
        checkpoint.forget_recorded(runs)
        at_once = seeds_at_once(experiment, place)
        announce(place, recipe, at_once)
        key = checkpoint.key(experiment, place)
        states = [runs / f"seed-{seed}-{key}.state" for seed in range(recipe.seeds)]
        with Progress(name, recipe.seeds, *recipe.steps(images), recipe.epochs_of(images)) as progress:
            train = partial(train_seed, experiment, place, states, checkpoint.seconds_between())
            side_by_side(train, untrained(states, progress), at_once, progress)
        # No output is written before every seed has gone to its end.
        versions = checkpoint.versions(place, recipe)
        trained = write_weights(experiment, states, versions)
        top1 = write_history(trained, experiment)
        checkpoint.note_complete(runs, [state.name for state in states], Path("plots/history", f"{name}.csv"))
    print(
        f"{name}: {recipe.seeds} seed(s) at scale {experiment.scale} in {time.monotonic() - started:.0f} s on "
        f"{versions['device']}, validation top-1 {top1:.2%}; weights in models/{name}, curves in "
        f"plots/history/{name}.csv"
    )


if __name__ == "__main__":
    run(main)
