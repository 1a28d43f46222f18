"""The benchmark's arithmetic, and that each of its three ways does what its name says. No speed is judged here."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import REPOSITORY, folders_zip, one_line, parameters, sha256, write_parameters
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms

from lineage import models
from lineage.engine import device, training
from lineage.engine.experiment import Experiment
from lineage.errors import Failure, Mistake

sys.path.append(str(REPOSITORY / "bench"))
import measure
import seeds
import task as tasks
import throughput
import usual
import ways

CPU = torch.device("cpu")
# a network and batches that take milliseconds
RESNET = {"model": "resnet", "network": {"depth": 8, "shortcut": "identity"}}
RECIPE = {"epochs": 2, "batch_size": 8, "lr": 0.05, "schedule": "constant", "shift": 4, "flip": True, "input_size": 32}
CHOICES = {"usual": 0, "bare": ("fp32", "NHWC", False), "ours": "its recipe"}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    device.prepare(CPU, 1)
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.fixture
def task(workspace):
    """A small task on a data set's sample, in a folder as the benchmark finds it."""
    for name in ("params.yaml", "experiments.yaml", "data"):
        (workspace / name).symlink_to(REPOSITORY / name)
    for name in ("pictures", "recipes/experiments"):
        (workspace / name).mkdir(parents=True)

    def make(dataset="cifar10", classes=10, **recipe):
        about = {"name": "small", "scale": "full", "dataset": dataset, "classes": classes}
        experiment = Experiment(**about, **RESNET, recipe=RECIPE | recipe)
        (workspace / "recipes/experiments/small.json").write_text(json.dumps(experiment.changes()))
        return tasks.prepared(experiment, CPU, workspace / "pictures")

    return make


def bench(*arguments):
    """As a user runs it, in the current folder."""
    command = [sys.executable, REPOSITORY / "bench/throughput.py", *arguments, "--threads", "1", "--repeats", "1"]
    return subprocess.run([*command, "--device", "cpu"], capture_output=True, text=True, timeout=500)


def first_numbers(text):
    """The table's rows: the first word and the first number."""
    rows = [line.split() for line in text.splitlines() if line.startswith("  ") and " – " in line]
    return {row[0]: float(row[1]) for row in rows if row[0][0].isalpha() and row[0] != "images/s"}


def augmentation(small, from_disk=False):
    return usual.augmentation(small.recipe, small.images.shape[1], small.scaling, from_disk)


def in_memory(small):
    return usual.InMemory(small.images, small.labels, augmentation(small), small.folder)


@pytest.mark.slow
def test_it_prints_three_rates_two_ratios_and_a_verdict(task):
    task()
    result = bench("small", "--seconds", "0.01")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.strip().splitlines()
    assert "cores; on cpu, 1 threads, torch 2." in lines[0]
    assert all(f"{name} " in lines[1] for name in ways.precisions(CPU))
    assert any(line.startswith("  ours in ") for line in lines)
    values = first_numbers(result.stdout)
    assert list(values)[:5] == ["usual", "bare", "ours", "ours/bare", "ours/usual"]
    assert values["ours/bare"] == pytest.approx(values["ours"] / values["bare"], rel=0.01)
    assert values["ours/usual"] == pytest.approx(values["ours"] / values["usual"], rel=0.01)
    memory = [float(line.split()[-2]) for line in lines if line.endswith(" MiB")]
    assert len(memory) == 3 and all(100 < one < 8000 for one in memory)
    assert lines[-1].startswith("ours >= 0.95 x bare: ") and "; ours >= 1.5 x usual: " in lines[-1]
    assert ("seeds/run" in values) == (len(os.sched_getaffinity(0)) > 1)
    if "seeds/run" in values:  # not on a single core
        words = [line.split() for line in lines]
        several = {" ".join(row[:2]): float(row[2]) for row in words if row[1:2] in (["threads"], ["seed"], ["seeds"])}
        one_run, one, *_, most = several.values()
        assert list(several)[1:3] == ["1 seed", "2 seeds"] and one > 0
        assert values["seeds/run"] == pytest.approx(most / one_run, rel=0.05)
        assert "; seeds at once >= 1 x one run: " in lines[-1]


