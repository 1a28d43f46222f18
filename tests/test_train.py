import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from conftest import REPOSITORY, one_line, outputs

import train
from lineage import parts
from lineage.engine import checkpoint, tensors
from lineage.engine.experiment import read_experiment
from lineage.engine.recipe import Recipe
from lineage.errors import Failure, Mistake

AT_ONCE = ("1", "2", "3")
KEYS = ["series", "seed", "epoch", "lr", "train_loss", "train_error", "val_loss", "val_error", "scale"]


@pytest.fixture(autouse=True)
def one_seed_at_a_time(monkeypatch):
    """Unless a test says otherwise: processes take seconds to start. A checkpoint after every epoch."""
    monkeypatch.setenv("SEEDS_AT_ONCE", "1")
    monkeypatch.setenv("CHECKPOINT_SECONDS", "0")


def experiment(name="mine", scale="full", **recipe):
    """Write a tiny experiment's recipe and, once, the data: classes that differ in brightness."""
    values = {"epochs": 3, "batch_size": 16, "lr": 0.05, "schedule": "onecycle", "input_size": 16, "seeds": 2}
    content = {"name": name, "scale": scale, "dataset": "grey", "classes": 3}
    content |= {"model": "resnet", "network": {"depth": 8, "shortcut": "identity"}}
    content["recipe"] = values | {"precision": "fp32"} | recipe
    path = Path("recipes/experiments", f"{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    labels = {"classes": ["dark", "grey", "light"], "superclasses": ["low", "low", "high"], "pictures": True}
    Path("recipes/labels").mkdir(parents=True, exist_ok=True)
    Path("recipes/labels/grey.json").write_text(json.dumps(labels))
    generator = np.random.default_rng(0)
    for part, n in (("train", 96), ("val", 24), ("test", 30)):
        labels = np.arange(n) % 3
        images = generator.integers(0, 60, (n, 3, 16, 16)) + 90 * labels[:, None, None, None]
        arrays = {"images": images.astype(np.uint8), "labels": labels}
        if part == "train":
            arrays["mean"], arrays["std"] = parts.channel_statistics(arrays["images"])
        if part == "test":
            arrays["names"] = np.array([list(b"%03d.png" % i) for i in range(n)], np.uint8)
        tensors.save(Path("data/tensors/grey", f"{part}.safetensors"), arrays, ["dark", "grey", "light"])
    return content


def test_it_trains_every_seed_without_the_test_part_and_twice_alike(workspace, run_script, run_here):
    content = experiment()
    Path("data/tensors/grey/test.safetensors").unlink()
    result = run_script("train", "mine")
    assert result.returncode == 0, result.stderr
    history = pd.read_csv("plots/history/mine.csv")
    assert list(history) == KEYS
    assert (history.scale == "full").all()
    assert history.seed.tolist() == [0, 0, 0, 1, 1, 1]
    assert history.epoch.tolist() == [1, 2, 3] * 2
    metrics = json.loads(Path("metrics/validation/mine.json").read_text())
    last = history[history.epoch == 3]
    assert metrics["scale"] == "full"
    assert metrics["val_top1"] == pytest.approx(1 - last.val_error.mean(), abs=1e-5)
    for seed in range(2):
        _, about = checkpoint.load(Path(f"models/mine/seed-{seed}.safetensors"))
        assert about["seed"] == seed
        recipe = {key: value for key, value in content["recipe"].items() if key != "seeds"}
        assert about["experiment"]["recipe"] == recipe
        assert "seed" not in str(about["experiment"])
    first = outputs()
    assert len(first) == 4
    assert first["models/mine/seed-0.safetensors"] != first["models/mine/seed-1.safetensors"]
    shutil.rmtree("models")
    shutil.rmtree("runs")
    run_here("train", "mine")
    assert outputs() == first


@pytest.mark.slow
def test_how_many_seeds_train_at_once_changes_no_byte(workspace, run_here):
    experiment(seeds=3, epochs=2, ema=0.9)
    results = {}
    for number in AT_ONCE:
        said = run_here("train", "mine", SEEDS_AT_ONCE=number)
        assert said.returncode == 0, said.stderr
        seeds = "one seed at a time" if number == "1" else f"{number} seeds at once"
        first, *lines = said.stdout.splitlines()
        assert re.fullmatch(rf"training on (cpu, \w+|NVIDIA .*), {seeds} with 1 thread each", first)
        assert len({len(line) for line in lines[:-1]}) == 1 and len(lines) == 3 * 2 + 1
        results[number] = outputs()
        for folder in ("models", "plots", "metrics", "runs"):
            shutil.rmtree(folder)
    assert len(results["1"]) == 5
    assert results["1"] == results["2"] == results["3"]


@pytest.mark.parametrize("how", ["run_here", pytest.param("run_script", marks=pytest.mark.slow)])
def test_trained_seeds_stay_until_they_are_recorded(workspace, request, how):
    """`dvc` may die, or find the disk full, while it takes the outputs over."""
    run = request.getfixturevalue(how)
    experiment()
    assert "seed 1  epoch" in run("train", "mine").stdout
    whole = outputs()
    for folder in ("models", "plots", "metrics"):  # as DVC does before it runs a stage
        shutil.rmtree(folder)
    again = run("train", "mine")
    assert "seed 0: trained already" in again.stdout and "  epoch " not in again.stdout
    assert outputs() == whole
    history = Path("plots/history/mine.csv").read_bytes()
    Path("dvc.lock").write_text(f"md5: {hashlib.md5(history).hexdigest()}\n")
    forced = run("train", "mine").stdout
    assert "trained already" not in forced and "seed 1  epoch" in forced
    assert outputs() == whole
    Path("dvc.lock").unlink()
    experiment(seeds=3)  # a further seed needs no more than its own training
    more = run("train", "mine").stdout
    assert "seed 1: trained already" in more and "seed 1  epoch" not in more and "seed 2  epoch" in more
    assert whole["models/mine/seed-1.safetensors"] == outputs()["models/mine/seed-1.safetensors"]


@pytest.mark.slow
def test_a_second_run_beside_the_first_is_refused(workspace, run_here):
    """Where `dvc` itself was killed, its training goes on without it."""
    experiment(epochs=500)
    first = start("mine")
    after_epochs(first, 1)
    assert "runs/mine is in use" in one_line(run_here("train", "mine"), 2)
    first.kill()
    first.communicate()
    experiment(epochs=1)
    assert run_here("train", "mine").returncode == 0


def test_the_history_shows_the_learning_rate_in_use(workspace, run_here):
    experiment(lr=0.001, seeds=1)
    run_here("train", "mine")
    assert pd.read_csv("plots/history/mine.csv").lr.max() == 0.001


def test_one_line_per_epoch_where_there_is_no_terminal(workspace, run_here):
    experiment(seeds=1)
    result = run_here("train", "mine")
    lines = [line for line in result.stdout.splitlines() if line.startswith("seed 0  epoch")]
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert result.stderr == ""
    assert "at scale full" in result.stdout.splitlines()[-1]


@pytest.mark.parametrize(("precision", "native"), [("bf16", False), ("bf16", True), ("fp32", False)])
def test_it_says_where_bfloat16_becomes_float32(monkeypatch, capsys, precision, native):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: native)
    recipe = {"epochs": 1, "batch_size": 1, "lr": 0.1, "schedule": "constant", "input_size": 8, "threads": 2}
    train.announce(torch.device("cpu"), Recipe(precision=precision, **recipe), 3)
    first, *more = capsys.readouterr().out.splitlines()
    assert first == f"training on cpu, {torch.backends.cpu.get_cpu_capability()}, 3 seeds at once with 2 threads each"
    assert len(more) == (precision == "bf16" and not native)
    assert all("no hardware for bfloat16" in line and "not byte for byte" in line for line in more)


