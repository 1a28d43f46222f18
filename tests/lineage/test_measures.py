import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lineage import measures


def test_scores_of_known_logits():
    labels = torch.arange(10)
    logits = torch.eye(10) * 5
    logits[0] = torch.arange(10.0)  # the right class comes last
    logits[1, 2] = 9  # the right class comes second
    scores = measures.scores(logits, labels)
    assert scores["top1"] == pytest.approx(0.8)
    assert scores["top5"] == pytest.approx(0.9)
    assert scores["loss"] == pytest.approx(F.cross_entropy(logits, labels).item())
    assert "top5" not in measures.scores(logits[:, :6], labels[:6].expand(6)[:6].repeat(2)[:10])


def test_the_size_of_a_network():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 16, 10))
    assert measures.parameters(network) == 3 * 9 * 8 + 8 + 16 + 128 * 10 + 10
    assert measures.multiply_adds(network, 4) == 27 * 8 * 16 + 128 * 10


@pytest.mark.parametrize(("depth", "millions"), [(20, 40.55), (110, 252.89)])
def test_multiply_adds_of_residual_networks(depth, millions):
    from lineage import models

    network = models.build("resnet", 10, 32, {"depth": depth, "shortcut": "identity", "stem": "cifar"})
    assert measures.multiply_adds(network, 32) / 1e6 == pytest.approx(millions, abs=0.01)


def test_predictions_are_probabilities():
    predicted, confidence = measures.predictions(torch.tensor([[0.0, 0.0], [0.0, np.log(3)]]))
    assert predicted[1] == 1
    assert confidence == pytest.approx([0.5, 0.75])


def test_confusion_has_what_is_there_in_rows():
    counts = measures.confusion(np.array([0, 0, 1]), np.array([0, 2, 1]), 3)
    assert counts.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