def test_linear_prints_five_times(task, capsys):
    throughput.linear(task(), SimpleNamespace(seconds=0.01, repeats=1, threads=1, cores=1))
    rows = [
        line.split() for line in capsys.readouterr().out.splitlines() if " – " in line and line.split()[0].isdigit()
    ]
    one, took = int(rows[0][0]), float(rows[0][2])
    assert [(int(row[0]) // one, int(row[1])) for row in rows] == [(1, 1), (2, 1), (4, 1), (1, 2), (1, 4)]
    for row in rows:
        times = int(row[0]) // one * int(row[1])
        assert float(row[-1]) == pytest.approx(float(row[2]) / took / times, rel=0.05)


def test_seeds_at_once_are_compared_with_one_run_of_as_many_threads(task, monkeypatch, capsys):
    asked, small = [], task(threads=2)

    def together(_, processes, threads, seconds):
        asked.append((processes, threads))
        return 10.0 * processes + threads

    monkeypatch.setattr(seeds, "together", together)
    args = SimpleNamespace(cores=7, repeats=2, seconds=1.0)
    assert seeds.side_by_side(small, args, 1.0) is True
    assert asked == [(1, 6), (1, 2), (2, 2), (3, 2)] * 2  # the seventh core is left over
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [" ".join(row[:2]) for row in rows[:-1]] == ["6 threads", "1 seed", "2 seeds", "3 seeds"]
    assert [float(row[2]) for row in rows[:-1]] == [16, 12, 22, 32]
    assert rows[-1][:2] == ["seeds/run", "2.000"]
    monkeypatch.setattr(seeds, "together", lambda _, processes, *__: 1.0 / processes)
    assert seeds.side_by_side(small, args, 1.0) is False


@pytest.mark.parametrize(("cores", "memory"), [(3, 1.0), (16, 1e15)], ids=["cores", "memory"])
def test_where_no_two_seeds_fit_there_is_no_verdict(task, capsys, cores, memory):
    assert seeds.side_by_side(task(threads=2), SimpleNamespace(cores=cores), memory) is None
    assert capsys.readouterr().out.startswith("  no two seeds at once: ")


@pytest.mark.slow
def test_seeds_train_in_processes_of_their_own(task):
    assert seeds.together(task(), 2, 1, 0.05) > 0


def test_a_seed_that_fails_ends_the_measurement(task, monkeypatch):
    ended = []

    class Process:
        """The first of two has died."""

        def __init__(self, target, args):
            self.exitcode = None if ended else 1
            ended.append(self)

        def start(self):
            self.alive = self.exitcode is None

        def is_alive(self):
            return self.alive

        def kill(self):
            self.alive = False

    real = seeds.get_context("spawn")
    fake = SimpleNamespace(Barrier=real.Barrier, Event=real.Event, Queue=real.Queue, Process=Process)
    monkeypatch.setattr(seeds, "get_context", lambda _: fake)
    with pytest.raises(Failure, match="2 seeds at once: a process ended with exit code 1"):
        seeds.together(task(), 2, 1, 0.05)
    assert not any(one.alive for one in ended)


def test_the_table_says_what_ours_does_otherwise_than_its_recipe(task, monkeypatch):
    monkeypatch.setattr(device, "precision_on", lambda _, wanted: wanted)
    assert throughput.about(task()) == ["ours in bf16"]
    monkeypatch.setattr(device, "precision_on", lambda *_: "fp32")
    assert throughput.about(task()) == ["ours in fp32: no bfloat16 in hardware here"]
    assert throughput.about(task(precision="fp32", input_size=64, grow={32: 0.5})) == [
        "ours in fp32",
        "the recipe grows from 32 pixels: all three are measured at its last size alone",
    ]


def test_the_bare_network_has_the_precision_of_the_recipe(task, monkeypatch):
    choices = ways.WAYS["bare"].choices
    on_a_gpu = dataclasses.replace(task(), device=torch.device("cuda"))
    monkeypatch.setattr(device, "precision_on", lambda _, wanted: wanted)
    assert choices(task(), 2) == [("bf16", "NHWC", False), ("bf16", "NCHW", False)]
    assert len(choices(on_a_gpu, 2)) == 4
    assert {precision for precision, *_ in choices(task(precision="fp32"), 2)} == {"fp32"}
    monkeypatch.setattr(device, "precision_on", lambda *_: "fp32")  # no bfloat16 in hardware
    assert {precision for precision, *_ in choices(task(), 2)} == {"fp32"}


def test_an_unknown_experiment_is_one_line(task):
    assert "recipes/experiments is missing: run this in the top folder" in one_line(bench("small"), 2)
    task()
    assert "no such experiment" in one_line(bench("other"), 2)


def test_a_data_set_of_ones_own(task, workspace):
    """With a file that is no image, which is left out; then without its archive, and under another name."""
    for name in ("params.yaml", "experiments.yaml", "data"):
        (workspace / name).unlink()
    archive = Path("data/sample/mine.zip")
    archive.parent.mkdir(parents=True)
    pixels = np.full((40, 40, 3), 100, np.uint8)
    members = {f"{part}/{kind}/{i}.png": pixels for part in ("train", "test") for kind in "ab" for i in range(2)}
    folders_zip(archive, members | {"train/a/none.png": b"no image"})
    sample = {"format": "folders", "name": archive.name, "sha256": sha256(archive)}
    content = parameters() | {"experiments": {"mine": {"dataset": "mine", "model": "lenet", "recipe": "small"}}}
    content["datasets"] = {"mine": {"image_size": 40, "classes": "a b", "unreadable": "skip", "sample": sample}}
    write_parameters(content)
    assert len(task("mine", 2).images) == 4
    archive.unlink()
    with pytest.raises(Mistake, match=r"^data/sample/mine\.zip is missing: put it there; the benchmark reads no"):
        task("mine", 2)
    with pytest.raises(Mistake, match=r"^data/datasets\.yaml has no gone: run `dvc repro recipes` first$"):
        task("gone", 2)


def test_a_recipe_in_miniature_is_not_timed(task):
    task()
    path = Path("recipes/experiments/small.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scale": "sample"}))
    assert "recipes/ holds the miniature: set `scale: full`" in one_line(bench("small"), 2)


