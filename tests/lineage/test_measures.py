import numpy as np
import pytest
import torch
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
    assert "top5" not in measures.scores(logits[:, :6], labels % 6)


def test_superclasses_are_right_more_often():
    labels, groups = torch.tensor([0, 1, 2, 3]), torch.tensor([0, 0, 1, 1])
    logits = torch.eye(4)[[0, 0, 3, 1]]  # right; right superclass, twice; wrong
    assert measures.scores(logits, labels, groups)["superclass"] == 0.75
    assert measures.scores(logits, labels, groups)["top1"] == 0.25
    assert "superclass" not in measures.scores(logits, labels)


def test_an_image_and_its_mirror_image_are_weighed_together():
    labels = torch.tensor([0, 0])
    plain = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    mirrored = torch.tensor([[0.0, 1.0], [0.0, 0.5]])
    assert measures.averaged(plain, mirrored, labels) == 0.5


def test_predictions_are_probabilities():
    predicted, confidence = measures.predictions(torch.tensor([[0.0, 0.0], [0.0, np.log(3)]]))
    assert predicted[1] == 1
    assert confidence == pytest.approx([0.5, 0.75])


def test_answers_are_whole_numbers():
    logits = torch.tensor([[0.0, 9.0], [np.log(3), 0.0], [0.0, 2000.0]])
    assert measures.answers(logits, 4) == {"predicted_4": [1, 0, 1], "confidence_4": [1000, 750, 1000]}


def test_an_ensemble_answers_by_the_mean_of_probabilities_and_not_of_logits():
    labels = torch.tensor([0, 1])
    sure, unsure = torch.tensor([[0.0, 1.0], [0.0, 1.0]]), torch.tensor([[0.9, 0.1], [0.4, 0.6]])
    scores = measures.ensemble((sure + 2 * unsure).double() / 3, labels)
    assert scores["top1"] == 1
    assert scores["loss"] == pytest.approx(-(np.log(1.8 / 3) + np.log(2.2 / 3)) / 2, rel=1e-5)
    assert np.isfinite(measures.ensemble(sure.double(), labels)["loss"])  # wrong, and certain of it


def test_confusion_has_what_is_there_in_rows():
    counts = measures.confusion(np.array([0, 0, 1]), np.array([0, 2, 1]), 3)
    assert counts.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
