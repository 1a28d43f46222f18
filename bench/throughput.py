"""throughput: how many images a second training goes through, beside the usual training loop and the bare network.

    python bench/throughput.py                                   # five experiments, half an hour or so on two cores
    python bench/throughput.py resnet-20-cifar10 --seconds 5     # one of them, minutes
    python bench/throughput.py resnet-20-cifar10 --linear        # cost against images and epochs instead

Three ways to train the same network with the same batch size, by turns, so that whatever else the machine does hits
all of them:

- usual: the loop of articles and well-known repositories: a torchvision data set, PIL transforms, a DataLoader,
  float32, `.item()` in every step. Tuned: the number of workers is the fastest here.
- bare: forward, backward and optimiser on one batch that stays where it is, in the recipe's precision and the fastest
  of both memory layouts and, on a GPU, of eager and CUDA graph: what the hardware gives. On a machine without bfloat16
  in hardware both this and ours train in float32, which the table says.
- ours: `lineage.engine` with the experiment's own recipe, at its full input size. Timed are the steps with all they
  do, and what an epoch does once (its plan, a copy of the weights) by its share of an epoch over the full training
  part. Not timed: validation, checkpoints.

On a CPU the table goes on with ours for 1, 2 and more seeds at once, each in a process of its own with as many threads
as its recipe has, up to the number of cores and as memory allows; all are timed while all of them train. The last ratio
is that of the most of them to one run with as many threads.

A loader's wait for its first batch counts in full, though a whole epoch would spread it over more steps: that costs the
usual way a little where it has workers. Ours is deterministic, the others need not be. Memory is that of a process that
trains in one way only, without the workers of its loader, or what it holds on a GPU. All is made from data/sample:
speed does not depend on what the pictures show. Run it on an idle machine, in the top folder of the repository; it
needs Linux or macOS and 6 GB of memory.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))
from lineage.errors import Mistake, run  # first: Ctrl-C is one line while the others load

# isort: split
import argparse
import os
import statistics
import tempfile

import torch
from measure import built, forget, machine, matmul_peak, ratios, row, set_mode, tuned
from seeds import side_by_side
from task import Task, prepared
from ways import WAYS, Clocked, precisions

from lineage import models
from lineage.engine import device as devices
from lineage.engine.experiment import read_experiment
from lineage.files import recipes

EXPERIMENTS = "vgg16-cifar100", "resnet-20-cifar10", "resnet-56-cifar10", "resnet34-signs", "alexnet-cats-vs-dogs"
BARS = {"bare": 0.95, "usual": 1.5}  # what ours should reach, as multiples of the others


def compare(task: Task, args: argparse.Namespace, peak: float) -> dict[str, bool]:
    """Measure the three by turns and print their table. Returns which bars hold."""
    trains, steps, memory, notes = {}, {}, {}, {}
    where = " on the GPU" if task.device.type == "cuda" else ""
    for name, way in WAYS.items():
        set_mode(name, task.device, args.threads)
        choice, steps[name] = tuned(task, way, args)
        trains[name], memory[name] = built(task, name, choice, args.threads)
        notes[name] = f"{way.name(choice)}, {memory[name] / 2**20:.0f} MiB{where}"
    batch, size, rates = task.recipe.batch_size, task.recipe.input_size, {name: [] for name in WAYS}
    for _ in range(args.repeats):
        for name, train in trains.items():
            set_mode(name, task.device, args.threads)
            rates[name].append(steps[name] * batch / train(steps[name]))
    work = 6 * models.size(task.network(), size)["multiply_adds"]  # FLOP: three passes, two per multiply-add
    print(f"\n{task.experiment.name}: batches of {batch}×3×{size}×{size}, {work / 1e9:.3g} GFLOP an image")
    for note in about(task):
        print(f"  {note}")
    print(f"  {'':10} {'images/s':>9}  {'(min – max)':21}  of peak  steps  with")
    for name, values in rates.items():
        share = statistics.median(values) * work / peak
        print(f"  {name:10} {row(values, 1)}  {share:7.1%}  {steps[name]:5}  {notes[name]}")
    against = {other: ratios(rates["ours"], rates[other]) for other in BARS}
    for other, values in against.items():
        print(f"  {'ours/' + other:10} {row(values, 3)}")
    held = {other: statistics.median(values) >= BARS[other] for other, values in against.items()}
    several = side_by_side(task, args, memory["ours"]) if task.device.type == "cpu" else None
    return held if several is None else held | {"seeds": several}


def about(task: Task) -> list[str]:
    """What to know of ours when its speed is compared."""
    recipe = task.recipe
    precision = devices.precision_on(task.device, recipe.precision)
    notes = [f"ours in {precision}{'' if precision == recipe.precision else ': no bfloat16 in hardware here'}"]
    if recipe.grow:
        notes.append(f"the recipe grows from {min(recipe.grow)} pixels: all three are measured at its last size alone")
    return notes


def linear(task: Task, args: argparse.Namespace) -> None:
    """Print what ours takes for 1, 2 and 4 times the images or the epochs, whole epochs and by turns."""
    set_mode("ours", task.device, args.threads)
    steps, batch = min(task.epoch_steps, tuned(task, WAYS["ours"], args)[1]), task.recipe.batch_size
    engines = {factor: Clocked(task, factor * steps * batch) for factor in (1, 2, 4)}
    times: dict[tuple[int, int], list[float]] = {case: [] for case in [(1, 1), (2, 1), (4, 1), (1, 2), (1, 4)]}
    for _ in range(args.repeats):
        for (factor, epochs), values in times.items():
            values.append(sum(sum(engines[factor].clocked(factor * steps)) for _ in range(epochs)))
    print(f"\n{task.experiment.name}: ours")
    print(f"  {'images':>9}  epochs  {'seconds':>9}  {'(min – max)':21}  by proportion 1")
    for (factor, epochs), values in times.items():
        share = statistics.median(ratios(values, times[1, 1])) / (factor * epochs)
        print(f"  {factor * steps * batch:9}  {epochs:6}  {row(values, 3)}  {share:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", default=EXPERIMENTS, metavar="experiment")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each of the three (5)")
    parser.add_argument("--seconds", type=float, default=10, help="seconds per measurement, about (10)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads in the comparison of the three (2)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--linear", action="store_true", help="the cost of ours against images and epochs")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        raise Mistake("torch finds no GPU here: leave `--device cuda` out")
    if min(args.repeats, args.seconds, args.threads) <= 0:
        raise Mistake("--repeats, --seconds and --threads must be above 0")
    recipes()  # else the folder is another one, and the names no mistake
    experiments = [read_experiment(name) for name in args.experiments]  # all of them, before any work
    if any(one.scale != "full" for one in experiments):
        raise Mistake(
            "recipes/ holds the miniature: set `scale: full` in params.yaml and run `dvc repro recipes` first"
        )
    device = torch.device(args.device)
    args.cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    set_mode("bare", device, args.threads)
    print(f"{machine(device, args.cores)}; on {device}, {args.threads} threads, torch {torch.__version__}")
    peaks = {name: matmul_peak(devices.DTYPES[name], device) for name in precisions(device)}
    print("matrix products: " + ", ".join(f"{name} {peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items()))
    held = {}
    for experiment in experiments:
        with tempfile.TemporaryDirectory() as folder:
            task = prepared(experiment, device, Path(folder))
            one = linear(task, args) if args.linear else compare(task, args, max(peaks.values()))
        held[experiment.name] = one
        forget()
    if args.linear:
        return
    bars = {f"ours >= {bar} x {other}": other for other, bar in BARS.items()}
    if any("seeds" in one for one in held.values()):
        bars["seeds at once >= 1 x one run"] = "seeds"
    print(
        "\n"
        + "; ".join(verdict(bar, [n for n, one in held.items() if not one.get(key, True)]) for bar, key in bars.items())
    )


def verdict(bar: str, missed: list[str]) -> str:
    return f"{bar}: {'NO, not in ' + ', '.join(missed) if missed else 'yes'}"


if __name__ == "__main__":
    run(main)