def test_ratios_are_taken_repetition_by_repetition():
    # the second repetition hit a busy machine, and both alike
    ours, bare = [99.0, 48.0, 110.0], [100.0, 50.0, 100.0]
    assert measure.ratios(ours, bare) == pytest.approx([0.99, 0.96, 1.1])
    assert measure.spread(measure.ratios(ours, bare)) == pytest.approx((0.99, 0.96, 1.1))
    assert throughput.verdict("ours >= 1", []) == "ours >= 1: yes"
    assert throughput.verdict("ours >= 1", ["a", "b"]) == "ours >= 1: NO, not in a, b"


def test_the_usual_loop_learns(task):
    small = task(shift=0, flip=False)
    data, network = torch.utils.data.Subset(in_memory(small), range(0, 1000, 25)), small.network()
    optimiser = usual.OPTIMISERS["sgd"](network.parameters(), small.recipe)
    loader = DataLoader(data, 8, shuffle=True)
    epochs = [usual.epoch(network, loader, optimiser, CPU) for _ in range(12)]
    assert epochs[0][0] > 1.5
    assert epochs[-1][0] < epochs[0][0] / 2
    assert epochs[-1][1] > 0.7


@pytest.mark.parametrize("scaling", ["standard", "symmetric", "unit"])
@pytest.mark.parametrize(("dataset", "classes", "size"), [("cifar10", 10, 32), ("signs", 6, 64), ("signs", 6, 32)])
def test_the_usual_loop_sees_what_ours_sees(task, scaling, dataset, classes, size):
    small = task(dataset, classes, shift=0, flip=False, scaling=scaling, input_size=size)
    plain = small.resident(20).plain(0, 20)
    data = in_memory(small)
    assert torch.stack([data[i][0] for i in range(20)]).sub(plain).abs().max() < 1e-5
    assert [data[i][1] for i in range(20)] == small.resident(20).labels.tolist()


def test_the_usual_augmentation_is_the_recipes(task):
    crop, flip, *_ = augmentation(task()).transforms
    assert (crop.size, crop.padding) == ((32, 32), 4) and isinstance(flip, transforms.RandomHorizontalFlip)
    turn, flip, *_ = augmentation(task("signs", 6, shift=8, rotate=15, zoom=0.15, input_size=64)).transforms
    assert (turn.degrees, turn.translate, turn.scale) == ([-15, 15], (0.125, 0.125), (0.85, 1.15))
    larger = task(input_size=48)
    assert in_memory(larger)[0][0].shape == (3, 48, 48)


