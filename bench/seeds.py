"""Several seeds at once on a CPU, each in a process of its own, as train.py trains them."""

import time
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from queue import Empty

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
