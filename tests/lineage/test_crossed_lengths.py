import copy
from pathlib import Path

import pytest
import torch
from conftest import as_signs
from test_train import experiment
from torch.nn import functional as F

from lineage import crossed_lengths
from lineage.crossed_lengths import Crossed
from lineage.engine import augment
from lineage.engine.experiment import Experiment

CPU = torch.device("cpu")


def described(start, lengths, **more):
    about = experiment() | {"dataset": "signs", "network": {"depth": 8, "shortcut": "none"}}
    as_signs()
    return Crossed.model_validate(about | {"start": start, "lengths": lengths} | more)


def drawn(one, seed=0):
    torch.manual_seed(seed)
    return one.build()


def probes(one):
    few = one.model_copy(update={"max_images": crossed_lengths.PROBES})
    images = augment.load(few, ("train",), CPU)["train"]
    return images.plain(0, len(images)), images.labels


@pytest.mark.parametrize("lengths", ["he", "dirac", "looks-linear", "random-0.8"])
@pytest.mark.parametrize("start", ["he", "dirac", "looks-linear"])
def test_the_first_gradients_have_the_lengths_of_the_other_and_their_own_directions(workspace, start, lengths):
    one = described(start, lengths)
    network, other = drawn(one), drawn(described(lengths, lengths))
    x, y = probes(one)
    wanted = crossed_lengths.relative_lengths(other, x, y)
    plain = drawn(described(start, start))
    for scaled in (network, plain):
        F.cross_entropy(scaled.double().train()(x.double()), y).backward()
    for parameter, usual, length in zip(network.parameters(), plain.parameters(), wanted, strict=True):
        assert torch.equal(parameter, usual)
        unit = parameter.norm() if parameter.ndim > 1 else parameter.numel() ** 0.5
        if not usual.grad.norm():
            assert not parameter.grad.norm()
            continue
        assert (parameter.grad.norm() / unit).item() == pytest.approx(length, rel=1e-6)
        if length:
            assert F.cosine_similarity(parameter.grad.flatten(), usual.grad.flatten(), 0) > 1 - 1e-6


def test_with_lengths_of_its_own_it_is_the_usual_network(workspace):
    one = described("dirac", "dirac")
    network = drawn(one)
    assert set(network.factors) == {1.0}
    usual = one.changes()
    del usual["start"], usual["lengths"]
    usual["network"]["initialisation"] = "dirac"
    same = drawn(Experiment.model_validate(usual))
    x, y = probes(one)
    for two in (network, same):
        F.cross_entropy(two.train()(x), y).backward()
    for parameter, like in zip(network.parameters(), same.parameters(), strict=True):
        assert torch.equal(parameter, like) and torch.equal(parameter.grad, like.grad)


def test_measuring_leaves_the_network_as_it_is(workspace):
    one = described("he", "dirac")
    network = drawn(one)
    before = copy.deepcopy(network.state_dict())
    crossed_lengths.relative_lengths(network, *probes(one))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_where_tensors_have_no_content_nothing_is_measured(workspace):
    one = described("he", "looks-linear")
    for part in Path("data/tensors/signs").iterdir():
        part.unlink()
    with torch.device("meta"):
        network = one.build()
    assert network.factors == [] and sum(p.numel() for p in network.parameters()) > 1000
