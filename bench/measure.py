"""What the benchmark does with each way to train: make it ready, tune it, and take its memory; what the machine's
matrix products reach; and how measurements are summed up.
"""

import argparse
import ctypes
import gc
import math
import platform
import resource
import statistics
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from task import Task
from ways import WAYS, Train, Way, now

from lineage.engine import device as devices

FEWEST = 8  # steps of one measurement
TRIAL = 4  # the fewest steps of a trial in tuning


def set_mode(way: str, device: torch.device, threads: int) -> None:
    """As ours is run, or as torch comes, without what makes it deterministic."""
    devices.prepare(device, threads)
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

    choices = way.choices(task, args.cores)
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


def built(task: Task, name: str, choice: object, threads: int) -> tuple[Train, float]:
    """Ready to measure, and the most bytes that it takes: on a GPU those that it holds there, else a process's."""
    way = WAYS[name]
    if task.device.type != "cuda":
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            memory = pool.submit(peak_memory, task, name, choice, threads).result()
        train = way.make(task, choice)
        train(1)
        return train, memory
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    train = way.make(task, choice)
    train(1)
    return train, torch.cuda.max_memory_allocated() - before


def forget() -> None:
    """Hand back what one experiment's memory was, which `keep_memory` keeps, so that the next begins as the first."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


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


def spread(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def ratios(over: list[float], under: list[float]) -> list[float]:
    """Repetition by repetition."""
    return [a / b for a, b in zip(over, under, strict=True)]


def row(values: list[float], digits: int) -> str:
    middle, low, high = (f"{value:.{digits}f}" for value in spread(values))
    return f"{middle:>9}  ({low:>8} – {high:>8})"