def test_mistakes_are_one_line(workspace, run_script, monkeypatch, unchanged):
    assert "recipes/experiments/nothing.json is missing" in one_line(run_script("train", "nothing"), 2)

    def said(**environment):
        """The message alone: what becomes of it is the same for all, and a process takes seconds."""
        with monkeypatch.context() as patch, pytest.raises(Mistake) as caught:
            patch.setattr(sys, "argv", ["train.py", "mine"])
            for name, value in environment.items():
                patch.setenv(name, value)
            train.main()
        return str(caught.value)

    content = experiment()
    content["network"]["depth"] = 9
    Path("recipes/experiments/mine.json").write_text(json.dumps(content))
    assert "depth: 9 is neither" in said()
    experiment()
    Path("data/tensors/grey/train.safetensors").unlink()
    assert "run `dvc repro preprocess@grey` first" in said()
    experiment()
    assert "SEEDS_AT_ONCE should be a number" in said(SEEDS_AT_ONCE="two")
    assert "CHECKPOINT_SECONDS should be" in said(CHECKPOINT_SECONDS="-1")


def test_a_seed_that_diverges_is_said_and_the_study_goes_on(workspace, run_here):
    experiment(lr=1e30)
    result = run_here("train", "mine")
    assert result.returncode == 0, result.stderr
    assert "seed 0 diverged: the loss is not finite in epoch 1 at lr 1e+30; a lower lr helps" in result.stdout
    assert json.loads(Path("metrics/validation/mine.json").read_text())["diverged"] is True
    history = pd.read_csv("plots/history/mine.csv")
    assert history.train_loss.isna().all() and history.val_loss.notna().all()
    for seed in range(2):
        weights, about = checkpoint.load(Path(f"models/mine/seed-{seed}.safetensors"))
        assert about["diverged"] is True
        assert all(tensor.isfinite().all() for tensor in weights.values())


