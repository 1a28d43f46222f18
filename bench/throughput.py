"""throughput: how many images a second training goes through, beside the usual training loop and the bare network.

    python bench/throughput.py                                   # five experiments, half an hour or so on two cores
    python bench/throughput.py resnet-20-cifar10 --seconds 5     # one of them, minutes
    python bench/throughput.py resnet-20-cifar10 --linear        # cost against images and epochs instead

Three ways to train the same network with the same batch size, by turns, so that whatever else the machine does hits
all of them:

- usual: the loop of articles and well-known repositories: a torchvision data set, PIL transforms, a DataLoader,
  float32, `.item()` in every step. Tuned: the number of workers is the fastest here.
- bare: forward, backward and optimiser on one batch that stays where it is, in the fastest of float32 and bfloat16, of
  both memory layouts and, on a GPU, of eager and CUDA graph: what the hardware gives.
- ours: `lineage.engine` with the experiment's own recipe. Timed are the steps with all they do, and what an epoch
  does once (its plan, a copy of the weights) by its share of an epoch over the full training part. Not timed:
  validation, checkpoints.

A loader's wait for its first batch counts in full, though a whole epoch would spread it over more steps: that costs the
usual way a little where it has workers. Ours is deterministic, the others need not be. Memory is that of a process that
trains in one way only, without the workers of its loader, or what it holds on a GPU. All is made from data/sample:
speed does not depend on what the pictures show. Run it on an idle machine, in the top folder of the repository; it
needs Linux or macOS and 6 GB of memory.
"""

import argparse
import ctypes
import gc
import math
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

import usual

from lineage import archives, models, params, parts
from lineage.engine import augment, training
from lineage.engine.recipe import Recipe, read_experiment
from lineage.errors import Mistake, run

EXPERIMENTS = "vgg16-cifar100", "resnet-20-cifar10", "resnet-56-cifar10", "resnet34-signs", "alexnet-cats-vs-dogs"
BARS = {"bare": 0.95, "usual": 1.5}  # what ours should reach, as multiples of the others
# training images of the full sets; of any other, as many as its sample has
FULL = {"cifar10": 45_000, "cifar100": 45_000, "cats-vs-dogs": 20_000}
PIXELS = 2**28  # bytes that ours gathers its batches from at most: beyond any CPU's cache
FEWEST = 8  # steps of one measurement
TRIAL = 4  # the fewest steps of a trial in tuning
Train = Callable[[int], float]  # train for so many steps, and return the seconds that took


@dataclass(frozen=True)
class Task:
    """An experiment, with the training part of its data set's sample in place of the data set."""

    experiment: dict
    recipe: Recipe
    images: np.ndarray  # N×S×S×3, uint8, not larger than the network's input
    labels: np.ndarray
    device: torch.device
    folder: Path  # for what has to lie on disk

    @cached_property
    def scaling(self) -> tuple[Tensor, Tensor]:
        """The mean and the deviation of each channel that the recipe normalises by."""
        own = map(torch.from_numpy, parts.channel_statistics(self.images.transpose(0, 3, 1, 2)))
        fixed = augment.SCALINGS.get(self.recipe.scaling)
        return tuple(torch.full((3,), value) for value in fixed) if fixed else tuple(own)

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch over the full training part."""
        return self.recipe.steps(FULL.get(self.experiment["dataset"], len(self.labels)))[1]

    def network(self, layout: str = "NCHW") -> nn.Module:
        torch.manual_seed(0)
        one, size = self.experiment, self.recipe.input_size
        network = models.build(one["model"], one["classes"], size, one["network"])
        return network.to(self.device, memory_format=augment.LAYOUTS[layout])

    def resident(self, images: int, pad: int = 0) -> augment.Images:
        """So many images on the device, as ours holds them."""
        which = np.arange(images) % len(self.images)
        pixels = torch.from_numpy(self.images[which]).permute(0, 3, 1, 2)
        labels = torch.from_numpy(self.labels[which])
        return augment.Images(
            pixels, labels, *self.scaling, self.recipe.input_size, self.device, pad, self.recipe.layout
        )


def prepared(experiment: dict, device: torch.device, folder: Path) -> Task:
    recipe, dataset = Recipe(**experiment["recipe"]), params.read(Path("params.yaml")).datasets[experiment["dataset"]]
    archive, size = Path("data/sample", dataset.sample.name), dataset.image_size
    arrays = archives.read(dataset.sample.format, [archive], list(dataset.classes), size)[0]
    images, labels = (arrays[key][arrays["part"] == 0] for key in ("images", "labels"))
    if recipe.input_size < size:  # once, for all three
        small = augment.shrink(torch.from_numpy(images).permute(0, 3, 1, 2), recipe.input_size)
        images = small.permute(0, 2, 3, 1).contiguous().numpy()
    return Task(experiment, recipe, images, labels, device, folder)


def now(device: torch.device) -> float:
    """The time at which the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def conventional(task: Task, workers: int) -> Train:
    """An epoch of as many steps as are asked for. Its workers outlive it, so that only the first waits for them."""
    data = usual.SETS.get(task.experiment["dataset"], usual.InMemory)(task)
    network, sampler = task.network(), usual.Shuffled(len(data))
    optimiser = usual.OPTIMISERS[task.recipe.optimiser](network.parameters(), task.recipe)
    loader = DataLoader(
        data,
        batch_size=task.recipe.batch_size,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=task.device.type == "cuda",
    )

    def train(steps: int) -> float:
        sampler.length = steps * task.recipe.batch_size
        began = now(task.device)
        usual.epoch(network, loader, optimiser, task.device)
        return now(task.device) - began

    return train


