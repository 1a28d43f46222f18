import math

import pytest
import torch
from test_runs import CPU, mine
from torch.nn import functional as F

from lineage import row_measures, runs
from lineage.engine import augment, training


@pytest.mark.parametrize(("nesterov", "schedule"), [(True, "onecycle"), (False, "constant")])
def test_the_first_step_is_as_long_as_the_engines(workspace, unchanged, nesterov, schedule):
    """A batch of all images, so that both see the same gradient."""
    one = mine(batch_size=64, epochs=4, lr=0.5, warm_up=0.5, nesterov=nesterov, schedule=schedule)
    one = one.model_copy(update={"max_images": 64})
    network = runs.untrained(one, 3, CPU)
    measured = row_measures.first_step(network, one, CPU)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    images = augment.load(one, ("train", "val"), CPU)
    job = training.Training(network, images["train"], images["val"], one.recipe, 3)
    assert job.per_epoch == 1
    line = job.epoch()
    after = dict(network.named_parameters())
    moved = {name: ((after[name] - w).norm() / w.norm()).item() for name, w in before.items() if w.ndim > 1}
    assert max(moved, key=moved.get) == f"{measured['layer']}.weight"
    assert max(moved.values()) == pytest.approx(measured["first_step"], rel=1e-3)
    assert measured["first_lr"] == pytest.approx(line.lr)
    factor = 1.9 if nesterov else 1
    assert measured["first_step"] == pytest.approx(factor * measured["first_lr"] * measured["gradient_ratio"])


def test_the_first_step_of_others_is_not_that_of_sgd_and_inputs_that_grow_begin_small(workspace, unchanged):
    for other in ({"optimiser": "adam"}, {"optimiser": "muon", "muon_step": 0.1}):
        measured = row_measures.first_step(runs.untrained(mine(), 0, CPU), mine(**other), CPU)
        assert math.isnan(measured["first_step"]) and measured["gradient_ratio"] > 0
    small, growing = mine(input_size=16), mine(input_size=24, grow={16: 0.5})
    steps = [
        row_measures.first_step(runs.untrained(one, 0, CPU), one, CPU) for one in (small, growing, mine(input_size=24))
    ]
    assert steps[0] == steps[1] != steps[2]


def test_scores_are_those_of_the_whole_parts(workspace):
    one = mine()
    network = runs.untrained(one, 0, CPU)
    row = row_measures.scores(network, one, CPU)
    for part, images in augment.load(one, ("train", "val"), CPU).items():
        logits = training.predict(network, images, "fp32")
        assert row[f"{part}_loss"] == pytest.approx(F.cross_entropy(logits.double(), images.labels).item())
        assert row[f"{part}_error"] == pytest.approx((logits.argmax(1) != images.labels).double().mean().item())
    assert row["train_loss"] != row["val_loss"]
    assert row["train_error"] > 0.8 * 2 / 3 and row["trained"] == "no"


def test_scores_of_a_network_that_knows_the_classes(workspace):
    """They differ in brightness: the network answers by the channels' mean."""
    one = mine()

    class Brightness(torch.nn.Module):
        def forward(self, x):
            return -((x.mean((1, 2, 3))[:, None] - torch.tensor([-1.2, 0.0, 1.2])) ** 2)

    row = row_measures.scores(Brightness(), one, CPU)
    assert (row["train_error"], row["val_error"], row["trained"]) == (0, 0, "yes")
