import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lineage.engine import device, training
from lineage.engine.augment import Images
from lineage.engine.recipe import Recipe

BASE = {
    "epochs": 10,
    "batch_size": 8,
    "lr": 0.02,
    "schedule": "onecycle",
    "warm_up": 0.25,
    "input_size": 8,
    "threads": 1,
}


@pytest.fixture(autouse=True)
def deterministic():
    device.prepare(torch.device("cpu"), 1)
    yield
    torch.use_deterministic_algorithms(False)


def task(n=64):
    """Four classes that differ in colour: anything learns them."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 4
    colour = torch.tensor([[200, 30, 30], [30, 200, 30], [30, 30, 200], [200, 200, 30]])[labels]
    noise = torch.randint(0, 50, (n, 3, 8, 8), generator=generator)
    return (colour[:, :, None, None] + noise).byte(), labels


def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(288, 4)
    return nn.Sequential(*layers)


def begin(net, recipe, seed=0, size=8, place="cpu", graph=True):
    (pixels, labels), place = task(), torch.device(place)
    mean, std = torch.full((3,), 0.4), torch.full((3,), 0.3)
    images, val = (Images(pixels, labels, mean, std, size, place, pad) for pad in (recipe.shift, 0))
    return training.Training(net.to(place, memory_format=torch.channels_last), images, val, recipe, seed, graph)


def fit(net, recipe, seed=0):
    run = begin(net, recipe, seed)
    while not run.finished:
        run.epoch()
    return run.history


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_it_learns_and_says_so(precision):
    history = fit(network(), Recipe(**BASE, precision=precision, shift=1, flip=True))
    assert [line.epoch for line in history] == list(range(1, 11))
    assert history[-1].val_error == 0
    assert history[-1].train_loss < history[0].train_loss
    assert max(line.lr for line in history) == 0.02


def test_a_line_has_the_means_over_the_steps_that_the_epoch_took():
    """The third epoch has no more than the four steps that are left of twenty."""
    changes = {"epochs": None, "iterations": 20, "precision": "fp32", "label_smoothing": 0.1}
    net, logits, seen = network(), [], []
    net.register_forward_hook(lambda _, __, output: logits.append(output.detach()))
    run = begin(net, Recipe(**BASE | changes))
    take = run.step.take

    def watched():
        take()
        labels = run.train.labels[run.step.which]
        loss = F.cross_entropy(logits[-1], labels, label_smoothing=0.1).item()
        seen.append((loss, (logits[-1].argmax(1) != labels).double().mean().item()))

    run.step.take = watched
    for steps in (8, 8, 4):
        seen.clear()
        line = run.epoch()
        assert len(seen) == steps and line.lr > 0
        assert (line.train_loss, line.train_error) == pytest.approx(tuple(np.mean(seen, 0)), rel=1e-5)
    assert run.finished and 0 < run.history[0].train_error < 1


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_steps_and_validation_run_in_the_recipes_precision(monkeypatch, precision):
    monkeypatch.setattr(device, "precision_on", lambda _, wanted: wanted)  # as with the hardware for it
    net, seen = network(), set()
    net[0].register_forward_hook(lambda module, _, output: seen.add((module.training, output.dtype)))
    begin(net, Recipe(**BASE, precision=precision)).epoch()
    assert seen == {(training, device.DTYPES[precision]) for training in (True, False)}


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    def weights(seed):
        net = network()
        fit(net, Recipe(**BASE, shift=1, rotate=5), seed)
        return torch.cat([p.detach().ravel() for p in net.parameters()])

    torch.manual_seed(99)
    first = weights(0)
    torch.manual_seed(123)
    assert torch.equal(first, weights(0))
    assert not torch.equal(first, weights(1))


def test_a_loss_that_is_not_finite_ends_the_seed_with_the_weights_before_it():
    net = network()
    run = begin(net, Recipe(**BASE))
    run.epoch()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    pixels = run.train.pixels
    run.train.mean = torch.full((3,), float("nan"))
    line = run.epoch()
    assert run.train.pixels is pixels
    assert line.epoch == 2
    assert math.isnan(line.train_loss)
    assert run.diverged and run.finished and len(run.history) == 2
    assert (line.val_loss, line.val_error) == (run.history[0].val_loss, run.history[0].val_error)
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.weights().items())


def test_a_network_that_explodes_in_its_last_step_has_diverged_too():
    run = begin(network(), Recipe(**BASE | {"lr": 1e38, "schedule": "constant", "epochs": 1, "batch_size": 64}))
    line = run.epoch()
    assert run.diverged
    assert math.isfinite(line.val_loss)


RECIPES = {
    "sgd": {"shift": 1, "flip": True, "rotate": 5, "cutout": 3},
    "adam": {"optimiser": "adam", "lr": 0.002, "schedule": "constant"},
    "muon": {"optimiser": "muon", "muon_step": 0.05, "weight_decay": 0.01},
    "average": {"ema": 0.9, "epochs": None, "iterations": 20},
    "best": {"keep": "best", "decay": "all", "weight_decay": 0.01, "schedule": "steps", "warm_up": 0.2},
    "fp32": {"precision": "fp32", "nesterov": False},
    "cutmix": {"cutmix": 0.7, "cutmix_off": 0.3, "shift": 1},
    "held back": {"clip": 0.5, "trust": 0.01, "warm_up": 0, "warm_up_steps": 5},
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("stop", [1, 2])
def test_a_run_that_goes_on_elsewhere_ends_with_the_same_bits(recipe, stop):
    recipe = Recipe(**BASE | {"epochs": 4} | recipe)
    whole = begin(network(), recipe)
    while not whole.finished:
        whole.epoch()
    first = begin(network(), recipe)
    for _ in range(stop):
        first.epoch()
    state, about = first.state()
    state, about = {name: tensor.clone() for name, tensor in state.items()}, json.loads(json.dumps(about))
    torch.manual_seed(77)
    second = begin(nn.Sequential(*(m for m in network())), recipe)
    second.resume(state, about)
    assert len(second.history) == stop
    while not second.finished:
        second.epoch()
    assert second.history == whole.history
    ours, theirs = second.step.state(), whole.step.state()
    assert ours.keys() == theirs.keys() and not any(name.startswith("optimiser/") for name in second.state()[0])
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    ours, theirs = second.weights(), whole.weights()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_state_at_the_end_is_enough_for_the_weights(recipe):
    whole = begin(network(), Recipe(**BASE | {"epochs": 2} | recipe))
    while not whole.finished:
        whole.epoch()
    second = begin(network(), whole.recipe)
    second.resume(*whole.state())
    assert second.finished and second.kept == whole.kept
    ours, theirs = second.weights(), whole.weights()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def growing():
    """A network for any input size, whose kept sizes are told."""
    seen = []
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.append(nn.Linear(8, 4))
    net[0].register_forward_hook(lambda _, x, __: seen.append((net.training, x[0].shape[2])))
    return net, seen


def test_the_input_grows_and_validation_with_it():
    net, seen = growing()
    run = begin(net, Recipe(**BASE | {"epochs": 4, "input_size": 24}, grow={8: 0.5, 16: 0.25}), size=24)
    for _ in range(4):
        run.epoch()
    in_training = [size for training, size in seen if training]
    assert in_training == [8] * 16 + [16] * 8 + [24] * 8
    assert [size for training, size in seen if not training] == [8, 8, 16, 24]


def test_a_growing_run_that_goes_on_elsewhere_ends_with_the_same_bits():
    recipe = Recipe(**BASE | {"epochs": 4, "input_size": 24}, grow={8: 0.5, 16: 0.25}, cutmix=0.5)
    torch.manual_seed(0)
    whole = begin(growing()[0], recipe, size=24)
    while not whole.finished:
        whole.epoch()
    torch.manual_seed(0)
    first = begin(growing()[0], recipe, size=24)
    for _ in range(3):
        first.epoch()
    state, about = first.state()
    second = begin(growing()[0], recipe, size=24)
    second.resume({name: tensor.clone() for name, tensor in state.items()}, about)
    second.epoch()
    assert second.history == whole.history
    assert all(torch.equal(tensor, whole.weights()[name]) for name, tensor in second.weights().items())


def test_each_step_is_told():
    steps = []
    begin(network(), Recipe(**BASE)).epoch(lambda: steps.append(1))
    assert len(steps) == 8


def test_a_graph_is_captured_for_each_input_size_and_the_last_one_forgotten_before(monkeypatch):
    """Here the step itself stands for its graph."""
    run = begin(growing()[0], Recipe(**BASE | {"epochs": 4, "input_size": 24}, grow={8: 0.5}), size=24)
    captured = []

    def take():
        captured.append((run.train.input_size, run._replay))
        return run.step.take

    monkeypatch.setattr(run.step, "captured", take)
    run._graph = True
    while not run.finished:
        run.epoch()
    assert captured == [(8, None), (24, None)]  # no other graph's memory is kept


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_cuda_graph_and_the_step_itself_give_the_same_bits(recipe):
    """And a run that goes on in the middle gives them, too, with a graph."""
    recipe, ends = Recipe(**BASE | {"epochs": 4} | recipe), []
    device.prepare(torch.device("cuda"), 1)
    for graph, stops in ((True, False), (False, False), (True, True)):
        run = begin(network(), recipe, place="cuda", graph=graph)
        while not run.finished:
            run.epoch()
            if stops and len(run.history) == 2:
                (state, about), run = run.state(), begin(network(), recipe, place="cuda", graph=graph)
                run.resume({name: tensor.cpu() for name, tensor in state.items()}, about)
        ends.append((run.history, {name: tensor.cpu() for name, tensor in run.weights().items()}))
    for history, weights in ends[1:]:
        assert history == ends[0][0] and all(torch.equal(weights[name], ends[0][1][name]) for name in weights)


def test_keep_best_keeps_the_epoch_with_the_lowest_validation_error():
    run, seen = begin(network(), Recipe(**BASE | {"keep": "best", "lr": 0.5, "schedule": "constant"})), []
    while not run.finished:
        run.epoch()
        seen.append({name: tensor.clone() for name, tensor in run.step.network.state_dict().items()})
    best = min(range(10), key=lambda i: run.history[i].val_error)
    assert run.kept is run.history[best]
    assert all(torch.equal(tensor, seen[best][name]) for name, tensor in run.weights().items())


def test_fewer_images_than_a_batch():
    assert len(fit(network(), Recipe(**{**BASE, "batch_size": 1000}))) == 10


def test_prediction_does_not_depend_on_the_batch():
    pixels, labels = task()
    images = Images(pixels, labels, torch.full((3,), 0.4), torch.full((3,), 0.3), 8, torch.device("cpu"))
    net = network()
    whole = training.predict(net, images, "fp32", batch_size=64)
    assert whole.shape == (64, 4)
    assert torch.allclose(whole, training.predict(net, images, "fp32", batch_size=7), atol=1e-5)
    assert not net.training


def test_every_epoch_of_every_seed_has_random_choices_of_its_own():
    """Its own order, and its own numbers from the generator that dropout draws from."""
    orders, drawn = [], []

    class Noted(nn.Module):
        def forward(self, x):
            if self.training:
                drawn.append(torch.rand(()).item())
            return x

    for seed in (0, 1):
        run = begin(nn.Sequential(Noted(), *network()), Recipe(**BASE), seed)
        for _ in range(2):
            run.epoch()
            orders.append(tuple(run.step.choices.order.tolist()))
    assert len(set(orders)) == 4
    assert len(set(drawn)) == len(drawn) == 32


def test_the_validation_loss_is_without_label_smoothing():
    run = begin(network(), Recipe(**BASE, precision="fp32", label_smoothing=0.1))
    line = run.epoch()
    expected = F.cross_entropy(training.predict(run.result, run.val, "fp32"), run.val.labels).item()
    assert line.val_loss == pytest.approx(expected, rel=1e-6)
