"""The seeds of an experiment side by side: how many at once, and each in a process of its own.

A child process is given its task and its seed and nothing later, and only tells the parent what a person should see: so
how many there are at once changes no byte of a result. None outlives its parent: it ends where it would next say
something, and on Linux at once.
"""

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import psutil
import torch

from lineage.engine import tensors
from lineage.engine.experiment import Experiment
from lineage.errors import Failure, Mistake

Train = Callable[[int, Any], object]  # of a seed, and of what it tells its progress to


def seeds_at_once(experiment: Experiment, device: torch.device) -> int:
    """How many seeds to train at once: what the variable SEEDS_AT_ONCE says; or else, on a CPU, as many as its cores
    and its free memory allow, and on a GPU one. Raises `Mistake`.
    """
    seeds, wanted = experiment.recipe.seeds, os.environ.get("SEEDS_AT_ONCE", "")
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise Mistake(f"SEEDS_AT_ONCE should be a number above 0, not {wanted!r}")
        return min(seeds, int(wanted))
    if device.type != "cpu" or seeds == 1:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    fitting = psutil.virtual_memory().available // memory(experiment)
    return max(1, min(seeds, cores // experiment.recipe.threads, fitting))


def memory(experiment: Experiment) -> int:
    """Bytes that one seed takes on a CPU, estimated: without the images 4.2 GB for AlexNet at 224 pixels and batches of
    128, where 3.7 were measured; 1.6 GB for ResNet-20 at 32 pixels and batches of 256 (measured 1.4). Raises `Mistake`
    where the images have not been prepared.
    """
    recipe, kept = experiment.recipe, 0

    def note(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.device("meta"):  # where tensors have shapes, but no content
        network = experiment.build()
        # batch norm refuses a single image; `train` says so in a line of its own
        batch = torch.empty(max(2, recipe.batch_size), 3, recipe.input_size, recipe.input_size)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            network(batch)
    weights = sum(parameter.nbytes for parameter in network.parameters())
    images = sum(tensors.existing(experiment.dataset, part).stat().st_size for part in ("train", "val"))
    # torch; the images, and once more as they are read; weights, gradients, momentum, averages, and copies of them;
    # what the way forward keeps for the way back, and what lies between
    return 700_000_000 + 2 * images + 6 * weights + 3 * kept // 2


class Remote:
    """What stands for the parent's progress in a child: a method called here is called there, and returns nothing."""

    def __init__(self, parent: Connection) -> None:
        self._parent = parent

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *values: self._parent.send((name, values))


def side_by_side(train: Train, seeds: list[int], at_once: int, progress: object) -> None:
    """Call `train(seed, progress)` for every seed, so many at once. Where it is one at a time this process does it, or
    else processes of its own, in which `progress` is a `Remote`.

    Raises what the first seed raises that fails, or `Failure` where its process died; the others are stopped then.
    """
    if min(at_once, len(seeds)) <= 1:
        for seed in seeds:
            train(seed, progress)
        return
    waiting, running = list(seeds), {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                seed = waiting.pop(0)
                child, connection = _start(train, seed)
                running[connection] = seed, child
            for connection in wait(running):
                try:
                    name, values = connection.recv()
                except (EOFError, OSError):  # it has ended, perhaps in the middle of a word
                    _ended(*running[connection])
                    del running[connection]
                    continue
                if name == "raise":
                    raise values[0]
                getattr(progress, name)(*values)
    finally:
        for _, child in running.values():
            child.kill()
        for _, child in running.values():
            child.join()


def _start(train: Train, seed: int) -> tuple[BaseProcess, Connection]:
    """A process that trains one seed, and the connection by which it tells how it goes."""
    context = get_context("spawn")  # a copy of this process would have torch's threads no more
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(train, seed, theirs), name=f"seed {seed}")
    # Ctrl-C reaches every process of a terminal; the parent alone answers. What is blocked stays so in a child.
    resource_tracker.ensure_running()  # it would undo that
    signals = getattr(signal, "pthread_sigmask", lambda *_: None)  # not on Windows
    signals(getattr(signal, "SIG_BLOCK", 0), {signal.SIGINT})
    try:
        child.start()
    finally:
        signals(getattr(signal, "SIG_UNBLOCK", 0), {signal.SIGINT})
    theirs.close()
    return child, ours


def _child(train: Train, seed: int, parent: Connection) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: when the parent dies
    try:
        train(seed, Remote(parent))
    except BrokenPipeError:  # there is no parent
        os._exit(1)
    except BaseException as error:
        error.add_note(f"in the process of seed {seed}:\n{''.join(traceback.format_exception(error))}")
        parent.send(("raise", (error,)))


def _ended(seed: int, child: BaseProcess) -> None:
    child.join()
    if child.exitcode < 0:
        killed = signal.Signals(-child.exitcode).name
        hint = "; if memory was short, SEEDS_AT_ONCE=1 needs less" if killed == "SIGKILL" else ""
        raise Failure(f"the process of seed {seed} was ended by {killed}{hint}; the same command goes on")
    if child.exitcode:
        raise Failure(f"the process of seed {seed} ended with exit code {child.exitcode}; the same command goes on")
