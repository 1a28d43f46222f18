import json
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_train import experiment
from torch.nn import functional as F

from lineage.engine import augment, checkpoint, training
from lineage.engine.experiment import read_experiment
from lineage.errors import Mistake
from lineage.seed import train_seed


class Told:
    """Stands for the progress, and remembers what it was told."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *values: self.calls.append((name, values))


def trained(states, every):
    told = Told()
    train_seed(read_experiment("mine"), torch.device("cpu"), states, every, 1, told)
    torch.use_deterministic_algorithms(False)
    return told


def test_a_seed_leaves_its_weights_and_its_history(workspace):
    experiment(epochs=3, precision="fp32")
    states = [Path("runs/mine", f"seed-{seed}-key.state") for seed in range(2)]
    told = trained(states, every=0)
    weights, about = checkpoint.load_state(states[1])
    assert [line["epoch"] for line in about["history"]] == [1, 2, 3]
    assert {line["seed"] for line in about["history"]} == {1}
    assert about["kept"] == about["history"][-1] and about["diverged"] is False
    assert weights["head.weight"].shape == (3, 64) and len(about["mean"]) == 3
    assert [name for name, _ in told.calls].count("step") == 3 * 6
    assert told.calls[-1] == ("end", (1,))
    assert not states[0].exists()


def test_the_weights_that_are_left_are_those_that_were_validated(workspace, unchanged):
    """The averaged ones, and those of the best epoch, which is not the last one here."""
    experiment(epochs=6, lr=0.5, schedule="constant", ema=0.5, keep="best", precision="fp32")
    states = [Path("a.state"), Path("b.state")]
    trained(states, every=30)
    weights, about = checkpoint.load_state(states[1])
    assert about["kept"] != about["history"][-1]
    one, place = read_experiment("mine"), torch.device("cpu")
    network = one.build()
    network.load_state_dict(weights)
    val = augment.load(one, ("val",), place)["val"]
    loss = F.cross_entropy(training.predict(network, val, "fp32"), val.labels).item()
    assert loss == pytest.approx(about["kept"]["val_loss"], rel=1e-5)


def test_a_seed_trains_with_the_recipes_threads(workspace, unchanged):
    experiment(epochs=1, threads=2, precision="fp32")
    trained([Path("a.state"), Path("b.state")], every=30)
    assert torch.get_num_threads() == 2


def test_images_per_second_of_a_last_epoch_that_is_a_part_of_one(workspace, monkeypatch):
    """6 steps of 16 images are an epoch. Every look at the clock takes a second, and so does an epoch."""
    experiment(epochs=None, iterations=8, precision="fp32")
    clock = SimpleNamespace(monotonic=count().__next__)
    monkeypatch.setattr("lineage.seed.time", clock)
    told = trained([Path("a.state"), Path("b.state")], every=0)
    speeds = [values[2] for name, values in told.calls if name == "show"]
    assert speeds == [6 * 16, 2 * 16]


def test_a_batch_of_one_value_per_channel_is_a_mistake(workspace):
    """At 8 pixels the ImageNet stem and four stages leave one pixel."""
    content = experiment(epochs=1, batch_size=1, input_size=8, precision="fp32")
    content["network"] |= {"depth": 18, "stem": "imagenet"}
    Path("recipes/experiments/mine.json").write_text(json.dumps(content))
    with pytest.raises(Mistake, match="batch norm needs more than one image"):
        trained([Path("a.state"), Path("b.state")], every=30)
    torch.use_deterministic_algorithms(False)


MUON = {"optimiser": "muon", "muon_step": 0.1}


@pytest.mark.parametrize(("recipe", "lower"), [({}, "lr"), (MUON, "muon_step or lr")])
def test_a_seed_that_diverges_says_what_to_lower(workspace, recipe, lower):
    experiment(epochs=1, precision="fp32", lr=1e30, **recipe)
    told = trained([Path("a.state"), Path("b.state")], every=30)
    said = [words for name, (words, *_) in told.calls if name == "say"]
    assert said == [f"seed 1 diverged: the loss is not finite in epoch 1 at lr 1e+30; a lower {lower} helps"]


def test_the_curves_of_a_run_that_goes_on_are_whole(workspace, monkeypatch, unchanged):
    experiment(epochs=3, precision="fp32")
    drawn, states = [], [Path("a.state"), Path("b.state")]

    class Curves:
        def __init__(self, _):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def add_scalar(self, name, _, epoch):
            drawn.append((name, epoch))

    class Killed(Told):
        def begin(self, _, epoch):
            if epoch == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr("lineage.seed.SummaryWriter", Curves)
    with pytest.raises(KeyboardInterrupt):
        train_seed(read_experiment("mine"), torch.device("cpu"), states, 0, 1, Killed())
    drawn.clear()
    told = trained(states, every=0)
    assert ("say", ("seed 1: resuming at epoch 3 of 3",)) in told.calls
    assert [epoch for name, epoch in drawn if name == "val_error"] == [1, 2, 3]


def test_a_run_that_begins_with_given_weights_resumes_nothing(workspace):
    experiment(epochs=1, precision="fp32")
    states = [Path("a.state"), Path("b.state")]
    network = read_experiment("mine").build()
    begun = {f"network/{name}": torch.zeros_like(tensor) for name, tensor in network.state_dict().items()}
    checkpoint.save_state(states[1], begun, {"history": []})
    told = trained(states, every=0)
    assert not [values for name, values in told.calls if name == "say"]
    weights, _ = checkpoint.load_state(states[1])
    assert not weights["head.weight"].any()  # from zeros, the last layer's gradient is zero
