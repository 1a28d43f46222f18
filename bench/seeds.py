"""Several seeds at once on a CPU, each in a process of its own, as train.py trains them."""

import argparse
import statistics
import time
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from queue import Empty

import psutil
from measure import ratios, row
from task import Task
from ways import ours

from lineage.engine import device
from lineage.errors import Failure


def one_of_several(task: Task, threads: int, seconds: float, ready: Barrier, through: Event, speeds: Queue) -> None:
    """In a process of its own: train for about so many seconds from when all are ready, and put images per second
    into `speeds`. Goes on until all are through, so that none is measured on a machine that has fallen idle.
    """
    device.prepare(task.device, threads)
    train = ours(task, "")
    steps = max(1, round(seconds / 4 / train(1)))
    ready.wait()
    began, done, took = time.perf_counter(), 0, 0.0
    while time.perf_counter() - began < seconds:
        took += train(steps)
        done += steps
    speeds.put(done * task.recipe.batch_size / took)
    while not through.is_set():
        train(1)


def together(task: Task, processes: int, threads: int, seconds: float) -> float:
    """Images per second of so many processes at once, each with so many threads. Raises `Failure`."""
    context = get_context("spawn")
    ready, through, speeds = context.Barrier(processes), context.Event(), context.Queue()
    about = task, threads, seconds, ready, through, speeds
    running = [context.Process(target=one_of_several, args=about) for _ in range(processes)]
    try:
        for one in running:
            one.start()
        found: list[float] = []
        while len(found) < processes:
            try:
                found.append(speeds.get(timeout=1))
            except Empty:
                if codes := [one.exitcode for one in running if one.exitcode]:  # the others wait for it
                    raise Failure(
                        f"{processes} seeds at once: a process ended with exit code {codes[0]}, memory may be short"
                    ) from None
        through.set()
        for one in running:
            one.join()
    finally:
        for one in running:
            if one.is_alive():
                one.kill()
    return sum(found)


def side_by_side(task: Task, args: argparse.Namespace, memory: float) -> bool | None:
    """Print the speed of 1, 2 and more seeds at once, as far as cores and free memory reach, and of one run with as
    many threads as the most of them have together. Returns whether the most are at least as fast as that run; None
    where no two seeds fit.
    """
    threads = task.recipe.threads
    most = min(args.cores // threads, int(psutil.virtual_memory().available // memory))
    if most < 2:
        print(f"  no two seeds at once: {args.cores} cores, {threads} threads and {memory / 2**20:.0f} MiB a seed")
        return None
    one_run = f"{most * threads} threads"
    cases = {one_run: (1, most * threads)} | {seeds_named(n): (n, threads) for n in range(1, most + 1)}
    rates: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(args.repeats):
        for case, (processes, of_each) in cases.items():
            rates[case].append(together(task, processes, of_each, args.seconds))
    for case, values in rates.items():
        print(f"  {case:10} {row(values, 1)}{'  one run' if case == one_run else ''}")
    against = ratios(rates[seeds_named(most)], rates[one_run])
    print(f"  {'seeds/run':10} {row(against, 3)}")
    return statistics.median(against) >= 1


def seeds_named(count: int) -> str:
    return f"{count} seed{'s' * (count > 1)}"