# --- the bare network


def bare(task: Task, option: tuple[str, str, bool]) -> Train:
    """Forward, backward and the fused optimiser on one batch."""
    (precision, layout, graph), recipe = option, task.recipe
    network, batch = task.network(layout).train(), task.resident(recipe.batch_size)
    inputs = batch.plain(0, len(batch)).contiguous(memory_format=augment.LAYOUTS[layout])
    groups = [{"params": list(network.parameters()), "weight_decay": recipe.weight_decay}]
    optimiser = training.OPTIMISERS[recipe.optimiser](groups, torch.tensor(recipe.lr, device=task.device), recipe)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with training.autocast(task.device, precision):
            outputs = network(inputs)
        F.cross_entropy(outputs.float(), batch.labels).backward()
        optimiser.step()

    replay = captured(step, optimiser) if graph else step

    def train(steps: int) -> float:
        began = now(task.device)
        for _ in range(steps):
            replay()
        return now(task.device) - began

    return train


def captured(step: Callable[[], None], optimiser: torch.optim.Optimizer) -> Callable[[], None]:
    """The step as a CUDA graph, after three rehearsals on a stream of their own."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    optimiser.zero_grad(set_to_none=True)  # the graph's gradients lie in its own memory
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


# --- ours


class Clocked(training.Training):
    """The engine as it is, but with a clock, epochs of any length, and no validation."""

    def __init__(self, task: Task, images: int) -> None:
        endless = task.recipe.model_copy(update={"epochs": 10**6, "iterations": None})
        pixels, val = task.resident(images, task.recipe.shift), task.resident(1)
        super().__init__(task.network(task.recipe.layout), pixels, val, endless, seed=0)
        self.clocked(1)  # on CUDA, this captures the step
        step, self._first = self._replay or self._step, 0.0

        def stamped() -> None:
            self._first = self._first or now(task.device)
            step()

        self._replay = stamped

    def clocked(self, steps: int) -> tuple[float, float]:
        """Train an epoch of so many steps: the seconds before the first of them, and from there to the end."""
        self.per_epoch, self._first, began = steps, 0.0, now(self._lr.device)
        self.epoch()
        return self._first - began, now(self._lr.device) - self._first

    def _validate(self) -> tuple[float, float]:
        return 0.0, 0.0


def ours(task: Task, _: str) -> Train:
    """Epochs over as much of the training part as `PIXELS` allows; what they do once counts by its share."""
    image = 3 * (task.images.shape[1] + 2 * task.recipe.shift) ** 2
    most = max(1, min(task.epoch_steps, PIXELS // (image * task.recipe.batch_size)))
    engine = Clocked(task, most * task.recipe.batch_size)

    def train(steps: int) -> float:
        epochs = [min(most, steps - done) for done in range(0, steps, most)]
        times = [engine.clocked(length) for length in epochs]
        return sum(rest + once * n / task.epoch_steps for n, (once, rest) in zip(epochs, times, strict=True))

    return train


# --- measuring


class Way(NamedTuple):
    """One of the three ways to train."""

    make: Callable[[Task, Any], Train]
    choices: Callable[[torch.device, int], list]  # by the device and the number of cores
    name: Callable[[Any], str]  # of a choice


def bare_choices(device: torch.device, _: int) -> list[tuple[str, str, bool]]:
    return list(product(training.DTYPES, augment.LAYOUTS, [False, True] if device.type == "cuda" else [False]))


WAYS = {
    "usual": Way(conventional, lambda _, cores: [0, *(2**i for i in range(cores.bit_length()))], "{} workers".format),
    "bare": Way(bare, bare_choices, lambda choice: f"{choice[0]} {choice[1]}{', CUDA graph' * choice[2]}"),
    "ours": Way(ours, lambda *_: ["its recipe"], str),
}


def set_mode(way: str, device: torch.device, threads: int) -> None:
    """As ours is run, or as torch comes, without what makes it deterministic."""
    training.prepare(device, threads)
    if way != "ours":
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = True


def pace(train: Train, seconds: float) -> float:
    """Steps a second, in a trial of so many seconds or a few steps, after a step to warm up."""
    train(1)
    steps = TRIAL
    while (took := train(steps)) < seconds:
        steps *= 2
    return steps / took


def tuned(task: Task, way: Way, args: argparse.Namespace) -> tuple[Any, int]:
    """The choice that is fastest in short trials, and how many steps it makes in one measurement. Those close to the
    fastest are tried again, because a trial may meet with whatever else the machine does.
    """

    def trial(choice: object) -> float:
        found = pace(way.make(task, choice), args.seconds / 4)
        gc.collect()  # its workers, and its memory on the device
        return found

    choices = way.choices(task.device, args.cores)
    paces = [trial(choice) for choice in choices]
    close = 0.8 * max(paces) if len(choices) > 1 else math.inf
    paces = [
        max(found, trial(choice)) if found > close else found for choice, found in zip(choices, paces, strict=True)
    ]
    return choices[int(np.argmax(paces))], max(FEWEST, round(max(paces) * args.seconds))


def peak_memory(task: Task, way: str, choice: object, threads: int) -> float:
    """The most bytes that a process has held which does nothing but train this way, its loader's workers aside."""
    set_mode(way, task.device, threads)
    WAYS[way].make(task, choice)(2)
    status = Path("/proc/self/status")  # because Linux hands ru_maxrss on from a parent
    if status.exists():
        (kibibytes,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(kibibytes)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def built(task: Task, name: str, choice: object, threads: int) -> tuple[Train, str]:
    """Ready to measure, and the most memory that it takes: on a GPU what it holds there, else a process's."""
    way = WAYS[name]
    if task.device.type != "cuda":
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            memory = pool.submit(peak_memory, task, name, choice, threads).result()
        train = way.make(task, choice)
        train(1)
        return train, f", {memory / 2**20:.0f} MiB"
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    train = way.make(task, choice)
    train(1)
    return train, f", {(torch.cuda.max_memory_allocated() - before) / 2**20:.0f} MiB on the GPU"


def forget() -> None:
    """Hand back what one experiment's memory was, which `keep_memory` keeps, so that the next begins as the first."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def spread(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def ratios(over: list[float], under: list[float]) -> list[float]:
    """Repetition by repetition."""
    return [a / b for a, b in zip(over, under, strict=True)]


def compare(task: Task, args: argparse.Namespace, peak: float) -> dict[str, bool]:
    """Measure the three by turns and print their table. Returns which bars hold."""
    trains, steps, notes = {}, {}, {}
    for name, way in WAYS.items():
        set_mode(name, task.device, args.threads)
        choice, steps[name] = tuned(task, way, args)
        trains[name], memory = built(task, name, choice, args.threads)
        notes[name] = way.name(choice) + memory
    batch, size, rates = task.recipe.batch_size, task.recipe.input_size, {name: [] for name in WAYS}
    for _ in range(args.repeats):
        for name, train in trains.items():
            set_mode(name, task.device, args.threads)
            rates[name].append(steps[name] * batch / train(steps[name]))
    work = 6 * models.size(task.network(), size)["multiply_adds"]  # FLOP: three passes, two per multiply-add
    print(f"\n{task.experiment['experiment']}: batches of {batch}×3×{size}×{size}, {work / 1e9:.3g} GFLOP an image")
    print(f"  {'':10} {'images/s':>9}  {'(min – max)':21}  of peak  steps  with")
    for name, values in rates.items():
        share = statistics.median(values) * work / peak
        print(f"  {name:10} {row(values, 1)}  {share:7.1%}  {steps[name]:5}  {notes[name]}")
    against = {other: ratios(rates["ours"], rates[other]) for other in BARS}
    for other, values in against.items():
        print(f"  {'ours/' + other:10} {row(values, 3)}")
    return {other: statistics.median(values) >= BARS[other] for other, values in against.items()}


def row(values: list[float], digits: int) -> str:
    middle, low, high = (f"{value:.{digits}f}" for value in spread(values))
    return f"{middle:>9}  ({low:>8} – {high:>8})"


def linear(task: Task, args: argparse.Namespace) -> None:
    """Print what ours takes for 1, 2 and 4 times the images or the epochs, whole epochs and by turns."""
    set_mode("ours", task.device, args.threads)
    steps, batch = min(task.epoch_steps, tuned(task, WAYS["ours"], args)[1]), task.recipe.batch_size
    engines = {factor: Clocked(task, factor * steps * batch) for factor in (1, 2, 4)}
    times: dict[tuple[int, int], list[float]] = {case: [] for case in [(1, 1), (2, 1), (4, 1), (1, 2), (1, 4)]}
    for _ in range(args.repeats):
        for (factor, epochs), values in times.items():
            values.append(sum(sum(engines[factor].clocked(factor * steps)) for _ in range(epochs)))
    print(f"\n{task.experiment['experiment']}: ours")
    print(f"  {'images':>9}  epochs  {'seconds':>9}  {'(min – max)':21}  by proportion 1")
    for (factor, epochs), values in times.items():
        share = statistics.median(ratios(values, times[1, 1])) / (factor * epochs)
        print(f"  {factor * steps * batch:9}  {epochs:6}  {row(values, 3)}  {share:.3f}")


def matmul_peak(dtype: torch.dtype, device: torch.device) -> float:
    """The most FLOP a second in products of square matrices, which grow until one takes a tenth of a second."""
    best, side, took = 0.0, 256, 0.0
    while took < 0.1 and side < 16384:
        side *= 2
        a, b = torch.randn(2, side, side, device=device).to(dtype)
        times: list[float] = []
        while len(times) < 4 or sum(times) < 0.2:
            began = now(device)
            a @ b
            times.append(now(device) - began)
        took = min(times)
        best = max(best, 2 * side**3 / took)
    return best


def machine(device: torch.device, cores: int) -> str:
    """Its processors, by name where the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")] or [platform.processor()]
    return f"{names[0]}, {cores} cores{f', {torch.cuda.get_device_name()}' if device.type == 'cuda' else ''}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", default=EXPERIMENTS, metavar="experiment")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each of the three (5)")
    parser.add_argument("--seconds", type=float, default=10, help="of one measurement, about (10)")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU (2, as the recipes have it)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--linear", action="store_true", help="the cost of ours against images and epochs")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        raise Mistake("torch finds no GPU here: leave `--device cuda` out")
    if min(args.repeats, args.seconds, args.threads) <= 0:
        raise Mistake("--repeats, --seconds and --threads want numbers above 0")
    experiments = [read_experiment(name) for name in args.experiments]  # all of them, before any work
    device = torch.device(args.device)
    args.cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    set_mode("bare", device, args.threads)
    print(f"{machine(device, args.cores)}; on {device}, {args.threads} threads, torch {torch.__version__}")
    peaks = {name: matmul_peak(dtype, device) for name, dtype in training.DTYPES.items()}
    print("matrix products: " + ", ".join(f"{name} {peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items()))
    held = {}
    for experiment in experiments:
        with tempfile.TemporaryDirectory() as folder:
            task = prepared(experiment, device, Path(folder))
            one = linear(task, args) if args.linear else compare(task, args, max(peaks.values()))
        held[experiment["experiment"]] = one
        forget()
    if not args.linear:
        print(
            "\n" + "; ".join(verdict(other, [name for name, bars in held.items() if not bars[other]]) for other in BARS)
        )


def verdict(other: str, missed: list[str]) -> str:
    return f"ours >= {BARS[other]} x {other}: {'NO, not in ' + ', '.join(missed) if missed else 'yes'}"


if __name__ == "__main__":
    run(main)