def test_photographs_are_read_from_disk(task):
    small = task("cats-vs-dogs", 2, shift=12, input_size=224)
    small = dataclasses.replace(small, images=small.images[::40], labels=small.labels[::40])
    data = usual.SETS["cats-vs-dogs"](small.images, small.labels, augmentation(small, True), small.folder)
    assert len(data) == 10 and sorted(set(data.targets)) == [0, 1]
    assert data[0][0].shape == (3, 224, 224)
    files = [path for path, _ in data.samples]
    assert {Image.open(path).size for path in files} == {(404, 360)}
    sizes = [(small.folder / path).stat().st_size for path in files]
    assert 20_000 < sum(sizes) / len(sizes) < 45_000


def test_all_three_train_the_same_network_on_the_same_batches(task, monkeypatch):
    small, build, seen = task(precision="fp32"), models.build, []

    def spy(*arguments):
        network = build(*arguments)
        before = {name: tensor.clone() for name, tensor in network.named_parameters()}
        seen.append((before, network, shapes := []))
        network.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
        return network

    monkeypatch.setattr(models, "build", spy)
    for name, way in ways.WAYS.items():
        assert CHOICES[name] in way.choices(small, 2)
        assert way.make(small, CHOICES[name])(3) > 0
    (first, *_), *_ = seen
    for before, network, shapes in seen:
        assert all(torch.equal(before[name], tensor) for name, tensor in first.items())
        assert all(not torch.equal(before[name], tensor) for name, tensor in network.named_parameters())
        assert set(shapes) == {(8, 3, 32, 32)}
    assert [len(shapes) for _, _, shapes in seen] == [3, 3, 4]  # ours with one more before the clock starts


def test_ours_is_the_engine_itself(task):
    small = task()
    clocked = ways.Clocked(small, 32)
    clocked.clocked(4)
    recipe = small.recipe.model_copy(update={"epochs": 10**6})
    engine = training.Training(small.network("NHWC"), small.resident(32, 4), small.resident(8), recipe, 0)
    engine.per_epoch = 1
    engine.epoch()
    engine.per_epoch = 4
    engine.epoch()
    assert clocked.history[1].train_loss == engine.history[1].train_loss
    weights = engine.weights()
    assert all(torch.equal(weights[name], tensor) for name, tensor in clocked.weights().items())


def test_what_an_epoch_does_once_counts_by_its_share(task, monkeypatch):
    lengths = []

    def clocked(steps):
        lengths.append(steps)
        return 10.0, 2.0 * steps

    small = task(batch_size=450)  # 100 steps an epoch
    monkeypatch.setattr(ways, "Clocked", lambda *_: SimpleNamespace(clocked=clocked))
    train = ways.ours(small, "its recipe")
    assert train(100) == 210
    assert train(20) == 42
    assert train(250) == 525
    assert lengths == [100, 20, 100, 100, 50]


def test_tuning_takes_the_fastest(task):
    speeds = {"slow": 0.02, "fast": 0.01, "slower": 0.04}
    way = ways.Way(lambda _, choice: lambda steps: steps * speeds[choice], lambda *_: list(speeds), str)
    args = SimpleNamespace(seconds=1.0, cores=2)
    assert measure.tuned(task(), way, args) == ("fast", 100)
    assert measure.tuned(task(), way, SimpleNamespace(seconds=0.001, cores=2)) == ("fast", measure.FEWEST)


def test_a_trial_that_was_disturbed_is_made_good(task):
    disturbed = iter([0.0115])

    def make(_, choice):
        step = next(disturbed, 0.01) if choice == "fast" else 0.011
        return lambda steps: steps * step

    way = ways.Way(make, lambda *_: ["fast", "other"], str)
    assert measure.tuned(task(), way, SimpleNamespace(seconds=1.0, cores=2)) == ("fast", 100)


def test_workers_are_tried_up_to_the_cores():
    tried = ways.WAYS["usual"].choices
    assert tried(CPU, 1) == [0, 1]
    assert tried(CPU, 2) == [0, 1, 2]
    assert tried(CPU, 16) == [0, 1, 2, 4, 8, 16]
