import pytest
import torch
from test_train import experiment
from torch.nn import functional as F

from lineage import initialisations, runs
from lineage.engine import augment, device, training
from lineage.engine.experiment import Experiment
from lineage.relative_steps import Equalised, equalise

CPU = torch.device("cpu")


def mine(start="he", ratio=0.02, **changes):
    return Equalised.model_validate(experiment(**changes) | {"start": start, "ratio": ratio})


def test_every_gradient_gets_its_length(workspace):
    """Kernels and matrices relative to their norm, vectors relative to that of as many ones; directions stay."""
    one = mine()
    network = runs.untrained(one, 0, CPU)
    usual = runs.untrained(Experiment.model_validate(one.model_dump(exclude={"start", "ratio"})), 0, CPU)
    images = augment.load(one, ("train",), CPU)["train"]
    for some in (network, usual):
        F.cross_entropy(some.train()(images.plain(0, 32)), images.labels[:32]).backward()
    for ours, theirs in zip(network.parameters(), usual.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        scale = ours.detach().norm().item() if ours.ndim > 1 else ours.numel() ** 0.5
        assert ours.grad.norm().item() == pytest.approx(0.02 * scale, rel=1e-4)
        cosine = F.cosine_similarity(ours.grad.flatten(), theirs.grad.flatten(), dim=0)
        assert cosine.item() == pytest.approx(1, abs=1e-4)


def test_a_step_of_the_engine_moves_every_kernel_equally_far(workspace, unchanged):
    """Nesterov's first step is 1.9 times the gradient."""
    one = mine(ratio=0.5, batch_size=64, epochs=2, lr=0.1, warm_up=0.5, nesterov=True)
    one = one.model_copy(update={"max_images": 64})
    network = runs.untrained(one, 1, CPU)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    images = augment.load(one, ("train", "val"), CPU)
    line = training.Training(network, images["train"], images["val"], one.recipe, 1).epoch()
    for name, parameter in network.named_parameters():
        scale = before[name].norm() if parameter.ndim > 1 else parameter.numel() ** 0.5
        moved = ((parameter - before[name]).norm() / scale).item()
        assert moved == pytest.approx(1.9 * line.lr * 0.5, rel=1e-3), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
def test_a_cuda_graph_scales_gradients_too(workspace, unchanged):
    one, ends, place = mine(epochs=2), [], torch.device("cuda")
    device.prepare(place, 1)
    for graph in (True, False):
        network = runs.untrained(one, 1, place)
        images = augment.load(one, ("train", "val"), place)
        run = training.Training(network, images["train"], images["val"], one.recipe, 1, graph)
        while not run.finished:
            run.epoch()
        ends.append({name: tensor.cpu() for name, tensor in run.weights().items()})
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


def test_it_begins_with_the_initialisation_that_it_names(workspace):
    network = runs.untrained(mine("looks-linear"), 2, CPU)
    expected = runs.untrained(mine("he"), 2, CPU)
    initialisations.initialise(expected, "looks-linear")
    first, second = network.stem[0].weight, expected.stem[0].weight
    assert torch.equal(first, second) and torch.equal(first[:8], -first[8:])


def test_a_gradient_of_zero_stays_zero():
    parameter = torch.nn.Parameter(torch.ones(3, 3))
    parameter.grad = torch.zeros(3, 3)
    equalise(parameter, 0.1)
    assert not parameter.grad.any()
