import errno
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lineage import parallel
from lineage.engine import tensors
from lineage.engine.experiment import Experiment
from lineage.errors import Failure, Mistake
from lineage.parallel import memory, seeds_at_once, side_by_side

CPU, GB = torch.device("cpu"), 1e9


def experiment(model="lenet", options=(), **recipe):
    values = {"epochs": 1, "seeds": 3, "batch_size": 128, "lr": 0.1, "schedule": "constant", "input_size": 32} | recipe
    about = {"name": "mine", "scale": "full", "dataset": "grey", "classes": 10, "model": model}
    return Experiment.model_validate(about | {"network": dict(options), "recipe": values})


@pytest.fixture
def machine(workspace, monkeypatch):
    """Sets cores and free memory."""
    monkeypatch.delenv("SEEDS_AT_ONCE", raising=False)
    for part in ("train", "val"):
        path = tensors.path("grey", part)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1000))

    def has(cores, free):
        monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
        monkeypatch.setattr(parallel.psutil, "virtual_memory", lambda: SimpleNamespace(available=int(free)))

    return has


@pytest.mark.parametrize(
    ("cores", "threads", "free", "expected"),
    [
        (1, 1, 64 * GB, 1),
        (2, 1, 64 * GB, 2),
        (2, 2, 64 * GB, 1),
        (16, 1, 64 * GB, 3),
        (16, 8, 64 * GB, 2),
        (4, 8, 64 * GB, 1),
        (16, 1, 1.6 * GB, 2),
        (16, 1, 0.1 * GB, 1),
    ],
)
def test_as_many_seeds_at_once_as_cores_and_memory_allow(machine, cores, threads, free, expected):
    machine(cores, free)
    assert seeds_at_once(experiment(threads=threads), CPU) == expected


def test_one_seed_is_one_at_a_time_whatever_it_needs(machine, monkeypatch):
    machine(16, 64 * GB)
    monkeypatch.setattr(parallel, "memory", None)
    assert seeds_at_once(experiment(seeds=1), CPU) == 1


def test_a_variable_sets_the_number_and_a_gpu_has_one(machine, monkeypatch):
    machine(2, 64 * GB)
    gpu = torch.device("cuda")
    assert seeds_at_once(experiment(), gpu) == 1
    for text, expected in (("1", 1), ("2", 2), ("9", 3)):
        monkeypatch.setenv("SEEDS_AT_ONCE", text)
        assert seeds_at_once(experiment(), gpu) == seeds_at_once(experiment(), CPU) == expected
    for text in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("SEEDS_AT_ONCE", text)
        with pytest.raises(Mistake, match="SEEDS_AT_ONCE should be a number above 0"):
            seeds_at_once(experiment(), CPU)


@pytest.mark.parametrize(
    ("model", "options", "batch_size", "input_size", "measured"),  # on two cores, by the process's largest size
    [
        ("lenet", {}, 128, 32, 0.68),
        ("resnet", {"depth": 20, "shortcut": "identity"}, 256, 32, 1.36),
        ("resnet", {"depth": 34, "shortcut": "projection", "stem": "imagenet"}, 128, 64, 1.66),
        ("alexnet", {"normalisation": "batch"}, 128, 224, 3.66),
        ("vgg", {"depth": 16, "head": "mean", "dropout": 0}, 256, 64, 5.55),
    ],
)
def test_a_seed_never_takes_more_memory_than_estimated(machine, model, options, batch_size, input_size, measured):
    estimate = memory(experiment(model, options, batch_size=batch_size, input_size=input_size)) / GB
    assert measured < estimate < 1.35 * measured


def test_the_memory_of_batches_of_one_image(machine):
    """Which batch norm refuses, where a layer has one pixel: that is for `train` to say."""
    one, two = (memory(experiment("vgg", {"depth": 11}, batch_size=size)) for size in (1, 2))
    assert one == two


class Log:
    """Keeps what it is told."""

    def __init__(self):
        self.lines = []

    def say(self, *values):
        self.lines.append(values)


def wait_for(path):
    until = time.monotonic() + 30
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.02)


def short(seed, progress):
    """The first two, where they run at once, wait for each other."""
    progress.say("begin", seed, os.getpid())
    Path(f"begun-{seed}").touch()
    if Path("two").exists() and seed < 3:
        wait_for(Path(f"begun-{2 - seed}"))
    time.sleep(0.2)
    progress.say("end", seed, os.getpid())


@pytest.mark.parametrize("at_once", [1, 2])
def test_every_seed_once_and_so_many_at_once(workspace, at_once):
    log = Log()
    if at_once == 2:
        Path("two").touch()
    side_by_side(short, [0, 2, 3], at_once, log)
    running = most = 0
    for what, _, _ in log.lines:
        running += 1 if what == "begin" else -1
        most = max(most, running)
    assert most == at_once and running == 0
    for seed in (0, 2, 3):
        assert [(what, of) for what, of, _ in log.lines if of == seed] == [("begin", seed), ("end", seed)]
    assert len({process for _, _, process in log.lines}) == (1 if at_once == 1 else 3)
    assert (os.getpid() in {process for _, _, process in log.lines}) == (at_once == 1)


def fails(seed, progress):
    progress.say(seed, os.getpid())
    Path(f"begun-{seed}").touch()
    if seed == 1:
        wait_for(Path("begun-0"))
        faults = {"disk": OSError(errno.ENOSPC, "No space left on device", "models/x")}
        faults |= {"gpu": torch.OutOfMemoryError("CUDA out of memory")}
        raise faults[Path("fault").read_text()]
    for _ in range(600):
        progress.say(seed, os.getpid())
        time.sleep(0.1)


@pytest.mark.parametrize(("fault", "kind"), [("disk", OSError), ("gpu", torch.OutOfMemoryError)])
def test_what_a_seed_raises_is_raised_here_and_the_others_are_stopped(workspace, fault, kind):
    Path("fault").write_text(fault)
    log = Log()
    with pytest.raises(kind) as error:
        side_by_side(fails, [0, 1, 2], 2, log)
    assert getattr(error.value, "filename", "models/x") == "models/x"
    assert "in the process of seed 1" in error.value.__notes__[0] and "raise faults" in error.value.__notes__[0]
    assert {0, 1} <= {seed for seed, _ in log.lines}
    for process in {process for _, process in log.lines}:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def dies(seed, progress):
    progress.say(seed)
    if seed == 1:
        os.kill(os.getpid(), signal.SIGSEGV) if Path("signal").exists() else os._exit(3)
    time.sleep(120)


@pytest.mark.parametrize("by_signal", [True, False])
def test_a_process_that_dies_is_a_failure(workspace, by_signal):
    said = "ended with exit code 3"
    if by_signal:
        Path("signal").touch()
        said = "was ended by SIGSEGV; the same"
    began = time.monotonic()
    with pytest.raises(Failure, match=f"the process of seed 1 {said}"):
        side_by_side(dies, [0, 1], 2, Log())
    assert time.monotonic() - began < 50  # the other one, which sleeps for longer, was stopped


def test_the_memory_of_images_that_are_missing_is_a_mistake(workspace):
    about = {"name": "mine", "scale": "full", "dataset": "nowhere", "classes": 3, "model": "resnet"}
    recipe = {"epochs": 1, "batch_size": 4, "lr": 0.1, "schedule": "constant", "input_size": 16}
    with pytest.raises(Mistake, match="run `dvc repro preprocess@nowhere` first"):
        memory(Experiment(**about, network={"depth": 8, "shortcut": "none"}, recipe=recipe))