def test_metrics_are_of_the_weights_that_were_kept_and_one_seed_that_diverged_counts(workspace):
    def line(seed, epoch, error):
        keys = ("lr", "train_loss", "train_error", "val_loss", "val_error")
        return {"seed": seed, "epoch": epoch} | dict.fromkeys(keys, error)

    best = {"history": [line(0, 1, 0.1), line(0, 2, 0.4)], "kept": line(0, 1, 0.1), "diverged": False}
    lost = {"history": [line(1, 1, 0.3)], "kept": line(1, 1, 0.3), "diverged": True}
    assert train.write_history([best, lost], SimpleNamespace(name="mine", scale="full")) == pytest.approx(0.8)
    metrics = json.loads(Path("metrics/validation/mine.json").read_text())
    assert metrics["diverged"] is True and metrics["val_loss"] == pytest.approx(0.2)
    assert len(pd.read_csv("plots/history/mine.csv")) == 3


def test_a_state_that_is_gone_is_one_line(workspace):
    experiment()
    with pytest.raises(Failure, match=r"^seed 0 is lost: the same command trains it again$"):
        train.write_weights(read_experiment("mine"), [Path("no.state")], {})
    assert not Path("models/mine").exists()


def test_curves_for_tensorboard(workspace, run_here):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    experiment(seeds=1)
    run_here("train", "mine")
    events = EventAccumulator("runs/mine/seed-0").Reload()
    assert {"train_loss", "val_error", "lr"} <= set(events.Tags()["scalars"])
    written = [(event.step, round(event.value, 4)) for event in events.Scalars("train_loss")]
    history = pd.read_csv("plots/history/mine.csv")
    assert written == list(zip(history.epoch, history.train_loss.round(4), strict=True))


