"""The three ways to train that the benchmark compares: the usual loop, the bare network, and ours.

Each is made for a task and a choice (of workers, or of precision and layout), and is then a function that trains for
so many steps and returns the seconds that they took.
"""

import time
from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import torch
import usual
from task import Task
from torch.nn import functional as F
from torch.utils.data import DataLoader

from lineage.engine import augment, device, optimisation, training

PIXELS = 2**28  # bytes that ours gathers its batches from at most: beyond any CPU's cache
Train = Callable[[int], float]  # train for so many steps, and return the seconds that took


def now(device: torch.device) -> float:
    """The time at which the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def conventional(task: Task, workers: int) -> Train:
    """An epoch of as many steps as are asked for. Its workers outlive it, so that only the first waits for them."""
    make = usual.SETS.get(task.experiment.dataset, usual.InMemory)
    from_disk = make is usual.on_disk
    transform = usual.augmentation(task.recipe, task.images.shape[1], task.scaling, from_disk)
    data = make(task.images, task.labels, transform, task.folder)
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


def bare(task: Task, option: tuple[str, str, bool]) -> Train:
    """Forward, backward and the fused optimiser on one batch."""
    (precision, layout, graph), recipe = option, task.recipe
    network, batch = task.network(layout).train(), task.resident(recipe.batch_size)
    inputs = batch.plain(0, len(batch)).contiguous(memory_format=augment.LAYOUTS[layout])
    groups = [{"params": list(network.parameters()), "weight_decay": recipe.weight_decay}]
    optimiser = optimisation.OPTIMISERS[recipe.optimiser](groups, torch.tensor(recipe.lr, device=task.device), recipe)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with device.autocast(task.device, precision):
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


class Clocked(training.Training):
    """The engine as it is, but with a clock, epochs of any length, and no validation."""

    def __init__(self, task: Task, images: int) -> None:
        endless = task.recipe.model_copy(update={"epochs": 10**6, "iterations": None, "grow": {}})
        pixels, val = task.resident(images, task.recipe.shift), task.resident(1)
        super().__init__(task.network(task.recipe.layout), pixels, val, endless, seed=0)
        self.clocked(1)  # on CUDA, this captures the step

    def clocked(self, steps: int) -> tuple[float, float]:
        """Train an epoch of so many steps: the seconds before the first of them, and from there to the end."""
        place = self.train.labels.device
        self.per_epoch, self._first, began = steps, 0.0, now(place)
        self.epoch()
        return self._first - began, now(place) - self._first

    def _prepared(self, size: int) -> Callable[[], None]:
        take = super()._prepared(size)

        def stamped() -> None:
            self._first = self._first or now(self.train.labels.device)
            take()

        return stamped

    def _validate(self) -> tuple[float, float]:
        return 0.0, 0.0


def ours(task: Task, _: str) -> Train:
    """Epochs over as much of the training split as `PIXELS` allows; what they do once counts by its share."""
    image = 3 * (task.images.shape[1] + 2 * task.recipe.shift) ** 2
    most = max(1, min(task.epoch_steps, PIXELS // (image * task.recipe.batch_size)))
    engine = Clocked(task, most * task.recipe.batch_size)

    def train(steps: int) -> float:
        epochs = [min(most, steps - done) for done in range(0, steps, most)]
        times = [engine.clocked(length) for length in epochs]
        return sum(rest + once * n / task.epoch_steps for n, (once, rest) in zip(epochs, times, strict=True))

    return train


class Way(NamedTuple):
    """One of the three ways to train."""

    make: Callable[[Task, Any], Train]
    choices: Callable[[Task, int], list]  # by the task and the number of cores
    name: Callable[[Any], str]  # of a choice


def precisions(place: torch.device) -> list[str]:
    """Those that the device has in hardware: autocast would turn the others into float32."""
    return [name for name in device.DTYPES if device.precision_on(place, name) == name]


def bare_choices(task: Task, _: int) -> list[tuple[str, str, bool]]:
    precision = device.precision_on(task.device, task.recipe.precision)
    return list(product([precision], augment.LAYOUTS, [False, True] if task.device.type == "cuda" else [False]))


WAYS = {
    "usual": Way(conventional, lambda _, cores: [0, *(2**i for i in range(cores.bit_length()))], "{} workers".format),
    "bare": Way(bare, bare_choices, lambda choice: f"{choice[0]} {choice[1]}{', CUDA graph' * choice[2]}"),
    "ours": Way(ours, lambda *_: ["its recipe"], str),
}
