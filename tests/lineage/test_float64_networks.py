import copy

import pytest
import torch
from test_train import experiment
from torch.nn import functional as F

from lineage import runs
from lineage.engine import augment, checkpoint, device, training
from lineage.engine.experiment import Experiment
from lineage.float64 import Float64

CPU = torch.device("cpu")


def mine(ratio=None, **changes):
    return Float64.model_validate(experiment(precision="fp32", **changes) | {"ratio": ratio})


def usual(one):
    return runs.untrained(Experiment.model_validate(one.model_dump(exclude={"ratio"})), 0, CPU)


def run(network, one, images):
    return training.Training(network, images["train"], images["val"], one.recipe, 0)


def test_it_begins_as_the_network_in_float32_does(workspace):
    one = mine()
    for ours, theirs in zip(runs.untrained(one, 0, CPU).parameters(), usual(one).parameters(), strict=True):
        assert ours.dtype == torch.float64 and torch.equal(ours, theirs.double())


def test_the_engine_rounds_nothing_on_the_way(workspace, unchanged):
    """After an epoch the weights are those of a plain loop in float64: nearer to them than float32 could be."""
    one = mine(epochs=2, nesterov=True, lr=0.1, batch_size=32)
    one = one.model_copy(update={"max_images": 64})
    images = augment.load(one, ("train", "val"), CPU)
    ours = runs.untrained(one, 0, CPU)
    reference, single = copy.deepcopy(ours), usual(one)
    trained = run(ours, one, images)
    trained.epoch()
    run(single, one, augment.load(one, ("train", "val"), CPU)).epoch()

    recipe, step = one.recipe, trained.step
    groups = [{"params": [p], "weight_decay": recipe.weight_decay * (p.ndim > 1)} for p in reference.parameters()]
    optimiser = torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True)
    order = augment.plan(recipe, 64, 0, 1).order
    step.begin(augment.plan(recipe, 64, 0, 1))
    for i in range(trained.per_epoch):
        batch = images["train"].batch(order[32 * i : 32 * (i + 1)], step.choices, recipe.cutout)
        optimiser.zero_grad()
        F.cross_entropy(reference.train()(batch.images), batch.labels).backward()
        for group in optimiser.param_groups:
            group["lr"] = training.learning_rate(recipe, i, trained.steps)
        optimiser.step()
    for exact, one64, one32 in zip(reference.parameters(), ours.parameters(), single.parameters(), strict=True):
        far = (one64 - exact).norm() / exact.norm().clamp(min=1e-3)
        assert far < 1e-6
        assert one64.dtype == torch.float64 and not torch.equal(one64, one64.float().double())
        assert far < (one32 - exact).norm() / exact.norm().clamp(min=1e-3)


def test_a_loss_in_float32_hardly_changes_the_gradients_of_110_layers(workspace):
    """What docs/results.md says of it: less than a millionth of their length, in every kernel."""
    one = mine(batch_size=8)
    options = one.network.model_copy(update={"depth": 110, "shortcut": "none"})
    network = runs.untrained(one.model_copy(update={"network": options}), 0, CPU).train()
    images = augment.load(one, ("train",), CPU)["train"]
    found = []
    for rounded in (torch.Tensor.double, torch.Tensor.float):
        network.zero_grad()
        F.cross_entropy(rounded(network(images.plain(0, 8))), images.labels[:8]).backward()
        found.append([p.grad.clone() for p in network.parameters() if p.ndim == 4])
    assert len(found[0]) == 109
    for exact, ours in zip(*found, strict=True):
        assert 0 < (ours - exact).norm() / exact.norm() < 1e-6


def test_gradients_of_one_relative_length(workspace):
    one = mine(ratio=0.02)
    network = runs.untrained(one, 0, CPU)
    images = augment.load(one, ("train",), CPU)["train"]
    F.cross_entropy(network.train()(images.plain(0, 32)), images.labels[:32]).backward()
    for parameter in network.parameters():
        scale = parameter.detach().norm().item() if parameter.ndim > 1 else parameter.numel() ** 0.5
        assert parameter.grad.dtype == torch.float64
        assert parameter.grad.norm().item() == pytest.approx(0.02 * scale, rel=1e-9)


def test_it_goes_on_from_a_checkpoint_with_the_same_bits(workspace, unchanged, tmp_path):
    one, ends = mine(epochs=3), []
    for interrupted in (False, True):
        images = augment.load(one, ("train", "val"), CPU)
        training_run = run(runs.untrained(one, 0, CPU), one, images)
        training_run.epoch()
        if interrupted:
            checkpoint.save_state(tmp_path / "a.state", *training_run.state())
            training_run = run(runs.untrained(one, 0, CPU), one, images)
            training_run.resume(*checkpoint.load_state(tmp_path / "a.state"))
        while not training_run.finished:
            training_run.epoch()
        ends.append(training_run.weights())
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
@pytest.mark.parametrize("ratio", [None, 0.02])
def test_a_cuda_graph_gives_the_same_bits(workspace, unchanged, ratio):
    one, ends, place = mine(ratio, epochs=2), [], torch.device("cuda")
    device.prepare(place, 1)
    for graph in (True, False):
        images = augment.load(one, ("train", "val"), place)
        network = runs.untrained(one, 1, place)
        graphed = training.Training(network, images["train"], images["val"], one.recipe, 1, graph)
        while not graphed.finished:
            graphed.epoch()
        ends.append({name: tensor.cpu() for name, tensor in graphed.weights().items()})
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())