def start(*arguments, **environment):
    def interruptible():  # which what runs in a shell's background is not
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    command = [sys.executable, REPOSITORY / "src/train.py", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": os.environ | environment}
    return subprocess.Popen(command, **pipes, text=True, preexec_fn=interruptible, start_new_session=True)


def seeds_of(process):
    """The processes that train a seed."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def after_epochs(process, count):
    """Wait until a run has said so many epochs; returns its lines so far."""
    lines = []
    while sum("  epoch " in line for line in lines) < count and (line := process.stdout.readline()):
        lines.append(line)
    return lines


@pytest.mark.parametrize(
    ("before", "after"),
    [("2", "1"), pytest.param("1", "2", marks=pytest.mark.slow), pytest.param("2", "3", marks=pytest.mark.slow)],
)
def test_killed_and_started_again_it_goes_on_and_ends_with_the_same_bytes(workspace, run_here, before, after):
    experiment(epochs=6, seeds=3)
    run_here("train", "mine")
    whole = outputs()
    shutil.rmtree("models")
    shutil.rmtree("runs")
    process = start("mine", SEEDS_AT_ONCE=before)
    after_epochs(process, 9)  # in the midst of a seed, or of two
    process.kill()
    process.communicate()
    states = [checkpoint.load_state(path)[1] for path in Path("runs/mine").glob("*.state")]
    midst = sum("kept" not in about for about in states)
    result = run_here("train", "mine", SEEDS_AT_ONCE=after)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(": trained already") == len(states) - midst
    assert len(re.findall(r"seed \d: resuming at epoch [2-6] of 6", result.stdout)) == midst
    assert states and (midst or before == "2")
    assert outputs() == whole


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGTERM, signal.SIGINT))]
)
def test_no_seed_outlives_its_parent(workspace, number):
    experiment(epochs=500)
    process = start("mine", SEEDS_AT_ONCE="2")
    after_epochs(process, 4)
    children = seeds_of(process)
    assert len(children) == 2
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert psutil.wait_procs(children, timeout=5)[1] == []
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert errors == f"{REPOSITORY}/src/train.py: interrupted; the same command goes on\n"
    else:
        assert process.returncode == -number and errors == ""


@pytest.mark.slow
def test_the_end_of_one_process_is_one_line_and_the_others_are_stopped(workspace, run_here):
    experiment(epochs=8)
    run_here("train", "mine")
    whole = outputs()
    shutil.rmtree("runs")
    experiment(epochs=8)
    process = start("mine", SEEDS_AT_ONCE="2")
    after_epochs(process, 3)
    first, second = seeds_of(process)
    first.kill()  # as the system does where memory is short
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert len(errors.splitlines()) == 1 and "was ended by SIGKILL; if memory was short, SEEDS_AT_ONCE=1" in errors
    assert not second.is_running()
    assert not list(Path().rglob("*.part"))
    result = run_here("train", "mine", SEEDS_AT_ONCE="2")
    assert "resuming at epoch" in result.stdout
    assert outputs() == whole


def test_ctrl_c_is_one_line(workspace):
    experiment(epochs=500)
    process = start("mine")
    after_epochs(process, 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert len(errors.strip().splitlines()) == 1
    assert "interrupted; the same command goes on" in errors


@pytest.mark.slow
def test_checkpoints_come_at_most_so_often_and_at_the_end(workspace, run_here):
    experiment(epochs=500, seeds=1)
    process = start("mine", CHECKPOINT_SECONDS="1000")
    after_epochs(process, 5)
    assert not list(Path("runs").rglob("*.state"))
    process.kill()
    process.communicate()
    experiment(seeds=1)
    run_here("train", "mine", CHECKPOINT_SECONDS="1000")
    (state,) = Path("runs").rglob("*.state")
    assert "kept" in checkpoint.load_state(state)[1]


@pytest.mark.parametrize("seconds", [1.5, *(pytest.param(later, marks=pytest.mark.slow) for later in (0.5, 4, 6))])
def test_ctrl_c_while_it_starts_is_one_line(workspace, seconds):
    experiment(epochs=500)
    process = start("mine", SEEDS_AT_ONCE="2")
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.strip().splitlines() == [f"{REPOSITORY}/src/train.py: interrupted; the same command goes on"]


@pytest.mark.slow
def test_what_belongs_to_another_recipe_or_is_damaged_is_not_gone_on_with(workspace, run_here):
    experiment(seeds=1, epochs=6)
    run_here("train", "mine")
    whole = outputs()
    shutil.rmtree("runs")
    process = start("mine")
    after_epochs(process, 2)
    process.kill()
    process.communicate()
    (state,) = Path("runs/mine").glob("*.state")
    content = bytearray(state.read_bytes())
    experiment(seeds=1, epochs=6, lr=0.01)
    result = run_here("train", "mine")
    assert f"ignoring {state}: of other data, code or parameters" in result.stdout
    assert "resuming" not in result.stdout
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    experiment(seeds=1, epochs=6)
    result = run_here("train", "mine")
    assert f"{state} is damaged: set aside as {state.stem}.damaged, training starts over" in result.stdout
    assert "resuming" not in result.stdout
    assert outputs() == whole


@pytest.mark.slow
def test_killed_at_six_random_moments_it_ends_with_the_same_bytes(workspace, run_here):
    experiment(epochs=60, ema=0.9, keep="best", seeds=3)
    run_here("train", "mine")
    whole = outputs()
    shutil.rmtree("models")
    shutil.rmtree("runs")
    moments, starts, kills, resumed = random.Random(0), 0, 0, 0
    while kills < 6 or resumed < 2:
        starts += 1
        assert starts < 100
        process = start("mine", SEEDS_AT_ONCE=moments.choice(AT_ONCE))
        # by turns within the imports or soon after, and from the end of an epoch on
        said = "".join(after_epochs(process, kills % 2))
        try:
            rest, error = process.communicate(timeout=0.5 + moments.random() * 2.5)
            said += rest
            assert process.returncode == 0, error  # it got to the end
        except subprocess.TimeoutExpired:
            process.send_signal(moments.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)))
            rest, error = process.communicate()
            said += rest
            assert "Traceback" not in error
            kills += 1
        resumed += "resuming at epoch" in said or "trained already" in said
        if process.returncode == 0:  # a fast machine gets to the end between two kills: once more, from the start
            assert outputs() == whole
            shutil.rmtree("models")
            shutil.rmtree("runs")
    result = run_here("train", "mine")
    assert result.returncode == 0, result.stderr
    assert outputs() == whole


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_same_command_goes_on_after_it(workspace, run_here):
    def on_a_full_disk(most, at_once="1"):
        def limit():  # Python ignores SIGXFSZ: a file that grows beyond gives an error like a full disk's
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

        command = [sys.executable, "-B", REPOSITORY / "src/train.py", "mine"]
        environment = os.environ | {"SEEDS_AT_ONCE": at_once}
        pipes = {"capture_output": True, "text": True, "env": environment}
        result = subprocess.run(command, **pipes, timeout=60, preexec_fn=limit)
        assert not list(Path().rglob("*.part"))
        return one_line(result, 1)

    experiment()
    run_here("train", "mine")
    before = outputs()
    experiment(epochs=4)
    assert "cannot read or write a file" in on_a_full_disk(50)  # the curves
    for at_once in AT_ONCE[:2]:
        assert "cannot read or write runs/mine/seed-" in on_a_full_disk(100_000, at_once)  # the state
    assert outputs() == before
    assert len(list(Path("runs").rglob("*.state"))) == 2  # of the run before
    run_here("train", "mine", SEEDS_AT_ONCE="2")
    whole = outputs()
    for folder in ("models", "plots", "metrics"):  # as DVC does before it runs a stage
        shutil.rmtree(folder)
    assert "cannot read or write models/mine.part/seed-0.safetensors" in on_a_full_disk(100_000)
    assert outputs() == {}
    assert "trained already" in run_here("train", "mine").stdout
    assert outputs() == whole
